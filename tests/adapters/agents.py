"""Agents that do what a test says, for actors that load them by dotted name."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from mlstudio_lab.wire.task import Outcome, Task


class Scripted:
    """Runs `task.trace["script"]`; writes the outcome file as the real agent does."""

    def __init__(self, home: str, threads: object) -> None:
        self.home = Path(home)

    def run(self, body: bytes, emit) -> bytes:
        task = Task.load(body)
        names = {"emit": emit, "os": os, "sys": sys, "time": time, "home": self.home}
        exec(task.trace.get("script", ""), names)
        outcome = Outcome(task.attempt, task.fence, task.run, "succeeded", effects={"said": names.get("said")}).dump()
        folder = self.home / "outcomes"
        folder.mkdir(exist_ok=True)
        (folder / f"{task.attempt}-{task.fence}.json").write_bytes(outcome)
        return outcome

    def cancel(self, attempt: str) -> None:
        (self.home / f"cancel-{attempt}").write_text(json.dumps(attempt))
