"""What lives in a Ray actor: the worker's agent on the main thread, and a control socket that answers while code runs.

Control does not go through Ray: a concurrency group would move the code off the main thread, where signals, `time.sleep`
and libraries behave otherwise than in a local worker, and would cost every call a thread switch.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import os
import signal
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Protocol

from mlstudio_lab.wire import frames

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


class Control:
    """The socket side of an actor: one thread that tells events and takes cancels while the main thread runs code.

    A class of its own, because Ray moves an actor with any coroutine method off the main thread.

    Args:
        path: The socket to listen at.
    """

    def __init__(self, path: Path) -> None:
        self.now = ""
        self.cancel: Callable[[str], None] = lambda attempt: None
        self.thread = threading.Thread(target=self._run, name="mlstudio-control", daemon=True)
        self._path = path
        self._attempts: OrderedDict[str, _Attempt] = OrderedDict()
        self._loop = asyncio.new_event_loop()
        self._news = asyncio.Event()
        self._polls = 0
        self._first = False

    def begin(self, attempt: str) -> _Attempt:
        """A new attempt; the oldest of many are forgotten."""
        mine = self._attempts[attempt] = _Attempt()
        while len(self._attempts) > _KEPT:
            self._attempts.popitem(last=False)
        self.now = attempt
        return mine

    def event(self, attempt: _Attempt, event: dict[str, Any]) -> None:
        """Keeps one event; wakes a poll that waits for its first, later ones are gathered."""
        attempt.events.append(event)
        if self._first:
            self._wake()

    def end(self, attempt: str, outcome: bytes | None) -> None:
        """Keeps the outcome; an attempt without one is forgotten."""
        if outcome is None:
            self._attempts.pop(attempt, None)
        else:
            self._attempts[attempt].outcome = outcome
        self.now = ""
        self._wake()

    def _wake(self) -> None:
        if self._polls:
            self._loop.call_soon_threadsafe(self._news.set)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._listen())

    async def _listen(self) -> None:
        self._path.unlink(missing_ok=True)
        server = await asyncio.start_unix_server(self._talk, self._path)
        await server.serve_forever()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        unpacker = frames.Unpacker()
        while data := await reader.read(1 << 16):
            for message in unpacker.feed(data):
                writer.write(frames.pack(await self._answer(message)))
        writer.close()

    async def _answer(self, message: dict[str, Any]) -> dict[str, Any]:
        match message["do"]:
            case "poll":
                return await self._poll(message["attempt"], message["cursor"], message["wait_s"])
            case "cancel":
                # Also one that is not here yet: its task may still be on the way.
                self.cancel(message["attempt"])
                return {}
            case _:
                return {"pid": os.getpid(), "attempt": self.now}

    async def _poll(self, attempt: str, cursor: int, wait_s: float) -> dict[str, Any]:
        """Events from `cursor` on and the outcome when there is one, waiting for news; `known` tells a forgotten attempt."""
        found = self._attempts.get(attempt)
        if found is None:
            return {"known": False}
        found.heard = max(found.heard, cursor)
        deadline = self._loop.time() + wait_s
        gathered = False
        self._polls += 1
        try:
            while found.outcome is None and self._attempts.get(attempt) is found and (left := deadline - self._loop.time()) > 0:
                if not gathered and len(found.events) > cursor:
                    gathered, deadline = True, self._loop.time() + min(left, _GATHER_S)
                    continue
                self._first = not gathered
                self._news.clear()
                if found.outcome is not None or (self._first and len(found.events) > cursor):
                    continue  # it came between the look and the clearing
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._news.wait(), left)
        finally:
            self._polls -= 1
        outcome = found.outcome.decode() if found.outcome is not None else None
        known = outcome is not None or self._attempts.get(attempt) is found
        return {"known": known, "events": found.events[cursor:], "outcome": outcome}


class Host:
    """The actor: runs one task at a time on its main thread.

    Args:
        home: The home's folder, as this machine sees it.
        socket: Where it answers control messages.
        agent: The dotted name of what makes the agent, `package.module:callable`, called with the home and the threads
            that are ours; named, not imported, because the worker's room is not ours.
        omp: The person's own `OMP_NUM_THREADS`, None when unset; Ray would set it to 1, which slows and changes numerics.
    """

    def __init__(self, home: str, socket: str, agent: str, omp: str | None) -> None:
        os.environ.pop("OMP_NUM_THREADS", None)
        if omp is not None:
            os.environ["OMP_NUM_THREADS"] = omp
        # Ray starts its processes with SIGINT blocked; it is how running code is asked to stop.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        # Ray puts its own copies of third-party packages first; they would hide the versions that the lock names.
        vendored = [p for p in sys.path if p.endswith("thirdparty_files")]
        sys.path[:] = [p for p in sys.path if p not in vendored] + vendored
        self._control = Control(Path(socket))
        module, _, name = agent.partition(":")
        self._agent: Agent = getattr(importlib.import_module(module), name)(home, [self._control.thread])
        self._control.cancel = self._agent.cancel
        self._control.thread.start()

    def up(self) -> int:
        """Its process id, once it is ready."""
        return os.getpid()

    def run(self, message: bytes) -> bytes | tuple[bytes, int, list[dict[str, Any]]]:
        """The outcome; with it, when there are any, the events that were not yet polled and the number of the first.

        Args:
            message: The attempt's id, a line feed, the task: one bytes value in and out is Ray's quickest call.
        """
        attempt_id, _, task = message.partition(b"\n")
        attempt = attempt_id.decode()
        mine = self._control.begin(attempt)
        outcome = None
        try:
            outcome = self._agent.run(task, lambda event: self._control.event(mine, event))
        finally:
            self._control.end(attempt, outcome)
        rest = mine.events[mine.heard :]
        return (outcome, mine.heard, rest) if rest else outcome
