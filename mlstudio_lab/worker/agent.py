"""What runs tasks, one at a time, in a local worker process and in a Ray actor alike."""

from __future__ import annotations

import os
import platform
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from mlstudio_lab.blobs.local import LocalBlobs
from mlstudio_lab.calling.execute import execute
from mlstudio_lab.calling.failures import to_failure
from mlstudio_lab.calling.interrupt import Interrupt
from mlstudio_lab.calling.loaded_versions import LoadedVersions
from mlstudio_lab.calling.stage import Stage
from mlstudio_lab.core.errors import StudioError
from mlstudio_lab.wire.task import Outcome, Task
from mlstudio_lab.worker.outcomes import write_outcome
from mlstudio_lab.worker.prewarm import prewarm

Emit = Callable[[dict[str, Any]], None]

_MOST_WITHDRAWN: Final = 64
_GAVE_UP: Final = 75
"""Exit code of a process that ended because its code could not be stopped."""


class Agent:
    """Runs tasks of one home; each outcome is durable before it is returned.

    Args:
        home: The home's folder of blobs and outcomes, as this process sees it.

    Example:
        >>> agent = Agent("/data/studio")
        >>> outcome = agent.run(task.dump(), print)
    """

    def __init__(self, home: str | Path) -> None:
        self.home = Path(home)
        self.blobs = LocalBlobs(self.home / "blobs")
        self.versions = LoadedVersions()
        self._lock = threading.Lock()
        self._running: tuple[Task, Interrupt, threading.Event] | None = None
        self._withdrawn: dict[str, None] = {}
        self.own_threads: tuple[threading.Thread, ...] = ()
        self.on_give_up: Callable[[Outcome], None] | None = None
        self.at_begin: Callable[[Stage], None] | None = None
        self.at_end: Callable[[Stage], None] | None = None

    def run(self, task: bytes, emit: Emit) -> bytes:
        """The outcome of a task as `Outcome.dump` writes it.

        Args:
            task: As `Task.dump` writes it.
            emit: Takes output events as they come, from any thread.

        Raises:
            Incompatible: The task is of another protocol.
            StorageFailed: The outcome cannot be written.
        """
        return self.run_task(Task.load(task), emit)[1]

    def run_task(self, task: Task, emit: Emit) -> tuple[Outcome, bytes]:
        """The outcome of a task, and the same as bytes.

        Raises:
            StorageFailed: The outcome cannot be written.
        """
        interrupt, cancelled = Interrupt(), threading.Event()
        with self._lock:
            self._running = (task, interrupt, cancelled)
            if task.attempt in self._withdrawn:
                cancelled.set()
        try:
            outcome = self._execute(task, emit, interrupt, cancelled)
        finally:
            with self._lock:
                self._running = None
        return outcome, self._keep(outcome)

    def cancel(self, attempt: str) -> None:
        """Stops an attempt that runs; one that has not come yet will end at once. Any thread may call."""
        with self._lock:
            running = self._running
            if running is None or running[0].attempt != attempt:
                self._withdrawn[attempt] = None
                while len(self._withdrawn) > _MOST_WITHDRAWN:
                    self._withdrawn.pop(next(iter(self._withdrawn)))
                return
        running[2].set()
        running[1].ask("cancel")

    def warm(self) -> None:
        """Imports what most modules need and makes the headless shell; for a process that has time before its first task."""
        while not prewarm():
            pass

    def about(self) -> dict[str, Any]:
        """Who this is: pid, host and Python."""
        return {"pid": os.getpid(), "host": platform.node(), "python": platform.python_version()}

    def _execute(self, task: Task, emit: Emit, interrupt: Interrupt, cancelled: threading.Event) -> Outcome:
        try:
            return execute(
                task,
                self.blobs,
                emit,
                cancelled,
                versions=self.versions,
                interrupt=interrupt,
                give_up=lambda reason: self._give_up(task, reason),
                ignored_threads=frozenset(thread.ident for thread in self.own_threads if thread.ident is not None),
                at_begin=self.at_begin,
                at_end=self.at_end,
            )
        except Exception as error:  # noqa: BLE001 — a fault of ours, or a task that is none: the run must end and be told
            failure = to_failure(error, (), by="worker").to_json()
            return Outcome(task.attempt, task.fence, task.run, "failed", failure=failure, worker={"tainted": "it failed by itself"})

    def _give_up(self, task: Task, reason: str) -> None:
        """The code hangs below Python, where no exception reaches it: the outcome is kept, then the process ends."""
        late = reason == "time"
        limit = f"{task.timeout_s:g} s" if late else f"{task.memory_bytes >> 20} MB of memory"
        error = StudioError(f"it went over its limit of {limit} and could not be interrupted", subject=task.name, hint="raise the limit")
        failure = to_failure(error, (), by="worker").to_json()
        outcome = Outcome(task.attempt, task.fence, task.run, "timed_out" if late else "failed", failure=failure)
        try:
            self._keep(outcome)
            if self.on_give_up is not None:
                self.on_give_up(outcome)
        finally:
            os._exit(_GAVE_UP)

    def _keep(self, outcome: Outcome) -> bytes:
        outcome.worker = {**self.about(), **outcome.worker}
        data = outcome.dump()
        write_outcome(self.home, outcome.attempt, outcome.fence, data)
        return data
