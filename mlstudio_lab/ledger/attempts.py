"""Attempts: each time an executor was given a run, under a growing fence, with what it cost."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, func, insert, select, update

from mlstudio_lab.core.errors import Conflict, NotFound
from mlstudio_lab.ledger.connection import Connection, Row, Statement, from_micros, maybe_moment, to_micros
from mlstudio_lab.ledger.tables import attempts


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """One try.

    Attributes:
        id: Its id; with the fence it names the durable outcome.
        run: The run's ULID.
        fence: Grows with each attempt of a run; only the newest may commit.
        executor: "local", "ray", "kernel".
        worker: Which worker, "" until one took it.
        state: "queued", "running", then how it ended: "succeeded", "failed", "cancelled", "timed_out", "refused", "lost".
        queued_at, started_at, ended_at: When.
        cpu_s, gpu_s, wall_s: Seconds.
        peak_bytes: Peak resident memory.
        moved_bytes: Bytes decoded and encoded.
        cost_rate: Money a wall second, 0 where nothing is known.
    """

    id: str
    run: str
    fence: int
    executor: str
    worker: str
    state: str
    queued_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    cpu_s: float = 0.0
    gpu_s: float = 0.0
    wall_s: float = 0.0
    peak_bytes: int = 0
    moved_bytes: int = 0
    cost_rate: float = 0.0


_C = attempts.c
_ALL = (
    _C.id, _C.run, _C.fence, _C.executor, _C.worker, _C.state, _C.queued_at, _C.started_at, _C.ended_at,
    _C.cpu_s, _C.gpu_s, _C.wall_s, _C.peak_bytes, _C.moved_bytes, _C.cost_rate,
)  # fmt: skip
_INSERT = Statement(lambda: insert(attempts).values({column.name: bindparam(column.name) for column in _ALL}))
_NEWEST = Statement(lambda: select(func.coalesce(func.max(_C.fence), 0)).where(_C.run == bindparam("run_id")))
_GET = Statement(lambda: select(*_ALL).where(_C.id == bindparam("id")))
_OF_RUN = Statement(lambda: select(*_ALL).where(_C.run == bindparam("run_id")).order_by(_C.fence))
_OPEN = Statement(lambda: select(*_ALL).where(_C.ended_at.is_(None)).order_by(_C.queued_at, _C.seq))
_START = Statement(
    lambda: (
        update(attempts)
        .where(_C.id == bindparam("attempt_id"), _C.ended_at.is_(None))
        .values(state=bindparam("new_state"), worker=bindparam("new_worker"), started_at=bindparam("new_started_at"))
    )
)
_COSTS = ("cpu_s", "gpu_s", "wall_s", "peak_bytes", "moved_bytes", "cost_rate")
_END = Statement(
    lambda: (
        update(attempts)
        .where(_C.id == bindparam("attempt_id"), _C.ended_at.is_(None))
        .values({name: bindparam(f"new_{name}") for name in ("state", "ended_at", *_COSTS)})
    )
)


def insert_attempt(c: Connection, *, id: str, run: str, fence: int, executor: str, queued_at: datetime, worker: str = "") -> AttemptRow:
    """Writes down that an executor is about to be given a run.

    Raises:
        Conflict: The run has an attempt with this fence or a newer one.

    Example:
        `insert_attempt(c, id=new_id, run=run.id, fence=newest_fence(c, run.id) + 1, executor="local", queued_at=clock.now())`
    """
    newest = newest_fence(c, run)
    if fence <= newest:
        raise Conflict(f"run {run} is at attempt {newest} already", subject=run, hint="only a newer attempt may follow")
    row = AttemptRow(id, run, fence, executor, worker, "queued", queued_at)
    costs = dict.fromkeys(_COSTS, 0)
    c.run(
        _INSERT, id=id, run=run, fence=fence, executor=executor, worker=worker, state="queued",
        queued_at=to_micros(queued_at), started_at=None, ended_at=None, **costs,
    )  # fmt: skip
    return row


def start_attempt(c: Connection, id: str, *, worker: str, at: datetime) -> None:
    """Writes down which worker took an attempt, and when; nothing when it has ended meanwhile."""
    c.run(_START, attempt_id=id, new_state="running", new_worker=worker, new_started_at=to_micros(at))


def end_attempt(c: Connection, id: str, *, state: str, at: datetime, **costs: Any) -> bool:
    """Writes down how an attempt ended and what it cost; False when it had ended before.

    Args:
        c: The connection.
        id: The attempt's id.
        state: "succeeded", "failed", "cancelled", "timed_out", "refused" or "lost".
        at: When.
        **costs: Of cpu_s, gpu_s, wall_s, peak_bytes, moved_bytes, cost_rate; the rest is 0. Other keys, such as a
            usage's further figures, are passed over.

    Raises:
        NotFound: There is no such attempt.
    """
    known = {f"new_{name}": costs.get(name) or 0 for name in _COSTS}
    changed = c.run(_END, attempt_id=id, new_state=state, new_ended_at=to_micros(at), **known).rowcount
    if not changed and c.one(_GET, id=id) is None:
        raise NotFound(f"no attempt {id}", subject=id)
    return bool(changed)


def newest_fence(c: Connection, run: str) -> int:
    """The newest attempt's fence, 0 when the run has none."""
    row = c.one(_NEWEST, run_id=run)
    return int(row[0]) if row else 0


def get_attempt(c: Connection, id: str) -> AttemptRow | None:
    """One attempt; None when there is none."""
    row = c.one(_GET, id=id)
    return None if row is None else _attempt(row)


def attempts_of(c: Connection, run: str) -> list[AttemptRow]:
    """A run's attempts, oldest first."""
    return [_attempt(row) for row in c.all(_OF_RUN, run_id=run)]


def open_attempts(c: Connection) -> list[AttemptRow]:
    """Every attempt that has not ended, oldest first: what a restarted studio must adopt or give up."""
    return [_attempt(row) for row in c.all(_OPEN)]


def _attempt(row: Row) -> AttemptRow:
    cells = list(row)
    cells[6:9] = from_micros(row[6]), maybe_moment(row[7]), maybe_moment(row[8])
    return AttemptRow(*cells)
