"""Which executor takes a run, and which run no executor can ever take."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from mlstudio_lab.core.errors import BadInput, Unavailable
from mlstudio_lab.engine.executors import Executor
from mlstudio_lab.engine.model import KERNEL


def machine() -> tuple[int, int]:
    """Processors and bytes of memory of this machine."""
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        memory = 0
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1, memory


def choose(request: Mapping[str, Any], executors: Mapping[str, Executor], preferred: str = "auto") -> str:
    """The name of the executor for a request: what it asks for, else Ray when warm, else local.

    Args:
        request: The request; `where` wins over `preferred`.
        executors: By name.
        preferred: The home's setting.

    Raises:
        BadInput: It asks for more than this machine has, or for what does not exist.
        Unavailable: It asks for an executor that is not installed.
    """
    where = str(request.get("where") or "auto")
    if where not in ("auto", "local", "ray", KERNEL):
        raise BadInput(f"where is {where!r}", subject="where", hint="choose auto, local, ray or kernel")
    if where == KERNEL:
        if not (request.get("kernel") or request.get("cwd") or request.get("values")):
            raise BadInput("a run without a notebook has no kernel to run in", subject="where", hint="choose auto, local or ray")
        return KERNEL
    check_fits(request)
    wanted = preferred if where == "auto" else where
    if wanted == "auto":
        ray = executors.get("ray")
        return "ray" if ray is not None and ray.ready() else "local"
    if wanted not in executors:
        hint = "set MLSTUDIO_EXECUTOR=auto and start the studio again; if Ray is missing: pip install 'mlstudio_lab[ray]'"
        raise Unavailable(f"this studio has no {wanted} executor", subject=wanted, hint=hint)
    return wanted


def check_fits(request: Mapping[str, Any]) -> None:
    """Refuses what this machine can never give.

    Raises:
        BadInput: Negative, or more than there is.
    """
    cpus, memory = machine()
    for name, there, unit in (("cpus", cpus, ""), ("gpus", 0, ""), ("memory_bytes", memory, " bytes")):
        asked = request.get(name) or 0
        option = f"--{name.partition('_')[0]}"
        if asked < 0:
            raise BadInput(f"{option} is {asked}", subject=option, hint="give a positive number")
        if asked > there and not (name == "memory_bytes" and not memory):
            raise BadInput(
                f"{option} asks for {asked:g}{unit} and this machine has {there}", subject=option, hint=f"ask for at most {there}"
            )
    if (request.get("timeout_s") or 0) < 0:
        raise BadInput(f"--timeout is {request['timeout_s']}", subject="--timeout", hint="give seconds, or leave it out")
