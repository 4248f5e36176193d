"""Looking at runs, under way or ended: views, rows, output."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

from mlstudio_lab.blobs.store import Blobs
from mlstudio_lab.core.errors import BadName, NotFound
from mlstudio_lab.core.ids import is_ulid
from mlstudio_lab.engine import views
from mlstudio_lab.engine.model import Live
from mlstudio_lab.engine.running import Running
from mlstudio_lab.engine.versions import Versions
from mlstudio_lab.ledger import runs
from mlstudio_lab.ledger.connection import Connection
from mlstudio_lab.ledger.ledger import Ledger
from mlstudio_lab.wire.routes import MAX_WAIT_S

T = TypeVar("T")


class Looking:
    """Everything that reads and changes nothing; loop-bound.

    Args:
        ledger: Runs that have ended.
        blobs: What they said.
        versions: Numbers of versions.
        running: Runs under way.
    """

    def __init__(self, ledger: Ledger, blobs: Blobs, versions: Versions, running: Running) -> None:
        self.ledger = ledger
        self.blobs = blobs
        self.versions = versions
        self.running = running

    async def view(self, run: str, wait_s: float = 0.0) -> dict[str, Any]:
        """A run by ULID or number, after waiting for its end up to `wait_s`.

        Raises:
            NotFound: There is none.
        """
        live = self.live(run)
        if live is not None and wait_s > 0 and not live.needs:
            await self.running.waiting.until(live.plan.run, min(wait_s, MAX_WAIT_S))
            live = self.live(run)
        if live is not None:
            return views.of_live(live)
        return self.read(lambda c: self._row_view(c, run))

    def read(self, fn: Callable[[Connection], T]) -> T:
        """What a function reads of everything that was answered so far; quick ones only, the loop waits."""
        self.running.settle()
        return self.ledger.read(fn)

    def row(self, c: Connection, run: str) -> runs.RunRow:
        """A run's row by ULID or number.

        Raises:
            BadName: Neither.
            NotFound: There is none.
        """
        if not (is_ulid(run) or (run.isdecimal() and len(run) < 19)):
            shown = run.encode("unicode_escape").decode()[:40]
            raise BadName(f"{shown!r} is not a run", subject=shown, hint="give its number or its id")
        row = runs.get_run(c, run)
        if row is None:
            raise NotFound(f"no run {run}", subject=run, hint="mlstudio runs list shows them")
        return row

    def _row_view(self, c: Connection, run: str) -> dict[str, Any]:
        row = self.row(c, run)
        view = self.view_of(c, row)
        if row.reused_from and row.outputs is None:
            source = runs.get_run(c, row.reused_from)
            if source is not None:
                view |= {"outputs": source.outputs, "effects": (source.usage or {}).get("effects") or {}}
        return view

    def view_of(self, c: Connection, row: runs.RunRow) -> dict[str, Any]:
        """A RunView of one row, with the numbers of the version and the runs it names."""
        found = self.versions.by_id_with(c, row.module, row.version_id)
        numbers = [None if i is None else (r.number if (r := runs.get_run(c, i)) else None) for i in (row.reused_from, row.cloned_from)]
        return views.of_row(row, version_number=found[0], kind=found[1], reused_number=numbers[0], cloned_number=numbers[1])

    def live(self, run: str) -> Live | None:
        """A run under way by ULID or number."""
        live = self.running.lives.get(run)
        if live is None and run.isdecimal():
            live = next((each for each in self.running.lives.values() if str(each.number) == run), None)
        return live

    async def stream(self, run: str, cursor: int = 0) -> AsyncIterator[dict[str, Any]]:
        """What a run says, from a cursor on, until its final state; of an ended run, what it said.

        Raises:
            NotFound: There is no such run.
        """
        live = self.live(run)
        if live is not None:
            async for event in live.stream.read(cursor):
                yield event
            return
        row = self.read(lambda c: self.row(c, run))
        said = [*self.log_of(row), {"t": "state", "state": row.state, "executor": row.executor, "final": True}]
        for n, event in enumerate(said, 1):
            if n > cursor:
                yield {"n": n, **event}

    def said(self, run: str) -> list[dict[str, Any]] | None:
        """What a run under way has said so far; None when it is not under way."""
        live = self.live(run)
        return None if live is None else list(live.stream.events)

    def progress(self, run: str) -> dict[str, Any]:
        """What is known of a run under way before the ledger knows it; empty for any other."""
        live = self.running.lives.get(run)
        if live is None:
            return {}
        return {"state": live.state, "executor": live.executor, "needs": live.needs, "started_at": views.moment(live.started_at)}

    def log_of(self, row: runs.RunRow) -> list[dict[str, Any]]:
        """What a run said; of a reused one, what the run said that it was taken from."""
        digest = row.log_blob
        if digest is None and row.reused_from:
            source = self.ledger.read(lambda c: runs.get_run(c, row.reused_from or ""))
            digest = source.log_blob if source else None
        if digest is None:
            return []
        said: list[dict[str, Any]] = json.loads(bytes(self.blobs.open(digest).data))
        return said
