"""From a plan to the task a worker gets; the same from memory and from the ledger."""

from __future__ import annotations

import os
from typing import Any

from mlstudio_lab.core.clock import Clock
from mlstudio_lab.core.ids import ulid
from mlstudio_lab.engine.model import Plan
from mlstudio_lab.wire.task import Task


def new_id(clock: Clock) -> str:
    """A new ULID."""
    return ulid(int(clock.now().timestamp() * 1000), os.urandom(10))


def build_task(plan: Plan, attempt: str, fence: int, home: str, sources: dict[str, Any]) -> Task:
    """The task of one attempt.

    Args:
        plan: What to run.
        attempt: Its id.
        fence: Its number.
        home: The home's folder.
        sources: Input name -> Source json, for inputs recognised as datasets.
    """
    request = plan.request
    ambient = dict(request.get("ambient") or {})
    if request.get("cwd") and "cwd" not in ambient:
        ambient["cwd"] = request["cwd"]
    if request.get("env"):
        ambient["env_reads"] = sorted(request["env"])
    datasets = {
        name: {"name": d["name"], "version": d["version"], "payload": d["payload"], "reference": d["reference"], "as": d["as"]}
        for name, d in (request.get("_datasets") or {}).items()
    }
    return Task(
        attempt=attempt,
        fence=fence,
        run=plan.run,
        name=str(plan.name),
        bundle=plan.code.bundle.to_json(),
        inputs=request.get("payload") or {},
        home=home,
        origins=request.get("origins") or {},
        sources=sources,
        datasets=datasets,
        parameters=dict(request.get("parameters") or {}),
        ambient=ambient,
        outputs=request.get("outputs"),
        session=bool(request.get("kernel")) and request.get("where", "auto") == "auto",
        seed=request.get("seed"),
        timeout_s=request.get("timeout_s") or 0.0,
        cpus=request.get("cpus") or 0.0,
        gpus=request.get("gpus") or 0.0,
        memory_bytes=request.get("memory_bytes") or 0,
    )
