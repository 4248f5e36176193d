"""Runs: every execution, its one final state, and what it would take to do it again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, TypedDict, Unpack, cast

from sqlalchemy import Select, bindparam, func, insert, literal_column, select, union_all, update

from mlstudio_lab.core.errors import BadInput, Conflict, NotFound
from mlstudio_lab.core.run import FINAL, RunEvent, RunState, advance
from mlstudio_lab.ledger import audit
from mlstudio_lab.ledger.attempts import (
    AttemptRow,
    attempts_of,
    end_attempt,
    get_attempt,
    insert_attempt,
    newest_fence,
    open_attempts,
    start_attempt,
)
from mlstudio_lab.ledger.connection import Connection, Row, Statement, from_micros, from_text, maybe_moment, to_micros, to_text
from mlstudio_lab.ledger.tables import runs

__all__ = [
    "AttemptRow",
    "RunColumns",
    "RunRow",
    "attempts_of",
    "count_open",
    "end_attempt",
    "get_attempt",
    "get_run",
    "insert_attempt",
    "insert_run",
    "list_runs",
    "newest_fence",
    "open_attempts",
    "start_attempt",
    "update_run",
]


@dataclass(frozen=True, slots=True)
class RunRow:
    """One execution of a version with fixed inputs.

    Attributes:
        id: The ULID its client made.
        number: Short number within the home.
        kind: "module".
        module: The module's `namespace/name`.
        version_id: Which version.
        state: See `core.run`.
        where: What was asked for: "auto", "local", "ray", "kernel".
        executor: What ran it, "" until then.
        why: Why it ran, or did not, as a sentence for people.
        reused_from: Id of the run whose result it took.
        memo_key: Key under which its result may be found again.
        cloned_from: Id of the run it is a changed copy of.
        actor: Who.
        zone: Trust zone.
        created_at, started_at, ended_at: When.
        log_blob: Blob of its ordered output.
        error: Failure json.
        impurities: Why its result may not be reused.
        warnings: What people should know.
        usage: Usage json.
        outputs: Payload json.
        request: Everything to run it again or changed.
    """

    id: str
    number: int
    kind: str
    module: str
    version_id: str
    state: RunState
    where: str
    executor: str
    why: str
    reused_from: str | None
    memo_key: str | None
    cloned_from: str | None
    actor: str
    zone: str
    created_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    log_blob: str | None = None
    error: dict[str, Any] | None = None
    impurities: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[dict[str, Any]] = field(default_factory=list)
    usage: dict[str, Any] | None = None
    outputs: dict[str, Any] | None = None
    request: dict[str, Any] | None = None


_C = runs.c
_NARROW = (
    _C.id, _C.number, _C.kind, _C.module, _C.version_id, _C.state, _C.where, _C.executor, _C.why, _C.reused_from, _C.memo_key,
    _C.cloned_from, _C.actor, _C.zone, _C.created_at, _C.started_at, _C.ended_at, _C.log_blob, _C.error, _C.impurities, _C.warnings,
    _C.usage,
)  # fmt: skip
_WIDE = (*_NARROW, _C.outputs, _C.request)
_MOMENTS: Final = frozenset({"started_at", "ended_at"})
_JSON: Final = frozenset({"error", "impurities", "warnings", "usage", "outputs", "request"})

_INSERT = Statement(lambda: insert(runs))
_BY_ID = Statement(lambda: select(*_WIDE).where(_C.id == bindparam("id")))
_BY_NUMBER = Statement(lambda: select(*_WIDE).where(_C.number == bindparam("number")))
_STATE = Statement(lambda: select(_C.state, _C.actor, _C.module, _C.number).where(_C.id == bindparam("id")))
_COUNT = Statement(lambda: select(_C.state, func.count()).where((_C.state == "queued") | (_C.state == "running")).group_by(_C.state))


class RunColumns(TypedDict, total=False):
    """Columns of a run that may be given at first and changed later; see `RunRow`."""

    executor: str
    why: str
    reused_from: str | None
    memo_key: str | None
    version_id: str
    zone: str
    started_at: datetime | None
    ended_at: datetime | None
    log_blob: str | None
    error: dict[str, Any] | None
    impurities: list[dict[str, Any]]
    warnings: list[dict[str, Any]]
    usage: dict[str, Any] | None
    outputs: dict[str, Any] | None
    request: dict[str, Any] | None


_DEFAULTS: Final[dict[str, Any]] = dict.fromkeys(RunColumns.__annotations__) | {"executor": "", "why": "", "zone": "", "version_id": ""}


def insert_run(
    c: Connection,
    *,
    id: str,
    module: str,
    actor: str,
    created_at: datetime,
    number: int = 0,
    kind: str = "module",
    state: RunState = "queued",
    where: str = "auto",
    cloned_from: str | None = None,
    **columns: Unpack[RunColumns],
) -> int:
    """Writes down a new run and who asked for it; returns its number.

    Args:
        c: The connection.
        id: The ULID its client made.
        module: The module's `namespace/name`.
        actor: Who.
        created_at: When.
        number: From `Ledger.next_run_number` where it was told before this is written; else one is taken here.
        kind: "module".
        state: "queued"; a reused run is inserted in its final state at once.
        where: What was asked for.
        cloned_from: Id of the run it is a changed copy of.
        **columns: The rest of `RunRow` as far as it is known.

    Raises:
        Conflict: There is a run of that id.
        BadInput: A column that does not exist.

    Example:
        `number = insert_run(c, id=ulid, module="flights/delay", version_id=v.id, actor="ada", created_at=clock.now())`
    """
    _check_columns(columns)
    if c.one(_STATE, id=id) is not None:
        raise Conflict(f"there is a run {id} already", subject=id, hint="each run has its own id; ask for that one's result")
    number = number or c.next_number()
    given = {**_DEFAULTS, **columns}
    if state in FINAL and given["ended_at"] is None:
        given["ended_at"] = created_at
    stored = {name: _stored(name, value) for name, value in given.items()}
    c.run(
        _INSERT,
        number=number,
        id=id,
        kind=kind,
        module=module,
        state=state,
        where=where,
        cloned_from=cloned_from,
        actor=actor,
        created_at=to_micros(created_at),
        **stored,
    )
    detail = {"module": module, "version": given["version_id"], "number": number, "state": state}
    audit.append(c, actor, "run.reuse" if given["reused_from"] else "run.submit", id, detail, created_at)
    return number


def get_run(c: Connection, id_or_number: str | int) -> RunRow | None:
    """One run by its ULID or its number ("41", 41); None when there is none."""
    text = str(id_or_number)
    # A ULID may be all digits, but is longer than any number.
    if text.isdecimal() and len(text) < 19:
        row = c.one(_BY_NUMBER, number=int(text))
    else:
        row = c.one(_BY_ID, id=text)
    return None if row is None else _run(row)


def state_of(c: Connection, id: str) -> RunState | None:
    """The state of one run by its ULID, without its request and outputs; None when there is none.

    Example:
        `state_of(c, run.id) == "queued"`
    """
    found = c.one(_STATE, id=id)
    return None if found is None else cast(RunState, found[0])


def list_runs(
    c: Connection,
    *,
    state: RunState | Iterable[RunState] | None = None,
    module: str | None = None,
    actor: str | None = None,
    before: int | None = None,
    limit: int = 100,
    wide: bool = True,
) -> list[RunRow]:
    """Runs, newest first.

    Args:
        c: The connection.
        state: Only in this state, or one of these.
        module: Only of this module.
        actor: Only of this person.
        before: Only with a lower number, to page on.
        limit: At most so many.
        wide: False leaves outputs and request out, which a list for people does not show.

    Example:
        `list_runs(c, state=("queued", "running"), limit=20)`
    """
    if limit < 0:
        raise BadInput(f"limit is {limit}, expected 0 or more", subject="limit")
    wanted = [state] if isinstance(state, str) else list(state) if state is not None else []
    if state is not None and not wanted:
        return []
    given: dict[str, Any] = {"most": limit}
    for name, value in (("module", module), ("actor", actor), ("before", before)):
        if value is not None:
            given[name] = value
    given |= {f"state{place}": each for place, each in enumerate(wanted)}
    rows = c.all(_list(len(wanted), "module" in given, "actor" in given, "before" in given, wide), **given)
    return [_run(row) for row in rows]


@lru_cache(maxsize=64)
def _list(states: int, module: bool, actor: bool, before: bool, wide: bool) -> Statement:
    def narrowed(query: Select[Any]) -> Select[Any]:
        if module:
            query = query.where(_C.module == bindparam("module"))
        if actor:
            query = query.where(_C.actor == bindparam("actor"))
        if before:
            query = query.where(_C.number < bindparam("before"))
        return query

    def make() -> Any:
        columns = _WIDE if wide else _NARROW
        if states < 2:
            query = narrowed(select(*columns))
            if states:
                query = query.where(_C.state == bindparam("state0"))
            return query.order_by(_C.number.desc()).limit(bindparam("most"))
        # As a union SQLite walks each state's index backwards and merges; `IN` would sort every run of those states.
        each = [narrowed(select(_C.number).where(_C.state == bindparam(f"state{place}"))) for place in range(states)]
        newest = union_all(*each).order_by(literal_column("number").desc()).limit(bindparam("most")).subquery()
        return select(*columns).where(_C.number.in_(select(newest.c.number))).order_by(_C.number.desc())

    return Statement(make)


def count_open(c: Connection) -> dict[str, int]:
    """How many runs are queued and running."""
    return {"queued": 0, "running": 0} | {row[0]: row[1] for row in c.all(_COUNT)}


def update_run(
    c: Connection, id: str, *, at: datetime, event: RunEvent | None = None, actor: str = "", **columns: Unpack[RunColumns]
) -> RunState:
    """Changes a run; its state only along `core.run.advance`. Returns its state afterwards.

    Args:
        c: The connection.
        id: The run's ULID.
        at: When; becomes `started_at` on start and `ended_at` on a final state unless those are given.
        event: "start", "requeue", "succeed", "fail" or "cancel".
        actor: Who, where it is not the one who started it (a cancel by somebody else).
        **columns: New values.

    Raises:
        NotFound: There is no such run.
        Conflict: The run's state does not allow the event.
        BadInput: A column that does not exist or never changes.

    Example:
        `update_run(c, run.id, event="succeed", at=clock.now(), outputs=payload.to_json())`
    """
    _check_columns(columns)
    found = c.one(_STATE, id=id)
    if found is None:
        raise NotFound(f"no run {id}", subject=id, hint="mlstudio runs list shows them")
    state = cast(RunState, found[0])
    given: dict[str, Any] = dict(columns)
    if event is not None:
        state = advance(state, event)
        given["state"] = state
        if event == "start":
            given.setdefault("started_at", at)
        if state in FINAL:
            given.setdefault("ended_at", at)
    if given:
        names = tuple(sorted(given))
        c.run(_update(names), id_=id, **{f"new_{name}": _stored(name, given[name]) for name in names})
    if event is not None and state in FINAL:
        detail = {"module": found[2], "number": found[3], "state": state}
        audit.append(c, actor or found[1], f"run.{event}", id, detail, at)
    return state


def _check_columns(columns: RunColumns) -> None:
    unknown = columns.keys() - _DEFAULTS.keys()
    if unknown:
        raise BadInput(f"a run has no changeable {min(unknown)}", subject=min(unknown))


@lru_cache(maxsize=256)
def _update(names: tuple[str, ...]) -> Statement:
    return Statement(lambda: update(runs).where(_C.id == bindparam("id_")).values({name: bindparam(f"new_{name}") for name in names}))


def _stored(name: str, value: Any) -> Any:
    if name in _JSON:
        return to_text(None if value == [] else value)
    return None if value is None else to_micros(value) if name in _MOMENTS else value


def _run(row: Row) -> RunRow:
    cells = list(row)
    cells[14:17] = from_micros(row[14]), maybe_moment(row[15]), maybe_moment(row[16])
    cells[18:] = [from_text(text) for text in row[18:]]
    cells[19], cells[20] = cells[19] or [], cells[20] or []
    return RunRow(*cells)
