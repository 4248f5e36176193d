"""What every test may ask for: a short home, and a plain word where a part a laptop may lack is missing."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest


def lacking(what: str, how: str) -> None:
    """Skips with the reason on a laptop; fails where CI promised the part."""
    message = f"needs {what}; {how}"
    if os.environ.get("CI", "").lower() in ("1", "true"):
        pytest.fail(message, pytrace=False)
    pytest.skip(message)


@pytest.fixture(scope="session")
def lacks() -> Callable[[str, str], None]:
    """`lacks("Chromium", "apt-get install chromium")` skips here and fails in CI."""
    return lacking


@pytest.fixture(scope="session", autouse=True)
def runtime_root() -> Iterator[Path]:
    """One short folder for the sockets of every home of this session; pytest's own paths are too long for sockets."""
    folder = Path(tempfile.mkdtemp(prefix="mlst-"))
    before = os.environ.get("MLSTUDIO_RUNTIME")
    os.environ["MLSTUDIO_RUNTIME"] = str(folder)
    try:
        yield folder
    finally:
        if before is None:
            del os.environ["MLSTUDIO_RUNTIME"]
        else:
            os.environ["MLSTUDIO_RUNTIME"] = before
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def ray_runtime(runtime_root: Path, lacks: Callable[[str, str], None]) -> Iterator[Path]:
    """The short folder of one Ray head shared by the whole session (starting one takes 5 to 14 seconds)."""
    import importlib.util
    import subprocess
    import sys

    if importlib.util.find_spec("ray") is None:
        lacks("Ray", "pip install 'mlstudio_lab[ray]'")
    from mlstudio_lab.adapters import ray_head

    folder = runtime_root / "ray"
    folder.mkdir(mode=0o700)
    # The actors of tests/adapters load their agents by name.
    environment = ray_head.environment(folder) | {"PYTHONPATH": str(Path(__file__).parent / "adapters")}
    command = [sys.executable, "-m", "mlstudio_lab.adapters.ray_head", str(folder)]
    with open(folder / "head.log", "wb") as log:
        subprocess.run(command, env=environment, start_new_session=True, check=True, stdout=log, stderr=log)
    try:
        yield folder
    finally:
        ray_head.stop(folder)
