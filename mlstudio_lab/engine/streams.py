"""What runs say while they run, and everybody who waits for one: futures on the loop, never a thread each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final

MOST_BYTES: Final = 16 * 1024 * 1024
"""Output kept for late readers of one running run; workers bound theirs at half of this."""


class Stream:
    """One run's output events, numbered from 1, until it is closed; loop-bound."""

    __slots__ = ("_changed", "_closed", "_size", "_truncated", "events")

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self._changed: set[asyncio.Future[None]] = set()
        self._closed = False
        self._size = 0
        self._truncated = False

    def append(self, event: dict[str, Any]) -> None:
        """Adds an event; past the bound one notice is added instead, and states always."""
        if self._closed:
            return
        if event.get("t") != "state":
            self._size += len(str(event.get("text") or event.get("data") or "")) + 64
            if self._size > MOST_BYTES:
                if self._truncated:
                    return
                self._truncated = True
                event = {"t": "stderr", "text": "\n[output beyond 16 MB is not kept]\n"}
        self.events.append({"n": len(self.events) + 1, **event})
        self._wake()

    def close(self, final: dict[str, Any]) -> None:
        """Adds the last event and lets every reader end."""
        self.append(final)
        self._closed = True
        self._wake()

    async def read(self, cursor: int = 0) -> AsyncIterator[dict[str, Any]]:
        """The events after a cursor, as they come, until the stream is closed."""
        while True:
            while cursor < len(self.events):
                yield self.events[cursor]
                cursor += 1
            if self._closed:
                return
            future = asyncio.get_running_loop().create_future()
            self._changed.add(future)
            try:
                await future
            finally:
                self._changed.discard(future)

    def _wake(self) -> None:
        for future in self._changed:
            if not future.done():
                future.set_result(None)


class Waiting:
    """Futures of those who wait for something named to happen; loop-bound."""

    def __init__(self) -> None:
        self._waiters: dict[str, set[asyncio.Future[None]]] = {}
        self._closed = False

    async def until(self, name: str, timeout_s: float) -> bool:
        """Waits for `notify(name)`; False when it did not come in time, at once when all waiting is over."""
        if self._closed:
            return False
        future = asyncio.get_running_loop().create_future()
        self._waiters.setdefault(name, set()).add(future)
        try:
            await asyncio.wait_for(future, timeout_s)
        except TimeoutError:
            return False
        finally:
            waiters = self._waiters.get(name)
            if waiters is not None:
                waiters.discard(future)
                if not waiters:
                    del self._waiters[name]
        return True

    def notify(self, name: str) -> None:
        """Wakes everybody who waits for the name."""
        for future in self._waiters.get(name, ()):
            if not future.done():
                future.set_result(None)

    def close(self) -> None:
        """Wakes everybody, and nobody waits from now on: whoever asks is answered with what there is."""
        self._closed = True
        for name in list(self._waiters):
            self.notify(name)
