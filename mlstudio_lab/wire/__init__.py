"""What crosses HTTP and the task/outcome protocol: models both ends share."""
