"""Taking up what an earlier service left: durable outcomes, attempts still running elsewhere, and what must run again."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import structlog

from mlstudio_lab.core.errors import RunFailed
from mlstudio_lab.core.memo import MemoParts
from mlstudio_lab.core.names import Name
from mlstudio_lab.core.run import FINAL
from mlstudio_lab.engine.commit import failure, without_secrets
from mlstudio_lab.engine.kernels import watch_kernel
from mlstudio_lab.engine.model import KERNEL, Caller, Live, Plan
from mlstudio_lab.engine.outcomes import drop_outcome, read_outcome, waiting_outcomes
from mlstudio_lab.engine.retry import Loss
from mlstudio_lab.engine.running import Running
from mlstudio_lab.engine.versions import Versions
from mlstudio_lab.ledger import events, runs
from mlstudio_lab.ledger.connection import Connection
from mlstudio_lab.ledger.ledger import Ledger
from mlstudio_lab.wire.routes import NEEDS_KERNEL

log = structlog.get_logger("engine")


async def adopt(running: Running, ledger: Ledger, versions: Versions, home: Path) -> None:
    """Ends, watches or restarts every run that the ledger has open.

    An outcome whose attempt is the newest of an open run ends it; other outcome files are of no use and are removed. A
    kernel that still lives may still report. Every other open attempt is offered to its executor, which runs it still or
    reports it lost.
    """
    open_attempts = ledger.read(runs.open_attempts)
    known: set[tuple[str, int]] = set()
    for attempt in open_attempts:
        row = ledger.read(lambda c, a=attempt: runs.get_run(c, a.run))  # type: ignore[misc]
        newest = ledger.read(lambda c, a=attempt: runs.newest_fence(c, a.run))  # type: ignore[misc]
        if row is None or row.state in FINAL or attempt.fence != newest:
            await asyncio.wrap_future(ledger.write(lambda c, a=attempt: runs.end_attempt(c, a.id, state="lost", at=running.now())))  # type: ignore[misc]
            continue
        live = _live(row, attempt, ledger, versions)
        if live is None:
            await abandon(running, row, attempt)
            continue
        known.add((attempt.id, attempt.fence))
        running.enter(live)
        outcome = await asyncio.to_thread(read_outcome, home, attempt.id, attempt.fence)
        log.info("adopted", run=row.id, attempt=attempt.id, executor=attempt.executor, outcome=outcome.state if outcome else "")
        if outcome is not None:
            await running.finish(live, outcome)
        elif attempt.executor == KERNEL:
            _take_kernel(running, live)
        else:
            readopt(running, live)
    for name, fence in list(waiting_outcomes(home)):
        if (name, fence) not in known:
            drop_outcome(home, name, fence)


def _live(row: runs.RunRow, attempt: runs.AttemptRow, ledger: Ledger, versions: Versions) -> Live | None:
    name = Name.parse(row.module)
    found = versions.by_id(name, row.version_id)
    if found is None or row.request is None:
        return None
    number, code = found
    request: dict[str, Any] = {**row.request, "run": row.id}
    parts = MemoParts.from_json(request["parts"]) if request.get("parts") else None
    plan = Plan(
        run=row.id, name=name, code=code, number=number, request=request, caller=Caller(row.actor), parts=parts, key=row.memo_key or "",
        obstacles=list(request.get("obstacles") or ()), cloned_from=row.cloned_from, why=row.why,
    )  # fmt: skip
    live = Live(plan, row.number, row.created_at, attempt.executor, attempt.id, attempt.fence, state=row.state, started_at=row.started_at)
    live.worker = json.loads(attempt.worker) if attempt.worker.startswith("{") else {}
    earlier = ledger.read(lambda c: runs.attempts_of(c, row.id))
    # Why an earlier attempt was lost is not kept; a crash of the studio is no fault of the code's.
    live.losses = [Loss("an earlier attempt was lost", infrastructure=True) for a in earlier if a.id != attempt.id]
    return live


def _take_kernel(running: Running, live: Live) -> None:
    live.needs = [NEEDS_KERNEL]
    live.state = "running"
    watch_kernel(running, live)


def readopt(running: Running, live: Live) -> None:
    """Offers an attempt of an earlier service to its executor, which runs it still or reports it lost."""
    executor = running.executors.get(live.executor)
    if executor is None:
        running.lost(live.attempt, f"there is no {live.executor} executor any more", infrastructure=True)
    else:
        executor.adopt(live.attempt, live.fence, live.plan.run, running.on_event(live.attempt), running.on_outcome)


async def abandon(running: Running, row: runs.RunRow, attempt: runs.AttemptRow) -> None:
    """Ends a run whose source or inputs are not in the ledger any more."""
    at = running.now()
    told = failure("worker", "its version or inputs are not stored any more, so it cannot be taken up again", RunFailed)

    def record(c: Connection) -> None:
        runs.end_attempt(c, attempt.id, state="lost", at=at)
        runs.update_run(c, row.id, event="fail", at=at, error=told, request=without_secrets(row.request or {}))
        events.append(c, "run", row.id, {"number": row.number, "module": row.module, "state": "failed"}, at)

    await asyncio.wrap_future(running.ledger.write(record))
