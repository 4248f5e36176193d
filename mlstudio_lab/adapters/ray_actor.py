"""What lives in a Ray actor: the worker's agent, its events kept for polling, and its last outcomes kept for a new bridge."""

from __future__ import annotations

import importlib
import os
import sys
import threading
from collections import OrderedDict
from typing import Any, Final, Protocol

CONTROL: Final = "control"
"""The concurrency group of everything that must answer while code runs."""

CONTROL_THREADS: Final = 3
"""One long poll, one cancel, one question at a time."""

_KEPT: Final = 4
"""Finished attempts remembered for a bridge that comes back."""

_GATHER_S: Final = 0.02
"""How long events are gathered before a poll answers: people see no delay, a flood of prints becomes a few messages."""


class Agent(Protocol):
    """What runs tasks; `worker.agent.Agent` is one."""

    def run(self, task: bytes, emit: Any) -> bytes:
        """The outcome of a task, written durably before it is returned; `emit` takes output events as they happen."""
        ...

    def cancel(self, attempt: str) -> None:
        """Asks the running code to stop."""
        ...


class _Attempt:
    """One attempt's events and outcome; `heard` counts the events that whoever polls surely has."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.heard = 0
        self.outcome: bytes | None = None
        self.changed = threading.Condition()

    def emit(self, event: dict[str, Any]) -> None:
        with self.changed:
            self.events.append(event)
            self.changed.notify_all()

    def end(self, outcome: bytes) -> None:
        with self.changed:
            self.outcome = outcome
            self.changed.notify_all()


class Host:
    """The actor: runs one task at a time and answers control calls meanwhile.

    Args:
        home: The home's folder, as this machine sees it.
        agent: The agent's dotted name, `package.module:Class`; named, not imported, because the worker's room is not ours.
        threads: The person's own `OMP_NUM_THREADS`, None when unset; Ray would set it to 1, which slows and changes numerics.
    """

    def __init__(self, home: str, agent: str, threads: str | None) -> None:
        os.environ.pop("OMP_NUM_THREADS", None)
        if threads is not None:
            os.environ["OMP_NUM_THREADS"] = threads
        # Ray puts its own copies of third-party packages first; they would hide the versions that the lock names.
        vendored = [p for p in sys.path if p.endswith("thirdparty_files")]
        sys.path[:] = [p for p in sys.path if p not in vendored] + vendored
        module, _, name = agent.partition(":")
        self._agent: Agent = getattr(importlib.import_module(module), name)(home)
        self._lock = threading.Lock()
        self._attempts: OrderedDict[str, _Attempt] = OrderedDict()
        self._now = ""

    def run(self, message: bytes) -> bytes | tuple[bytes, int, list[dict[str, Any]]]:
        """The outcome; with it, when there are any, the events that were not yet polled and the number of the first.

        Args:
            message: The attempt's id, a line feed, the task: one bytes value in and out is Ray's quickest call.
        """
        attempt_id, _, task = message.partition(b"\n")
        attempt = attempt_id.decode()
        mine = _Attempt()
        with self._lock:
            self._attempts[attempt] = mine
            while len(self._attempts) > _KEPT:
                self._attempts.popitem(last=False)
            self._now = attempt
        try:
            outcome = self._agent.run(task, mine.emit)
            mine.end(outcome)
        finally:
            self._now = ""
            if mine.outcome is None:
                self._attempts.pop(attempt, None)
        rest = mine.events[mine.heard :]
        return (outcome, mine.heard, rest) if rest else outcome

    def poll(self, attempt: str, cursor: int, wait_s: float) -> tuple[list[dict[str, Any]], bytes | None] | None:
        """Events from `cursor` on and the outcome when there is one, waiting for news; None for an unknown attempt."""
        found = self._attempts.get(attempt)
        if found is None:
            return None
        with found.changed:
            found.heard = max(found.heard, cursor)
            if found.changed.wait_for(lambda: len(found.events) > cursor or found.outcome is not None, wait_s):
                found.changed.wait_for(lambda: found.outcome is not None, _GATHER_S)
            return found.events[cursor:], found.outcome

    def cancel(self, attempt: str) -> bool:
        """Asks the agent to stop an attempt; whether it was running."""
        running = self._now == attempt
        if running:
            self._agent.cancel(attempt)
        return running

    def about(self) -> dict[str, Any]:
        """Who this is and what it does now."""
        return {"pid": os.getpid(), "attempt": self._now}
