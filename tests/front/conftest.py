import pytest
from home_rig import fresh_studio, running_home

from kernels import Kernel


@pytest.fixture(scope="module")
def home(runtime_root):
    with running_home() as made:
        yield made


@pytest.fixture
def studio(home):
    return fresh_studio(home)


@pytest.fixture(scope="module")
def kernel(home):
    made = Kernel()
    made.run("%load_ext mlstudio_lab")
    yield made
    made.stop()
