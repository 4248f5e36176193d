"""The hot cluster as people see it: one light, its executors and workers."""

from __future__ import annotations

from typing import Any

from mlstudio_lab.engine import admit
from mlstudio_lab.studio.context import Studio


def executors(studio: Studio) -> list[dict[str, Any]]:
    """Each executor's status."""
    return [executor.status() for executor in studio.engine.executors.values()]


def cluster(studio: Studio) -> dict[str, Any]:
    """The light: green when hot, amber while something serves and the rest warms, red when nothing can run."""
    found = executors(studio)
    ray = next((e for e in found if e["name"] == "ray"), None)
    local = next((e for e in found if e["name"] == "local"), None)
    cpus, memory = admit.machine()
    if ray is not None and ray["ready"]:
        light, text = "green", f"Ray is hot: {ray['workers']} workers"
    elif local is not None and local["ready"]:
        light = "green" if ray is None or ray.get("state") == "absent" else "amber"
        text = f"{local['workers']} local workers" + (f"; {ray['detail']}" if ray is not None and ray["detail"] else "")
    else:
        light, text = ("amber", "workers are starting") if local is None or local["workers"] else ("red", local["detail"])
    return {"light": light, "text": text, "executors": found, "cpus": cpus, "memory_bytes": memory}


def open_runs(studio: Studio) -> dict[str, int]:
    """How many runs are queued and running."""
    found = {"queued": 0, "running": 0}
    for live in studio.engine.running.lives.values():
        found[live.state] = found.get(live.state, 0) + 1
    return found
