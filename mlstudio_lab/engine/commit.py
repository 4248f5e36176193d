"""How a run ends in the ledger: bytes first, then every fact in one transaction, by the newest fence only."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal

from mlstudio_lab.blobs.store import Blobs
from mlstudio_lab.core.edges import Edge
from mlstudio_lab.core.errors import Conflict, RunTimedOut
from mlstudio_lab.core.run import FINAL
from mlstudio_lab.engine.lineage import Joined, join
from mlstudio_lab.engine.memory import LOG_KIND
from mlstudio_lab.engine.model import Live
from mlstudio_lab.ledger import events, memos, runs
from mlstudio_lab.ledger.connection import Connection
from mlstudio_lab.wire.task import Failure, Outcome

Event = Literal["succeed", "fail", "cancel"]

_FORGOTTEN: Final = ("env",)
"""Parts of the ambient state that are dropped when a run ends: nobody's secrets stay in the ledger."""


@dataclass(slots=True)
class Ending:
    """How one attempt ends its run.

    Attributes:
        attempt_state: As `ledger.attempts` names it.
        reason: For people, when there is no outcome.
    """

    event: Event
    attempt_state: str
    outcome: Outcome | None = None
    failure: dict[str, Any] | None = None
    log_blob: str | None = None
    stored: bool = False
    why: str = ""
    impurities: list[dict[str, Any]] = field(default_factory=list)


@dataclass(slots=True)
class Ended:
    """What was committed."""

    row: runs.RunRow
    joined: Joined
    ending: Ending


def ending_of(live: Live, outcome: Outcome) -> Ending:
    """What an outcome means for its run.

    Example:
        An outcome `succeeded` without impurities ends with event "succeed" and is stored.
    """
    if outcome.state == "succeeded":
        impurities = [*live.plan.obstacles, *(i for i in outcome.impurities if i not in live.plan.obstacles)]
        if outcome.missing:
            named = f"looks for `{outcome.missing[0]}`, which was not there"
            impurities.append({"what": "missing name", "detail": named, "line": 0})
        stored = not impurities and live.plan.parts is not None
        why = live.plan.why if stored else not_stored(impurities)
        return Ending("succeed", "succeeded", outcome, stored=stored, why=why, impurities=impurities)
    if outcome.state == "cancelled" and not live.timed_out:
        return Ending("cancel", "cancelled", outcome, why=live.plan.why)
    if outcome.state == "timed_out" or live.timed_out:
        return Ending("fail", "timed_out", outcome, failure=timed_out(live), why=live.plan.why)
    return Ending("fail", outcome.state, outcome, failure=outcome.failure, why=live.plan.why)


def not_stored(impurities: list[dict[str, Any]]) -> str:
    """Why a result is not kept for reuse, as a person says it.

    Example:
        >>> not_stored([{"what": "clock", "detail": "reads the clock", "line": 4}])
        'not stored: reads the clock at line 4'
    """
    if not impurities:
        return "not stored"
    first = impurities[0]
    where = f" at line {first['line']}" if first.get("line") else ""
    more = f" and {len(impurities) - 1} more" if len(impurities) > 1 else ""
    return f"not stored: {first.get('detail') or first.get('what')}{where}{more}"


def timed_out(live: Live) -> dict[str, Any]:
    """The failure of a run whose time was up."""
    limit = live.plan.request.get("timeout_s") or 0
    return failure("worker", f"{live.plan.name} took longer than its --timeout of {limit:g} s", RunTimedOut)


def failure(by: str, message: str, kind: type[Exception]) -> dict[str, Any]:
    """A Failure json of ours."""
    return Failure(type=f"{kind.__module__}.{kind.__qualname__}", message=message, by=by).to_json()


def put_log(blobs: Blobs, outcome: Outcome | None) -> str | None:
    """Stores what a run said; None when it said nothing."""
    if outcome is None or not outcome.log:
        return None
    return blobs.put(LOG_KIND, [json.dumps(outcome.log, separators=(",", ":")).encode()]).digest


def commit(c: Connection, live: Live, ending: Ending, at: datetime) -> Ended:
    """Writes down how a run ended, with its memo, edges, labels, event and audit row.

    Args:
        c: The connection, inside the ledger's transaction.
        live: The run.
        ending: How it ended; its bytes are durable already.
        at: When.

    Raises:
        Conflict: The run is final already, or a newer attempt has been made.
    """
    plan, outcome = live.plan, ending.outcome
    if runs.newest_fence(c, plan.run) != live.fence:
        raise Conflict(f"attempt {live.fence} of run {live.number} was superseded", subject=plan.run)
    if (state := runs.state_of(c, plan.run)) is None or state in FINAL:
        raise Conflict(f"run {live.number} has ended already", subject=plan.run)
    usage = dict(outcome.usage) if outcome else {}
    runs.end_attempt(c, live.attempt, state=ending.attempt_state, at=at, **usage)
    # A failed run's are what it bound and changed before its error; they are never remembered.
    outputs = outcome.outputs if outcome else None
    joined = Joined()
    if outcome and outputs is not None:
        joined = join(c, plan, [Edge.from_json(e) for e in outcome.edges], outputs, at)
    usage |= {"edges": joined.kinds, "stored": ending.stored}
    if joined.labelled:
        usage["labelled"] = joined.labelled
    if outcome and outcome.effects:
        usage["effects"] = {k: v for k, v in outcome.effects.items() if k not in ("widened", "left")}
        if outcome.effects.get("widened"):
            usage["widened"] = outcome.effects["widened"]
    runs.update_run(
        c,
        plan.run,
        at=at,
        event=ending.event,
        executor=live.executor,
        why=ending.why,
        memo_key=plan.key or None,
        started_at=live.started_at,
        ended_at=at,
        outputs=outputs,
        error=ending.failure,
        impurities=ending.impurities,
        warnings=joined.warnings,
        usage=usage,
        log_blob=ending.log_blob,
        request=without_secrets(plan.request),
    )
    if ending.stored and outcome is not None and plan.parts is not None:
        memos.put_memo(
            c,
            key=plan.key,
            parts=plan.parts.to_json(),
            tree=plan.code.tree,
            run_id=plan.run,
            outputs=outputs,
            effects=outcome.effects,
            edges=outcome.edges,
            log_blob=ending.log_blob,
            zone=plan.parts.zone,
            actor=plan.caller.actor,
            at=at,
        )
    row = runs.get_run(c, plan.run)
    assert row is not None
    events.append(c, "run", plan.run, {"number": live.number, "module": str(plan.name), "state": row.state}, at)
    return Ended(row, joined, ending)


def without_secrets(request: Mapping[str, Any]) -> dict[str, Any]:
    """A request as it is kept once its run has ended."""
    kept = {k: v for k, v in request.items() if k not in ("bundle", "run", "wait_s", "version")}
    if kept.get("ambient"):
        kept["ambient"] = {k: v for k, v in kept["ambient"].items() if k not in _FORGOTTEN}
    return kept
