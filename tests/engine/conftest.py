from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from engine_rig import EngineRig

from mlstudio_lab.engine.local import LocalPool
from mlstudio_lab.testing import FakeExecutor


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineRig]:
    """An engine with real worker processes, shared by a file's tests."""
    rig = EngineRig(tmp_path_factory.mktemp("home"), lambda home: {"local": LocalPool(home, 2)})
    yield rig
    rig.close()


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[EngineRig]:
    """An engine whose executor does what the test says."""
    rig = EngineRig(tmp_path / "home", lambda home: {"local": FakeExecutor(home)})
    yield rig
    rig.close()
