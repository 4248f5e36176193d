from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from executor_rig import Rig, WallClock

from mlstudio_lab.core.bundle import Bundle, Unit
from mlstudio_lab.core.interface import Interface
from mlstudio_lab.core.lock import Lock
from mlstudio_lab.data.code_refs import NoCode
from mlstudio_lab.data.graph import pack
from mlstudio_lab.engine.local import LocalPool
from mlstudio_lab.testing import MemoryBlobs


@pytest.fixture(scope="session")
def local_rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    home = tmp_path_factory.mktemp("home")
    rig = Rig(home, lambda: LocalPool(home, 2))
    yield rig
    rig.close()


@pytest.fixture(scope="session")
def ray_agent_rig(ray_runtime: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    from mlstudio_lab.adapters.ray_executor import RayExecutor

    home = tmp_path_factory.mktemp("home")
    rig = Rig(home, lambda: RayExecutor(home, ray_runtime, 2, WallClock()), end="leave")
    yield rig
    rig.close()


@pytest.fixture(params=["local", pytest.param("ray", marks=pytest.mark.ray)])
def rig(request: pytest.FixtureRequest) -> Rig:
    """Each executor, with two warm workers."""
    found: Rig = request.getfixturevalue("local_rig" if request.param == "local" else "ray_agent_rig")
    found.until(lambda: found.executor.status()["workers"] == 2 and found.executor.ready(), 90)
    return found


@pytest.fixture
def cell(rig: Rig) -> Callable[..., Any]:
    """A task that runs a cell's text."""
    nothing = pack({"args": [], "kwargs": {}, "globals": {}}, MemoryBlobs(), NoCode()).to_json()

    def make(source: str, *, lock: Lock | None = None, **fields: Any) -> Any:
        here = lock or Lock(platform.python_version(), f"{sys.platform}-{platform.machine()}", ())
        bundle = Bundle("cell", "", (Unit("main", "main", source),), Interface(), here)
        return rig.task(bundle=bundle.to_json(), inputs=nothing, origins={"main": ["cell.py", 1]}, **fields)

    return make
