"""An executor on an event loop of its own, driven from plain tests."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mlstudio_lab.wire.task import Outcome, Task

_numbers = itertools.count(1)


class WallClock:
    """The system's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return asyncio.get_event_loop().time()


@dataclass
class Ticket:
    """One submitted attempt and everything heard of it."""

    task: Task
    events: list[dict[str, Any]] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    losses: list[tuple[str, bool]] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    @property
    def attempt(self) -> str:
        return self.task.attempt

    def wait(self, predicate: Callable[[Ticket], bool], timeout: float = 60) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: predicate(self), timeout), f"nothing in {timeout} s: {self}"

    def outcome(self, timeout: float = 60) -> Outcome:
        self.wait(lambda t: bool(t.outcomes or t.losses), timeout)
        assert not self.losses, self.losses
        return self.outcomes[0]

    def lost(self, timeout: float = 60) -> tuple[str, bool]:
        self.wait(lambda t: bool(t.outcomes or t.losses), timeout)
        assert not self.outcomes, self.outcomes
        return self.losses[0]

    def running(self, timeout: float = 60) -> dict[str, Any]:
        self.wait(lambda t: any(e.get("state") == "running" for e in t.events), timeout)
        return next(e["worker"] for e in self.events if e.get("state") == "running")

    def said(self, text: str, timeout: float = 60) -> None:
        self.wait(lambda t: text in "".join(str(e.get("text", "")) for e in t.events), timeout)

    def event(self, event: dict[str, Any]) -> None:
        with self.changed:
            self.events.append(event)
            self.changed.notify_all()

    def end(self, outcome: Outcome) -> None:
        with self.changed:
            self.outcomes.append(outcome)
            self.changed.notify_all()

    def lose(self, reason: str, infrastructure: bool) -> None:
        with self.changed:
            self.losses.append((reason, infrastructure))
            self.changed.notify_all()


class Rig:
    """A started executor; `close` ends it."""

    def __init__(self, home: Path, make: Callable[[], Any], *, end: str = "close") -> None:
        self.home = home
        self.tickets: dict[str, Ticket] = {}
        self._end = end
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="rig", daemon=True)
        self._thread.start()
        self.executor = make()
        self.executor.lost = self._lost
        self.on_loop(self.executor.start)

    def on_loop(self, fn: Callable[[], Any]) -> Any:
        async def call() -> Any:
            return fn()

        return asyncio.run_coroutine_threadsafe(call(), self.loop).result(60)

    def until(self, predicate: Callable[[], bool], timeout: float = 60) -> None:
        """Waits, on the executor's own loop, until something of the executor is so."""

        async def poll() -> None:
            while not predicate():
                await asyncio.sleep(0.02)

        asyncio.run_coroutine_threadsafe(asyncio.wait_for(poll(), timeout), self.loop).result(timeout + 5)

    def _lost(self, attempt: str, reason: str = "", *, infrastructure: bool = False) -> None:
        self.tickets[attempt].lose(reason, infrastructure)

    def task(self, **fields: Any) -> Task:
        number = next(_numbers)
        given = {"attempt": f"attempt{number:04}", "fence": 1, "run": f"run{number:04}", "name": "tests/module", "bundle": {}, "inputs": {}}
        return Task(**{**given, "home": str(self.home), **fields})

    def submit(self, task: Task) -> Ticket:
        ticket = self.tickets[task.attempt] = Ticket(task)
        self.executor.submit(task, ticket.event, ticket.end)
        return ticket

    def close(self) -> None:
        self.on_loop(getattr(self.executor, self._end))
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(10)
        self.loop.close()
