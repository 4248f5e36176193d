"""The process on the other side: takes a task, runs it through `calling`, writes a durable outcome, answers."""
