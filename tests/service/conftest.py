from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "engine"))
from service_rig import ServiceRig


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceRig]:
    """A running service, shared by a file's tests."""
    rig = ServiceRig(tmp_path_factory.mktemp("home"))
    rig.up()
    yield rig
    rig.down()


@pytest.fixture
def own(tmp_path: Path) -> Iterator[ServiceRig]:
    """A home whose service a test may kill."""
    rig = ServiceRig(tmp_path / "home")
    yield rig
    rig.down()
