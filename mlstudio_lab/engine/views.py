"""Runs as the wire shows them: RunView JSON from what is live, what is remembered and what is in the ledger."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from mlstudio_lab.engine.memory import Hot
from mlstudio_lab.engine.model import Live, Plan
from mlstudio_lab.ledger.runs import RunRow

SHOWN_REQUEST: Final = (
    "parameters",
    "arguments",
    "datasets",
    "where",
    "cpus",
    "gpus",
    "memory_bytes",
    "timeout_s",
    "seed",
    "reuse",
    "outputs",
)
"""Parts of a request that people may see and change in a clone; inputs, environment and ambient state stay inside."""


def moment(at: datetime | None) -> str | None:
    """A moment as ISO 8601 text in UTC."""
    return None if at is None else at.isoformat().replace("+00:00", "Z")


def of_needs(run: str, plan: Plan | None, needs: list[str]) -> dict[str, Any]:
    """What to send along; nothing was started."""
    view: dict[str, Any] = {"id": run, "number": 0, "state": "", "reused": False, "needs": needs}
    if plan is not None:
        view |= {
            "module": str(plan.name),
            "version": plan.code.id,
            "version_number": plan.number,
            "kind": plan.code.bundle.kind,
            "why": plan.why,
        }
    return view


def of_plan(plan: Plan, number: int) -> dict[str, Any]:
    """What a plan says of its run, whatever became of it."""
    return {
        "id": plan.run,
        "number": number,
        "module": str(plan.name),
        "version": plan.code.id,
        "version_number": plan.number,
        "kind": plan.code.bundle.kind,
        "actor": plan.caller.actor,
        "dev_newer": plan.dev_newer,
    }


def of_hit(plan: Plan, number: int, hot: Hot, log: list[dict[str, Any]], at: datetime) -> dict[str, Any]:
    """A run that was answered from memory."""
    return of_plan(plan, number) | {
        "state": "succeeded",
        "reused": True,
        "reused_from": hot.number,
        "stored": True,
        "why": plan.why,
        "outputs": hot.outputs,
        "log": log,
        "effects": hot.effects,
        "warnings": hot.warnings,
        "edges": sum(hot.edges.values()),
        "edge_kinds": hot.edges,
        "created_at": moment(at),
        "ended_at": moment(at),
    }


def of_live(live: Live) -> dict[str, Any]:
    """A run that is not final."""
    return of_plan(live.plan, live.number) | {
        "state": live.state,
        "reused": False,
        "reused_from": None,
        "stored": False,
        "outputs": None,
        "warnings": [],
        "failure": None,
        "why": live.plan.why,
        "executor": live.executor,
        "needs": live.needs,
        "attempt": live.attempt,
        "fence": live.fence,
        "created_at": moment(live.created_at),
        "started_at": moment(live.started_at),
    }


def of_row(
    row: RunRow, *, version_number: int = 0, kind: str = "", reused_number: int | None = None, cloned_number: int | None = None
) -> dict[str, Any]:
    """A run as the ledger has it."""
    usage = dict(row.usage or {})
    edges = usage.pop("edges", None) or {}
    effects = usage.pop("effects", None) or {}
    stored = bool(usage.pop("stored", False))
    for kept in ("labelled", "widened"):
        usage.pop(kept, None)
    request = row.request or {}
    return {
        "id": row.id,
        "number": row.number,
        "module": row.module,
        "version": row.version_id,
        "version_number": version_number,
        "kind": kind,
        "state": row.state,
        "reused": row.reused_from is not None,
        "reused_from": reused_number,
        "stored": stored,
        "why": row.why,
        "executor": row.executor,
        "outputs": row.outputs,
        "effects": effects,
        "impurities": row.impurities,
        "warnings": row.warnings,
        "edges": sum(edges.values()),
        "edge_kinds": edges,
        "usage": usage,
        "failure": row.error,
        "created_at": moment(row.created_at),
        "started_at": moment(row.started_at),
        "ended_at": moment(row.ended_at),
        "cloned_from": cloned_number,
        "actor": row.actor,
        "dev_newer": None,
        "request": shown_request(request),
    }


def shown_request(request: Mapping[str, Any]) -> dict[str, Any]:
    """The parts of a request that a clone form shows, with each input's kind instead of its value."""
    shown = {name: request[name] for name in SHOWN_REQUEST if request.get(name) not in (None, {}, [])}
    inputs = {name: value.get("summary") or value.get("type", "") for name, value in (request.get("values") or {}).items()}
    return shown | ({"inputs": inputs} if inputs else {})
