"""Memos: proofs that the same code on the same inputs gave these outputs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from mlstudio_lab.core.edges import Edge
from mlstudio_lab.core.errors import NotFound
from mlstudio_lab.ledger import audit
from mlstudio_lab.ledger.connection import Connection, Row, Statement, from_micros, from_text, maybe_moment, to_micros, to_text
from mlstudio_lab.ledger.edges import put_set
from mlstudio_lab.ledger.tables import memos, runs


@dataclass(frozen=True, slots=True)
class MemoRow:
    """One remembered result.

    Attributes:
        key: Digest of everything the result depends on.
        module: The module's name whose run made it.
        run_id: That run.
        actor: Who ran it.
        zone: Trust zone it was made in.
        at: When.
        log_blob: Blob of its ordered output, for replay.
        edge_set: Number of its set of edges; see `edges.get_set`.
        quarantined: Why it must not be used, None when it may.
        hits: How often it was used.
        last_hit_at: When last.
        effects: What was read and left behind, to be verified again at look-up.
        outputs: Payload json.
        parts: The key's parts, which explain a later miss; None where a look-up leaves them out.
        tree: Unit name -> code digest, likewise.
    """

    key: str
    module: str
    run_id: str
    actor: str
    zone: str
    at: datetime
    log_blob: str | None
    edge_set: int | None
    quarantined: str | None
    hits: int
    last_hit_at: datetime | None
    effects: dict[str, Any]
    outputs: dict[str, Any] | None
    parts: dict[str, Any] | None = None
    tree: dict[str, str] | None = None


_C = memos.c
_NARROW = (
    _C.key, _C.module, _C.run, _C.actor, _C.zone, _C.at, _C.log_blob, _C.edge_set, _C.quarantined, _C.hits, _C.last_hit_at,
    _C.effects, _C.outputs,
)  # fmt: skip
_WIDE = (*_NARROW, _C.parts, _C.tree)
_FIND = Statement(lambda: select(*_NARROW).where(_C.key == bindparam("key")))
_GET = Statement(lambda: select(*_WIDE).where(_C.key == bindparam("key")))
_LAST = Statement(
    lambda: select(*_WIDE).where(_C.module == bindparam("module"), _C.actor == bindparam("actor")).order_by(_C.at.desc()).limit(1)
)
_MODULE_OF = Statement(lambda: select(runs.c.module).where(runs.c.id == bindparam("run_id")))
_HIT = Statement(
    lambda: update(memos).where(_C.key == bindparam("memo_key")).values(hits=_C.hits + bindparam("more"), last_hit_at=bindparam("hit_at"))
)
_QUARANTINE = Statement(
    lambda: update(memos).where(_C.key == bindparam("memo_key"), _C.quarantined.is_(None)).values(quarantined=bindparam("reason"))
)


def _put() -> Any:
    names = ("key", "module", "run", "actor", "zone", "at", "log_blob", "edge_set", "effects", "outputs", "parts", "tree")
    statement = upsert(memos).values({name: bindparam(name) for name in names} | {"hits": 0})
    newer = {name: statement.excluded[name] for name in names if name != "key"}
    # The newest result for a key is the one kept; a quarantined or damaged one is replaced by it.
    return statement.on_conflict_do_update(index_elements=["key"], set_={**newer, "quarantined": None, "hits": 0})


_PUT = Statement(_put)


def put_memo(
    c: Connection,
    *,
    key: str,
    parts: Mapping[str, Any],
    tree: Mapping[str, str],
    run_id: str,
    outputs: Mapping[str, Any] | None,
    effects: Mapping[str, Any],
    edges: Iterable[Edge | Mapping[str, Any]],
    log_blob: str | None,
    zone: str,
    actor: str,
    at: datetime,
) -> None:
    """Remembers a result; the newest one for a key replaces the one before, quarantined or not.

    Args:
        c: The connection.
        key: `core.memo.MemoParts.key`.
        parts: The key's parts as JSON.
        tree: Unit name -> code digest.
        run_id: The run that made it.
        outputs: Payload json.
        effects: What was read and left behind.
        edges: Its edges with the run's own names; kept once for all results with the same ones.
        log_blob: Blob of its ordered output.
        zone: Trust zone.
        actor: Who.
        at: When.

    Raises:
        NotFound: There is no such run.
    """
    module = c.one(_MODULE_OF, run_id=run_id)
    if module is None:
        raise NotFound(f"no run {run_id}", subject=run_id)
    c.run(
        _PUT,
        key=key,
        module=module[0],
        run=run_id,
        actor=actor,
        zone=zone,
        at=to_micros(at),
        log_blob=log_blob,
        edge_set=put_set(c, [e if isinstance(e, Edge) else Edge.from_json(e) for e in edges]),
        effects=to_text(dict(effects)),
        outputs=to_text(None if outputs is None else dict(outputs)),
        parts=to_text(dict(parts)),
        tree=to_text(dict(tree)),
    )


def find_memo(c: Connection, key: str) -> MemoRow | None:
    """The remembered result for a key, without parts and tree; None when there is none or it is quarantined."""
    row = c.one(_FIND, key=key)
    return None if row is None or row[8] is not None else _memo(row)


def get_memo(c: Connection, key: str) -> MemoRow | None:
    """All that is known of one memo, quarantined or not; None when there is none."""
    row = c.one(_GET, key=key)
    return None if row is None else _memo(row)


def last_for_module(c: Connection, module: str, actor: str) -> MemoRow | None:
    """A person's newest memo of a module, with the parts and tree that explain why the next run missed."""
    row = c.one(_LAST, module=module, actor=actor)
    return None if row is None else _memo(row)


def quarantine(c: Connection, key: str, reason: str, *, actor: str, at: datetime) -> bool:
    """Takes a memo out of use until its key is remembered anew; False when it was out of use or never there."""
    if not c.run(_QUARANTINE, memo_key=key, reason=reason).rowcount:
        return False
    audit.append(c, actor, "memo.quarantine", key, {"reason": reason}, at)
    return True


def record_hits(c: Connection, key: str, *, at: datetime, times: int = 1) -> None:
    """Counts that a memo was used."""
    c.run(_HIT, memo_key=key, more=times, hit_at=to_micros(at))


def _memo(row: Row) -> MemoRow:
    cells = list(row)
    cells[5], cells[10] = from_micros(row[5]), maybe_moment(row[10])
    cells[11:] = [from_text(text) for text in row[11:]]
    return MemoRow(*cells)
