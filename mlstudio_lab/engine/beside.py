"""What goes on beside requests: background work on the engine's loop, and records that may come a moment later."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, Final

import structlog

from mlstudio_lab.ledger.connection import Connection
from mlstudio_lab.ledger.ledger import Ledger

SAY_AFTER_S: Final = 0.02
"""How long a log line waits that must not stand before an answer."""

log = structlog.get_logger("engine")


class Beside:
    """A loop, the work it does for nobody in particular, and whom to tell of changes.

    Args:
        ledger: Where records go.

    Attributes:
        changed: Called on the loop whenever the ledger has new events.
    """

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.changed: Callable[[], None] = lambda: None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0
        self._is_ringing = False
        self._newest_soon: Future[None] | None = None
        self._unsaid: list[tuple[str, dict[str, Any]]] = []

    def bind(self) -> None:
        """Belongs to the running loop from now on."""
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop everything here belongs to."""
        assert self._loop is not None
        return self._loop

    def on_loop(self, fn: Callable[[], None]) -> None:
        """Calls a function on the loop, at once when this is its thread."""
        if threading.get_ident() == self._thread:
            fn()
        elif self._loop is not None:
            self._loop.call_soon_threadsafe(fn)

    def soon(self, fn: Callable[[Connection], None]) -> None:
        """Writes a record whose loss would not matter, and tells listeners when it is there."""
        self._newest_soon = self.ledger.write_soon(fn)
        self._newest_soon.add_done_callback(self._soon_written)

    def settle(self) -> None:
        """Makes what is written soon be written now, for whoever reads next; nothing waits most of the time."""
        if self._newest_soon is not None and not self._newest_soon.done():
            self.ledger.flush()

    def _soon_written(self, future: Future[None]) -> None:
        # On the writer's thread; a whole batch rings once.
        if not future.cancelled() and (error := future.exception()) is not None:
            log.warning("not written", error=str(error))
        if not self._is_ringing:
            self._is_ringing = True
            self.on_loop(self._ring)

    def _ring(self) -> None:
        self._is_ringing = False
        self.changed()

    def say(self, event: str, **what: Any) -> None:
        """Logs something a moment later, once whoever waits for it was answered."""
        self._unsaid.append((event, what))
        if len(self._unsaid) == 1:
            self.loop.call_later(SAY_AFTER_S, self._say_all)

    def _say_all(self) -> None:
        unsaid, self._unsaid = self._unsaid, []
        for event, what in unsaid:
            log.info(event, **what)

    def background(self, work: Coroutine[Any, Any, None]) -> None:
        """Runs something beside the request that asked for it."""
        task = self.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("background work failed", exc_info=error)

    async def stop_background(self) -> None:
        """Cancels all background work and waits for it to end."""
        self._say_all()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
