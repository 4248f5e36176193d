"""What every verb needs: the engine, and the caller's name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from mlstudio_lab.engine.engine import Engine
from mlstudio_lab.ledger.connection import Connection

T = TypeVar("T")


@dataclass(slots=True)
class Studio:
    """The home as verbs see it.

    Attributes:
        engine: Plans and runs.
        changed: Tells listeners of events that there are new ones.
    """

    engine: Engine
    changed: Callable[[], None]

    def read(self, fn: Callable[[Connection], T]) -> T:
        """What a function reads from the ledger; quick ones only, the loop waits."""
        return self.engine.read(fn)

    async def write(self, fn: Callable[[Connection], T]) -> T:
        """What a function writes into the ledger, once it is durable."""
        import asyncio

        result = await asyncio.wrap_future(self.engine.ledger.write(fn))
        self.changed()
        return result
