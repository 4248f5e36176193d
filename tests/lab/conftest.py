"""A real Jupyter server with our extension, and what a browser would hold after signing in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

# Its fixtures and hooks are for this folder only: as a plugin they would give every test of the suite a Jupyter server to clean up.
from pytest_jupyter.jupyter_server import *  # noqa: F403


@pytest.fixture
def jp_server_config() -> Any:
    return {"ServerApp": {"jpserver_extensions": {"mlstudio_lab": True}, "allow_unauthenticated_access": False}}


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The Jupyter server belongs to an empty home whose studio does not run."""
    home = tmp_path / "home"
    monkeypatch.setenv("MLSTUDIO_HOME", str(home))
    monkeypatch.setenv("MLSTUDIO_EXECUTOR", "local")
    monkeypatch.delenv("MLSTUDIO_URL", raising=False)
    return home
