"""Answers that go on: a run's output as lines of JSON, and the studio's events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, Final

from mlstudio_lab.core.errors import StudioError
from mlstudio_lab.engine.engine import Engine
from mlstudio_lab.engine.views import moment
from mlstudio_lab.ledger import events
from mlstudio_lab.ledger.ledger import Ledger

_HEARTBEAT_S: Final = 15.0
_TOGETHER: Final = 200


class Bell:
    """Wakes everybody who listens for events; loop-bound.

    Attributes:
        rung: How often it has rung; whoever is busy when it rings sees it here.
    """

    def __init__(self) -> None:
        self._waiting: set[asyncio.Future[None]] = set()
        self._closed = False
        self.rung = 0

    def ring(self) -> None:
        """There is something new."""
        self.rung += 1
        for future in self._waiting:
            if not future.done():
                future.set_result(None)

    def close(self) -> None:
        """Lets every listener end."""
        self._closed = True
        self.ring()

    @property
    def is_closed(self) -> bool:
        """Whether listeners should end."""
        return self._closed

    async def wait(self, timeout_s: float, heard: int) -> bool:
        """Waits for a ring after the `heard`th; False when none came."""
        if self.rung != heard:
            return True
        future = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        try:
            await asyncio.wait_for(future, timeout_s)
        except TimeoutError:
            return False
        finally:
            self._waiting.discard(future)
        return True


async def event_stream(ledger: Ledger, bell: Bell, cursor: int) -> AsyncIterator[bytes]:
    """The events after a cursor as server-sent events, and then each as it comes; a negative cursor means from now on."""
    if cursor < 0:
        cursor = ledger.read(events.newest)
    yield b"retry: 1000\n\n"
    while not bell.is_closed:
        # Taken before the look: what happens while rows are sent to a slow reader must not wait for the next heartbeat.
        heard = bell.rung
        rows = ledger.read(lambda c, after=cursor: events.since(c, after, _TOGETHER))  # type: ignore[misc]
        for row in rows:
            cursor = row.cursor
            body = {"cursor": row.cursor, "kind": row.kind, "subject": row.subject, "state": row.state, "at": moment(row.at)}
            yield f"id: {row.cursor}\nevent: {row.kind}\ndata: {json.dumps(body, separators=(',', ':'))}\n\n".encode()
        if len(rows) < _TOGETHER and not await bell.wait(_HEARTBEAT_S, heard):
            yield b": still here\n\n"


async def run_lines(engine: Engine, run: str, cursor: int) -> AsyncIterator[bytes]:
    """A run's events, one JSON object a line."""
    try:
        async for event in engine.stream(run, cursor):
            yield _line(event)
    except StudioError as error:
        # The answer has begun: the refusal can only be one more line.
        yield _line({"t": "error", "code": error.code, "message": error.message})


def _line(event: dict[str, Any]) -> bytes:
    return json.dumps(event, separators=(",", ":"), default=str).encode() + b"\n"
