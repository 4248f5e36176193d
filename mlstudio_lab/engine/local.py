"""The local executor: a few warm worker processes on this machine, one task each at a time."""

from __future__ import annotations

import asyncio
import os
import platform
import signal
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from mlstudio_lab.engine.executors import OnEvent, OnLost, OnOutcome
from mlstudio_lab.engine.process import WorkerProcess, worker_command
from mlstudio_lab.wire.task import Outcome, Task

_BACKOFF_S: Final = (0.0, 0.2, 1.0, 5.0)
"""Pause before a worker is made again after that many died in a row without having been ready."""


@dataclass(slots=True)
class _Job:
    task: Task
    on_event: OnEvent
    on_outcome: OnOutcome
    worker: WorkerProcess | None = None
    cancelled: bool = False


def _nobody(attempt: str, reason: str = "", *, infrastructure: bool = False) -> None:
    """Where losses go before an engine listens."""


class LocalPool:
    """Spawned, pre-warmed workers; dead or tainted ones are replaced.

    Args:
        home: The home, for the workers' log.
        workers: How many stay warm.
        command: What starts a worker; tests give their own.

    Example:
        >>> LocalPool(Path("/tmp"), 1).status()["name"]
        'local'
    """

    name = "local"

    def __init__(self, home: Path, workers: int, command: list[str] | None = None) -> None:
        self._home = home
        self._wanted = max(workers, 1)
        self._command = [*(command or worker_command()), "--home", str(home)]
        self.lost: OnLost = _nobody
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0
        self._workers: list[WorkerProcess] = []
        self._queue: deque[_Job] = deque()
        self._jobs: dict[str, _Job] = {}
        self._unready_deaths = 0
        self._closed = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._cpus = os.cpu_count() or 1

    def prespawn(self) -> None:
        """Starts the first worker before there is a loop, so that it imports while the service does."""
        self._workers.append(self._make())

    def start(self) -> None:
        """Attaches what was pre-spawned and makes the first worker; the others follow when it is ready.

        Must be called on a running loop.
        """
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        for worker in self._workers:
            self._attach(worker)
        if not self._workers:
            self._add()

    def ready(self) -> bool:
        """Whether a worker is warm; before that a task waits for the first import."""
        return any(w.is_ready for w in self._workers)

    def submit(self, task: Task, on_event: OnEvent, on_outcome: OnOutcome) -> None:
        """Queues one attempt and starts it when a worker and its processors are free."""
        self._call(self._enqueue, _Job(task, on_event, on_outcome))

    def cancel(self, attempt: str, force: bool) -> None:
        """Asks by message and SIGINT, or kills the worker; a queued attempt is dropped and reported lost."""
        self._call(self._cancel, attempt, force)

    def status(self) -> dict[str, Any]:
        """Workers and queue as plain values."""
        members = [
            {"worker": f"local-{w.pid}", "pid": w.pid, "state": "busy" if w.attempt else "idle" if w.is_ready else "starting", "run": w.run}
            for w in self._workers
        ]
        busy = sum(1 for m in members if m["state"] == "busy")
        warm = sum(1 for w in self._workers if w.is_ready)
        detail = f"{warm} of {self._wanted} workers warm" if warm < self._wanted else f"{warm} workers warm"
        if self._unready_deaths:
            detail = f"workers die while starting ({self._unready_deaths} in a row): see {self._log}"
        return {
            "name": self.name,
            "ready": self.ready(),
            "workers": len(members),
            "busy": busy,
            "queued": len(self._queue),
            "detail": detail,
            "members": members,
        }

    def adopt(self, attempt: str, fence: int, run: str, on_event: OnEvent, on_outcome: OnOutcome) -> None:
        """Reports the attempt lost: a local worker ends with the service that spoke to it."""
        self._call(self._lose, attempt)

    def leave(self) -> None:
        """As `close`: a worker nobody speaks to is of no use."""
        self.close()

    def close(self) -> None:
        """Kills every worker; attempts under way stay open in the ledger and are taken up at the next start."""
        self._closed = True
        for task in self._tasks:
            task.cancel()
        for worker in self._workers:
            worker.end()
        self._workers.clear()
        self._jobs.clear()
        self._queue.clear()

    @property
    def _log(self) -> Path:
        return self._home / "logs" / "workers.log"

    def _call(self, fn: Callable[..., None], *args: Any) -> None:
        if threading.get_ident() == self._thread:
            fn(*args)
        elif self._loop is not None:
            self._loop.call_soon_threadsafe(fn, *args)

    def _make(self) -> WorkerProcess:
        self._log.parent.mkdir(parents=True, exist_ok=True)
        return WorkerProcess(self._command, self._log, self._message, self._end)

    def _add(self) -> None:
        if not self._closed and len(self._workers) < self._wanted:
            worker = self._make()
            self._workers.append(worker)
            self._attach(worker)

    def _attach(self, worker: WorkerProcess) -> None:
        assert self._loop is not None
        task = self._loop.create_task(worker.attach())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _enqueue(self, job: _Job) -> None:
        self._jobs[job.task.attempt] = job
        self._queue.append(job)
        self._drain()

    def _drain(self) -> None:
        """Hands out queued tasks in order; the first that does not fit holds back the rest, so that none starves."""
        while self._queue:
            idle = next((w for w in self._workers if w.is_ready and not w.attempt), None)
            if idle is None:
                return
            job = self._queue[0]
            used = sum(j.task.cpus for j in self._jobs.values() if j.worker is not None)
            if used and used + job.task.cpus > self._cpus:
                return
            self._queue.popleft()
            job.worker, idle.attempt, idle.run = idle, job.task.attempt, job.task.run
            idle.send({"do": "run", "task": job.task.to_json()})
            job.on_event({"t": "state", "state": "running", "worker": {"executor": self.name, "host": platform.node(), "pid": idle.pid}})

    def _message(self, worker: WorkerProcess, message: dict[str, Any]) -> None:
        if "event" in message:
            if job := self._jobs.get(message.get("attempt") or worker.attempt):
                job.on_event(message["event"])
        elif "outcome" in message:
            outcome = Outcome.from_json(message["outcome"])
            done = self._jobs.pop(outcome.attempt, None)
            if worker.attempt == outcome.attempt:
                worker.attempt = worker.run = ""
            retire = message.get("retire") or outcome.state == "refused"
            if done is not None:
                outcome.worker = {"executor": self.name, "host": platform.node(), "pid": worker.pid, **outcome.worker}
                done.on_outcome(outcome)
            if retire:
                self._replace(worker)
            self._drain()
        elif "error" in message:
            # It could not even read the task: nothing will come of it.
            done = self._jobs.pop(worker.attempt, None)
            worker.attempt = worker.run = ""
            if done is not None:
                self.lost(done.task.attempt, f"its worker refused it: {message['error']}")
            self._replace(worker)
        elif "ready" in message:
            worker.is_ready = True
            self._unready_deaths = 0
            self._drain()
            self._add()

    def _replace(self, worker: WorkerProcess) -> None:
        if worker in self._workers and not worker.attempt:
            self._workers.remove(worker)
            worker.end()
            self._add()

    def _end(self, worker: WorkerProcess) -> None:
        if self._closed or self._loop is None:
            return
        if worker in self._workers:
            self._workers.remove(worker)
        if worker.is_ready:
            self._add()
        else:
            self._unready_deaths += 1
            self._loop.call_later(_BACKOFF_S[min(self._unready_deaths, len(_BACKOFF_S) - 1)], self._add)
        job = self._jobs.pop(worker.attempt, None)
        if job is not None:
            self.lost(worker.attempt, f"its worker {worker.how_it_ended()}")

    def _lose(self, attempt: str) -> None:
        self.lost(attempt, "the studio was restarted", infrastructure=True)

    def _cancel(self, attempt: str, force: bool) -> None:
        job = self._jobs.get(attempt)
        if job is None:
            return
        if job.worker is None:
            self._queue.remove(job)
            del self._jobs[attempt]
            self.lost(attempt, "withdrawn before it started", infrastructure=True)
            self._drain()
        elif force:
            job.worker.signal(signal.SIGKILL)
        elif not job.cancelled:
            job.cancelled = True
            job.worker.send({"do": "cancel", "attempt": attempt})
            job.worker.signal(signal.SIGINT)
