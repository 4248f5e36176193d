"""The Ray executor as the service sees it: a supervised bridge process; nothing here imports Ray."""

from __future__ import annotations

import asyncio
import importlib.util
import platform
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from mlstudio_lab.adapters import ray_head
from mlstudio_lab.core.clock import Clock
from mlstudio_lab.core.errors import Incompatible
from mlstudio_lab.engine.executors import OnEvent, OnLost, OnOutcome
from mlstudio_lab.engine.process import WorkerProcess
from mlstudio_lab.wire.task import Outcome, Task

AGENT: Final = "mlstudio_lab.worker.hosted:hosted"
"""What runs inside an actor; named, because the worker's room is not ours to import."""

_BACKOFF_S: Final = (0.0, 0.5, 2.0, 5.0, 15.0, 30.0)
"""Pauses before a bridge is made again after so many failed in a row."""

_FRESH_AFTER: Final = 2
"""After so many failures in a row the head is ended too, in case it is the reason."""


@dataclass(slots=True)
class _Job:
    attempt: str
    fence: int
    task: str
    run: str
    on_event: OnEvent
    on_outcome: OnOutcome
    worker: str = ""
    heard: int = 0
    cancelled: bool = False


def _nobody(attempt: str, reason: str = "", *, infrastructure: bool = False) -> None:
    """Where losses go before an engine listens."""


