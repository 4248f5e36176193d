"""What the engine keeps in hand: callers, versions as facts, plans, and runs under way."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from mlstudio_lab.core.bundle import Bundle
from mlstudio_lab.core.interface import Port
from mlstudio_lab.core.memo import MemoParts
from mlstudio_lab.core.names import Name
from mlstudio_lab.engine.retry import Loss
from mlstudio_lab.engine.streams import Stream
from mlstudio_lab.ledger.runs import RunRow

KERNEL: Final = "kernel"
"""Name of the executor that is the sender's own process."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, as the operating system or a token says.

    Attributes:
        actor: The person's name.
        pid: Process id of the asking process, 0 when unknown.
        started: When that process started, as the system counts; tells a reused pid apart.
    """

    actor: str
    pid: int = 0
    started: int = 0


@dataclass(frozen=True, slots=True)
class Code:
    """One bundle and what the service itself computed from it."""

    bundle: Bundle
    id: str
    digest: str
    tree: Mapping[str, str]
    lock: str


@dataclass(slots=True)
class Plan:
    """What one request means here.

    Attributes:
        number: The version's number, 0 when the version is not stored yet.
        moved_dev: Whether the sender's `dev` tag moves to this version.
        dev_newer: Number of the sender's newer `dev` version, None when this one is not behind.
        parts: None when the inputs have no digest, so that nothing can be reused or stored.
        obstacles: Why nothing can be reused: Impurity jsons.
    """

    run: str
    name: Name
    code: Code
    number: int
    request: dict[str, Any]
    caller: Caller
    parts: MemoParts | None = None
    key: str = ""
    obstacles: list[dict[str, Any]] = field(default_factory=list)
    cloned_from: str | None = None
    moved_dev: bool = False
    dev_newer: int | None = None
    why: str = ""


@dataclass(slots=True)
class Live:
    """A run that is not final yet; loop-bound.

    Attributes:
        stored: Resolves when the run is in the ledger.
        cancel_asked: Somebody asked to stop it.
        timed_out: Its time was up.
        committing: Its ending is on the way to the ledger.
        follows: It waits for the same computation of another run.
        by_itself: The kernel that executes it asked to stop, so it need not be interrupted.
        ended: Its row as committed, once it has ended by an outcome.
    """

    plan: Plan
    number: int
    created_at: datetime
    executor: str
    attempt: str
    fence: int
    state: str = "queued"
    started_at: datetime | None = None
    stream: Stream = field(default_factory=Stream)
    stored: Future[Any] | None = None
    losses: list[Loss] = field(default_factory=list)
    cancel_asked: bool = False
    timed_out: bool = False
    committing: bool = False
    timers: list[asyncio.TimerHandle] = field(default_factory=list)
    worker: dict[str, Any] = field(default_factory=dict)
    refusals: int = 0
    needs: list[str] = field(default_factory=list)
    follows: bool = False
    by_itself: bool = False
    ended: RunRow | None = None

    def stop_timers(self) -> None:
        """Cancels whatever was to happen later."""
        for timer in self.timers:
            timer.cancel()
        self.timers.clear()


def ports_by_name(bundle: Bundle) -> dict[str, Port]:
    """The bundle's inputs by name."""
    return {port.name: port for port in bundle.interface.inputs}
