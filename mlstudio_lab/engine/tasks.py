"""From a plan to the task a worker gets; the same from memory and from the ledger."""

from __future__ import annotations

import os
from functools import lru_cache
from typing import Any

from mlstudio_lab.core.clock import Clock
from mlstudio_lab.core.ids import ulid
from mlstudio_lab.core.memo import GLOBAL
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
        inputs=request.get("payload") or empty_inputs(),
        home=home,
        origins=request.get("origins") or {},
        sources=sources,
        datasets=datasets,
        parameters=dict(request.get("parameters") or {}),
        ambient=ambient,
        outputs=request.get("outputs"),
        seed=request.get("seed"),
        timeout_s=request.get("timeout_s") or 0.0,
        cpus=request.get("cpus") or 0.0,
        gpus=request.get("gpus") or 0.0,
        memory_bytes=request.get("memory_bytes") or 0,
    )


@lru_cache(maxsize=1)
def empty_inputs() -> dict[str, Any]:
    """The payload of a run that got no live values."""
    from mlstudio_lab.blobs.store import Blobs
    from mlstudio_lab.data.code_refs import NoCode
    from mlstudio_lab.data.graph import pack

    nowhere: Blobs = None  # type: ignore[assignment]  # nothing here is big enough for a blob
    return pack({"args": [], "kwargs": {}, "globals": {}}, nowhere, NoCode()).to_json()


def input_name(name: str) -> str:
    """An input's name as the code says it."""
    return name.removeprefix(GLOBAL)
