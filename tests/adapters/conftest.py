from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from executor_rig import Rig, WallClock

from mlstudio_lab.adapters.ray_executor import RayExecutor


@pytest.fixture(scope="session")
def ray_rig(ray_runtime: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """Two warm actors with a scripted agent on the shared head."""
    home = tmp_path_factory.mktemp("home")
    rig = Rig(home, lambda: RayExecutor(home, ray_runtime, 2, WallClock(), agent="agents:Scripted"), end="leave")
    rig.until(lambda: len(rig.executor.status()["members"]) == 2)
    yield rig
    rig.close()
