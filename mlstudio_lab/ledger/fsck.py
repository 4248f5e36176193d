"""Looks for damage in a home, and changes nothing."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sqlalchemy import select, text
from sqlalchemy.sql import ClauseElement

from mlstudio_lab.blobs.store import Blobs
from mlstudio_lab.core.bundle import Bundle
from mlstudio_lab.core.clock import Clock
from mlstudio_lab.core.errors import Corrupt, StorageFailed, StudioError
from mlstudio_lab.ledger import audit
from mlstudio_lab.ledger.connection import Connection, Statement
from mlstudio_lab.ledger.ledger import Ledger
from mlstudio_lab.ledger.roots import garbled, needed_blobs
from mlstudio_lab.ledger.tables import bundles, locks


@dataclass(frozen=True, slots=True)
class Finding:
    """One piece of damage.

    Attributes:
        where: The damaged thing.
        what: What is wrong with it.
    """

    where: str
    what: str


_REFERENCES: Final = (
    (
        "SELECT m.name || '@' || t.tag FROM tags t LEFT JOIN modules m ON m.id = t.module"
        " LEFT JOIN versions v ON v.module = t.module AND v.number = t.number AND v.id = t.version_id WHERE v.id IS NULL",
        "the tag points to no version",
    ),
    (
        "SELECT m.name || '@v' || v.number FROM versions v LEFT JOIN modules m ON m.id = v.module"
        " LEFT JOIN bundles b ON b.id = v.id WHERE b.id IS NULL OR m.id IS NULL",
        "the version has no source",
    ),
    (
        "SELECT m.name FROM modules m WHERE m.latest <> (SELECT coalesce(max(number), 0) FROM versions WHERE module = m.id)",
        "its newest version is not the one it names",
    ),
    (
        "SELECT 'attempt ' || a.id FROM attempts a JOIN runs r ON r.id = a.run"
        " WHERE r.state IN ('cancelled', 'failed', 'succeeded') AND a.ended_at IS NULL",
        "the run is final and this attempt of it has not ended",
    ),
    ("SELECT 'attempt ' || a.id FROM attempts a LEFT JOIN runs r ON r.id = a.run WHERE r.id IS NULL", "the attempt belongs to no run"),
    (
        "SELECT 'run ' || number FROM runs WHERE (state IN ('cancelled', 'failed', 'succeeded')) <> (ended_at IS NOT NULL)",
        "its state and its end disagree",
    ),
    (
        "SELECT 'run ' || r.number FROM runs r WHERE r.version_id <> '' AND NOT EXISTS (SELECT 1 FROM versions WHERE id = r.version_id)",
        "it ran a version that is not there",
    ),
    (
        "SELECT 'memo ' || substr(m.key, 1, 12) FROM memos m LEFT JOIN runs r ON r.id = m.run WHERE r.id IS NULL",
        "the memo belongs to no run",
    ),
    (
        "SELECT 'memo ' || substr(m.key, 1, 12) FROM memos m LEFT JOIN edge_sets e ON e.id = m.edge_set"
        " WHERE m.edge_set IS NOT NULL AND e.id IS NULL",
        "its edges are not there",
    ),
    ("SELECT 'run ' || l.run FROM run_edges l LEFT JOIN edge_sets e ON e.id = l.edge_set WHERE e.id IS NULL", "its edges are not there"),
    (
        "SELECT d.name FROM datasets d LEFT JOIN dataset_versions v ON v.dataset = d.id AND v.number = d.latest WHERE v.id IS NULL",
        "its latest version is not there",
    ),
    (
        "SELECT 'content ' || substr(c.digest, 1, 12) FROM content_labels l LEFT JOIN contents c ON c.id = l.content"
        " LEFT JOIN label_sets s ON s.id = l.label_set WHERE s.id IS NULL OR c.id IS NULL",
        "its labels are not there",
    ),
)
"""Questions whose every answer is damage."""

_INTEGRITY = Statement(lambda: text("PRAGMA integrity_check(20)"))
_BUNDLES = Statement(lambda: _bundles())


def _bundles() -> ClauseElement:
    joined = bundles.outerjoin(locks, locks.c.id == bundles.c.lock)
    return select(bundles.c.id, bundles.c.body, locks.c.body.label("lock_body")).select_from(joined)


_QUESTIONS: Final = tuple((Statement(lambda sql=sql: text(sql)), what) for sql, what in _REFERENCES)  # type: ignore[misc]


def check(ledger: Ledger, blobs: Blobs) -> list[Finding]:
    """All damage in a ledger and its blobs; an empty list when both are sound. Only reads.

    Args:
        ledger: May be in use, or opened for reading.
        blobs: Every blob in it is read through.

    Example:
        `for finding in check(ledger, blobs): print(finding.where, finding.what)`
    """
    findings: list[Finding] = []
    findings += _ask(ledger, "ledger.db", _integrity)
    findings += _ask(ledger, "audit", _chain)
    findings += _ask(ledger, "ledger.db", _references)
    findings += _ask(ledger, "ledger.db", _sources)
    findings += _ask(
        ledger, "ledger.db", lambda c: (Finding(where, "what is written about it is not JSON any more") for where in garbled(c))
    )
    damaged = list(_damaged(blobs))
    findings += damaged
    known = {finding.where for finding in damaged}
    findings += _ask(ledger, "ledger.db", lambda c: _missing(c, blobs, known))
    return findings


def check_folder(folder: Path, clock: Clock, blobs: Blobs) -> list[Finding]:
    """As `check`, of a ledger that nobody opened yet; one too damaged to open is a finding.

    Args:
        folder: The ledger's folder.
        clock: As for `Ledger.open`.
        blobs: Every blob in it is read through.

    Raises:
        NotFound: There is no ledger in the folder.
        Incompatible: It is of another version of the studio.
    """
    try:
        ledger = Ledger.open(folder, clock, writing=False)
    except Corrupt as error:
        return [Finding("ledger.db", error.message), *_damaged(blobs)]
    with ledger:
        return check(ledger, blobs)


def _ask(ledger: Ledger, where: str, question: Any) -> list[Finding]:
    """One question's findings; a file too damaged to be asked is a finding itself."""
    found: list[Finding] = []

    def collect(c: Connection) -> None:
        found.extend(question(c))

    try:
        ledger.read(collect)
    except (sqlite3.Error, StudioError, ValueError, zlib.error, UnicodeDecodeError) as error:
        found.append(Finding(where, f"cannot be read: {error}"))
    return found


