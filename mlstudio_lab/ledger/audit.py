"""Who did what to what, each row chained to the one before by its digest."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import bindparam, insert, select

from mlstudio_lab.core.digest import digest
from mlstudio_lab.ledger.connection import Connection, Row, Statement, from_micros, from_text, to_micros
from mlstudio_lab.ledger.tables import audit

START: Final = "0" * 64
"""What the first row is chained to."""


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One act.

    Attributes:
        seq: 1, 2, 3, … without gaps.
        actor: Who did it.
        action: What, as noun and verb: "version.add", "tag.move", "run.submit".
        subject: To which named thing.
        detail: Ids and states; never data values.
        at: When.
        prev: Digest of the row before.
        digest: Digest of all of the above.
    """

    seq: int
    actor: str
    action: str
    subject: str
    detail: dict[str, Any]
    at: datetime
    prev: str
    digest: str


_COLUMNS = (audit.c.seq, audit.c.actor, audit.c.action, audit.c.subject, audit.c.detail, audit.c.at, audit.c.prev, audit.c.digest)
_LAST = Statement(lambda: select(audit.c.seq, audit.c.digest).order_by(audit.c.seq.desc()).limit(1))
_INSERT = Statement(lambda: insert(audit))
_AFTER = Statement(lambda: select(*_COLUMNS).where(audit.c.seq > bindparam("seq")).order_by(audit.c.seq).limit(bindparam("most")))
_OF_SUBJECT = Statement(
    lambda: select(*_COLUMNS).where(audit.c.subject == bindparam("name")).order_by(audit.c.seq.desc()).limit(bindparam("most"))
)


def append(c: Connection, actor: str, action: str, subject: str, detail: dict[str, Any], at: datetime) -> int:
    """Writes down one act, in the transaction that does it; returns its sequence number.

    Example:
        `append(c, "ada", "tag.move", "flights/delay@latest", {"to": 3}, clock.now())`
    """
    last = c.one(_LAST)
    seq, prev = (last[0] + 1, last[1]) if last else (1, START)
    text = json.dumps(detail, separators=(",", ":"), sort_keys=True)
    micros = to_micros(at)
    c.run(
        _INSERT,
        seq=seq,
        actor=actor,
        action=action,
        subject=subject,
        detail=text,
        at=micros,
        prev=prev,
        digest=_digest(seq, actor, action, subject, text, micros, prev),
    )
    return seq


def verify(c: Connection) -> AuditRow | None:
    """The first row that is not what was written or does not follow the one before; None when the chain holds.

    A chain shows changes inside it; that its tail was cut shows only against a digest kept elsewhere.
    """
    seq, prev = 0, START
    while rows := c.all(_AFTER, seq=seq, most=1000):
        for row in rows:
            if row[0] != seq + 1 or row[6] != prev or row[7] != _digest(*row[:7]):
                return _row(row)
            seq, prev = row[0], row[7]
    return None


def list_audit(c: Connection, *, subject: str, limit: int = 100) -> list[AuditRow]:
    """The newest acts on one subject, newest first."""
    return [_row(row) for row in c.all(_OF_SUBJECT, name=subject, most=limit)]


def since(c: Connection, seq: int, limit: int = 1000) -> list[AuditRow]:
    """The acts after one, oldest first."""
    return [_row(row) for row in c.all(_AFTER, seq=seq, most=limit)]


def _digest(seq: int, actor: str, action: str, subject: str, detail: str, at: int, prev: str) -> str:
    return digest("audit", seq, actor, action, subject, detail, at, prev)


def _row(row: Row) -> AuditRow:
    try:
        detail = from_text(row[4])
    except ValueError:
        # A garbled row is still shown to whoever asks what is broken.
        detail = {}
    return AuditRow(row[0], row[1], row[2], row[3], detail, from_micros(row[5]), row[6], row[7])
