"""What changed, in order, for whoever listens: ids and states only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, func, insert, select

from mlstudio_lab.ledger.connection import Connection, Statement, from_micros, from_text, to_micros, to_text
from mlstudio_lab.ledger.tables import events


@dataclass(frozen=True, slots=True)
class EventRow:
    """One change.

    Attributes:
        cursor: Grows with each event; a listener resumes after the last it saw.
        kind: "run", "module", "dataset", "tag", "cluster", …
        subject: The changed thing's name or id.
        state: Its new state; never data values.
        at: When.
    """

    cursor: int
    kind: str
    subject: str
    state: dict[str, Any]
    at: datetime


_INSERT = Statement(lambda: insert(events).values({n: bindparam(n) for n in ("kind", "subject", "state", "at")}))
_SINCE = Statement(
    lambda: (
        select(events.c.cursor, events.c.kind, events.c.subject, events.c.state, events.c.at)
        .where(events.c.cursor > bindparam("after"))
        .order_by(events.c.cursor)
        .limit(bindparam("most"))
    )
)
_NEWEST = Statement(lambda: select(func.coalesce(func.max(events.c.cursor), 0)))


def append(c: Connection, kind: str, subject: str, state: dict[str, Any], at: datetime) -> int:
    """Writes down one change, in the transaction that makes it; returns its cursor."""
    return c.run(_INSERT, kind=kind, subject=subject, state=to_text(state), at=to_micros(at)).lastrowid or 0


def since(c: Connection, cursor: int, limit: int = 1000) -> list[EventRow]:
    """The events after a cursor, oldest first; cursor 0 is before the first."""
    return [EventRow(r[0], r[1], r[2], from_text(r[3]), from_micros(r[4])) for r in c.all(_SINCE, after=cursor, most=limit)]


def newest(c: Connection) -> int:
    """The newest event's cursor, 0 when there is none."""
    row = c.one(_NEWEST)
    return int(row[0]) if row else 0