def _integrity(c: Connection) -> Iterator[Finding]:
    for row in c.each(_INTEGRITY):
        if row[0] != "ok":
            yield Finding("ledger.db", str(row[0]))


def _chain(c: Connection) -> Iterator[Finding]:
    broken = audit.verify(c)
    if broken is not None:
        yield Finding(f"audit {broken.seq}", "the row is not what was written, or does not follow the one before")


def _references(c: Connection) -> Iterator[Finding]:
    for question, what in _QUESTIONS:
        for row in c.each(question):
            yield Finding(str(row[0]), what)


def _sources(c: Connection) -> Iterator[Finding]:
    """Bundles that are not what their names say."""
    for name, body, lock in c.each(_BUNDLES):
        same = False
        # Whatever fails here fails because the stored bytes are damaged.
        with contextlib.suppress(StudioError, ValueError, TypeError, KeyError, AttributeError, zlib.error):
            source = json.loads(zlib.decompress(body))
            source["lock"] = json.loads(zlib.decompress(lock))
            same = Bundle.from_json(source).id == name
        if not same:
            yield Finding(f"bundle {name[:12]}", "its source is not that of its name")


def _damaged(blobs: Blobs) -> Iterator[Finding]:
    try:
        for digest in blobs.iter():
            try:
                blobs.verify(digest)
            except StudioError as error:
                yield Finding(f"blob {digest}", error.message)
    except StorageFailed as error:
        yield Finding("blobs", error.message)


def _missing(c: Connection, blobs: Blobs, known: set[str]) -> Iterator[Finding]:
    for where, digest in needed_blobs(c):
        if f"blob {digest}" not in known and not blobs.has(digest):
            yield Finding(f"blob {digest}", f"it is missing; {where} needs it")
