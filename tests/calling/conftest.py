import pytest
from bench_rig import Bench


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path / "home")