class RayExecutor:
    """Runs attempts in detached, pre-warmed Ray actors that outlive the bridge and the service.

    Args:
        home: The home's folder.
        runtime: Its short runtime folder, mode 0700.
        workers: Actors kept warm.
        clock: Tells since when a state lasts.
        agent: Dotted name of what runs inside an actor.

    Example:
        >>> RayExecutor(Path("/data/home"), Path("/data/run"), 2, clock).status()["state"]
        'down'
    """

    name = "ray"

    def __init__(self, home: Path, runtime: Path, workers: int, clock: Clock, *, agent: str = AGENT) -> None:
        self._home = home
        self._runtime = runtime
        self._wanted = max(workers, 1)
        self._clock = clock
        self._agent = agent
        self.lost: OnLost = _nobody
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0
        self._bridge: WorkerProcess | None = None
        self._background: set[asyncio.Task[None]] = set()
        self._jobs: dict[str, _Job] = {}
        self._members: list[dict[str, Any]] = []
        self._address = ""
        self._linked = False  # the bridge knows the actors that were there before it
        self._failures = 0
        self._reason = ""
        self._state = "down"
        self._since: datetime | None = None
        self._changed: list[Callable[[], None]] = []

    # -- the executor protocol -------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begins to bring Ray up behind everything else; must be called on a running loop."""
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        if importlib.util.find_spec("ray") is None:
            self._turn("absent", "Ray is not installed: pip install 'mlstudio_lab[ray]'")
            for attempt in list(self._jobs):
                self._lose(attempt, "Ray is not installed any more", infrastructure=True)
            return
        (self._home / "logs").mkdir(parents=True, exist_ok=True)
        self._runtime.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._turn("warming", "Ray is starting")
        self._spawn()

    def ready(self) -> bool:
        """Whether an actor is warm."""
        return bool(self._members) and self._linked

    def submit(self, task: Task, on_event: OnEvent, on_outcome: OnOutcome) -> None:
        """Queues one attempt; it starts when an actor is free."""
        job = _Job(task.attempt, task.fence, task.dump().decode(), task.run, on_event, on_outcome)
        self._call(self._enqueue, job)

    def adopt(self, attempt: str, fence: int, run: str, on_event: OnEvent, on_outcome: OnOutcome) -> None:
        """Takes up an attempt of an earlier service, which may still be running in its actor.

        Ends with exactly one of `on_outcome` and `lost`, like `submit`; events are heard from the first on.
        """
        self._call(self._enqueue, _Job(attempt, fence, "", run, on_event, on_outcome, worker="?"))

    def cancel(self, attempt: str, force: bool) -> None:
        """Raises in the code at its next step, or (force) kills the actor, which is replaced."""
        self._call(self._cancel, attempt, force)

    def status(self) -> dict[str, Any]:
        """The cluster light: `state` is warming, ready, recovering, down or absent."""
        busy = {j.worker: j.run for j in self._jobs.values() if j.worker}
        members = [
            {"worker": m["worker"], "pid": m["pid"], "state": "busy" if m["worker"] in busy else "idle", "run": busy.get(m["worker"], "")}
            for m in self._members
        ]
        return {
            "name": self.name,
            "ready": self.ready(),
            "workers": len(members),
            "busy": sum(m["state"] == "busy" for m in members),
            "queued": sum(not j.worker for j in self._jobs.values()),
            "detail": self._reason,
            "members": members,
            "state": self._state,
            "address": self._address,
            "since": self._since.isoformat() if self._since else "",
            "bridge": self._bridge.pid if self._bridge else 0,
        }

    def close(self) -> None:
        """Ends the bridge, the head and every actor."""
        self.leave()
        ray_head.stop(self._runtime)

    def leave(self) -> None:
        """Ends the bridge only; head and actors stay hot for the next service, and finish what they run."""
        for task in self._background:
            task.cancel()
        if self._bridge is not None:
            self._bridge.end()
        self._bridge = None
        self._jobs.clear()
        self._members = []
        self._turn("down", "stopped")

    def on_change(self, listener: Callable[[], None]) -> None:
        """Calls a listener (on the loop) whenever the cluster light changes."""
        self._changed.append(listener)

    # -- the bridge ------------------------------------------------------------------------------------------------

    def _call(self, fn: Callable[..., None], *args: Any) -> None:
        if self._loop is None or threading.get_ident() == self._thread:
            # Before the start there is one thread only: what an earlier service left is noted until the bridge is linked.
            fn(*args)
        else:
            self._loop.call_soon_threadsafe(fn, *args)

    def _turn(self, state: str, reason: str) -> None:
        if (state, reason) != (self._state, self._reason):
            self._state, self._reason, self._since = state, reason, self._clock.now()
            for listener in self._changed:
                listener()

    def _spawn(self) -> None:
        assert self._loop is not None
        options = {"home": self._home, "runtime": self._runtime, "workers": self._wanted, "agent": self._agent}
        command = [
            sys.executable,
            "-P",
            "-m",
            "mlstudio_lab.adapters.ray_bridge",
            *(f"--{name}={value}" for name, value in options.items()),
        ]
        log = self._home / "logs" / "ray-bridge.log"
        self._bridge = WorkerProcess(command, log, self._message, self._ended)
        self._later(self._bridge.attach())

    def _later(self, work: Any) -> None:
        assert self._loop is not None
        task = self._loop.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    def _ended(self, bridge: WorkerProcess) -> None:
        """The bridge is gone: what it says of the head decides whether running attempts are lost or only unheard."""
        if bridge is self._bridge:
            self._bridge, self._members, self._linked = None, [], False
            self._later(self._recover(bridge.how_it_ended()))

    async def _recover(self, how: str) -> None:
        reason = self._reason if self._failures else f"the Ray bridge {how}"
        self._turn("recovering" if self._since and self._state != "warming" else self._state, reason)
        head = await asyncio.to_thread(ray_head.find, self._runtime)
        if head is None or self._failures >= _FRESH_AFTER:
            await asyncio.to_thread(ray_head.stop, self._runtime)  # before a retry: what is left of the head may still run code
            for job in [j for j in self._jobs.values() if j.worker]:
                self._lose(job.attempt, "the Ray head died", infrastructure=True)
        await asyncio.sleep(_BACKOFF_S[min(self._failures, len(_BACKOFF_S) - 1)])
        self._failures += 1
        self._spawn()

    def _message(self, bridge: WorkerProcess, message: dict[str, Any]) -> None:
        if "outcome" in message:
            self._outcome(message)
        elif "started" in message:
            if job := self._jobs.get(message["started"]):
                job.worker = message["worker"]
                where = {"executor": self.name, "host": platform.node(), "pid": message["pid"], "worker": job.worker}
                job.on_event({"t": "state", "state": "running", "worker": where})
        elif "events" in message:
            self._events(message)
        elif "lost" in message:
            self._lose(message["lost"], message["reason"], infrastructure=message.get("infrastructure", False))
        elif "members" in message:
            self._members, self._address = message["members"], message["address"]
            if self.ready():
                self._turn("ready", f"{len(self._members)} of {self._wanted} workers warm" if len(self._members) < self._wanted else "")
                self._failures = 0
        elif "linked" in message:
            self._linked = True
            self._message(bridge, {"members": self._members, "address": self._address})
            for job in list(self._jobs.values()):
                self._hand(job)
        elif "failed" in message:
            self._turn(self._state, message["failed"])

    def _hand(self, job: _Job) -> None:
        if self._bridge is None or not self._linked:
            return
        if job.worker:
            self._bridge.send({"do": "attach", "attempt": job.attempt})
        else:
            self._bridge.send({"do": "run", "attempt": job.attempt, "task": job.task})
        if job.cancelled:
            self._bridge.send({"do": "cancel", "attempt": job.attempt})

    # -- attempts --------------------------------------------------------------------------------------------------

    def _enqueue(self, job: _Job) -> None:
        self._jobs[job.attempt] = job
        self._hand(job)

    def _cancel(self, attempt: str, force: bool) -> None:
        job = self._jobs.get(attempt)
        if job is None:
            return
        if not self._linked and not job.worker:
            self._lose(attempt, "withdrawn before it started", infrastructure=True)
            return
        job.cancelled = True
        if self._bridge is not None and self._linked:
            self._bridge.send({"do": "cancel", "attempt": attempt, "force": force})

    def _events(self, message: dict[str, Any]) -> None:
        job = self._jobs.get(message["attempt"])
        if job is None:
            return
        # A new bridge tells the events from the first on; those already heard are skipped.
        for event in message["events"][max(job.heard - message["from"], 0) :]:
            job.on_event(event)
        job.heard = max(job.heard, message["from"] + len(message["events"]))

    def _outcome(self, message: dict[str, Any]) -> None:
        if message["events"]:
            self._events(message)
        job = self._jobs.pop(message["attempt"], None)
        if job is None:
            return
        try:
            outcome = Outcome.load(message["outcome"].encode())
        except Incompatible as error:
            self.lost(job.attempt, error.message)
            return
        if (outcome.state == "refused" or outcome.worker.get("tainted")) and self._bridge is not None:
            self._bridge.send({"do": "replace", "worker": job.worker})
        member = next((m for m in self._members if m["worker"] == job.worker), None)
        outcome.worker = {"executor": self.name, "host": platform.node(), "pid": member["pid"] if member else 0, **outcome.worker}
        job.on_outcome(outcome)

    def _lose(self, attempt: str, reason: str, *, infrastructure: bool = False) -> None:
        """An attempt without an answer: its durable outcome is its answer when there is one."""
        job = self._jobs.pop(attempt, None)
        if job is None:
            return
        try:
            outcome = Outcome.load((self._home / "outcomes" / f"{attempt}-{job.fence}.json").read_bytes())
        except (OSError, ValueError, Incompatible):
            self.lost(attempt, reason, infrastructure=infrastructure)
            return
        job.on_outcome(outcome)
