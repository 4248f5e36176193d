"""The forwarder: signed-in people only, allowed routes only, the studio's words passed on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tornado.httpclient import HTTPClientError

pytest_plugins = ("pytest_jupyter.jupyter_server",)


@pytest.fixture
def jp_server_config(jp_server_config: Any) -> Any:
    return {"ServerApp": {"jpserver_extensions": {"mlstudio_lab": True}, "allow_unauthenticated_access": False}}


@pytest.fixture(autouse=True)
def empty_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MLSTUDIO_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MLSTUDIO_URL", "http://127.0.0.1:9")
    return tmp_path


async def test_without_a_token_nothing_is_answered(http_server_client: Any, jp_base_url: str, empty_home: Path) -> None:
    with pytest.raises(HTTPClientError) as error:
        await http_server_client.fetch(f"{jp_base_url}mlstudio/api/runs")
    assert error.value.code == 403


@pytest.mark.parametrize("path", ["shutdown", "blobs/" + "a" * 64, "runs/../shutdown", "openapi.json", "events"])
async def test_other_routes_do_not_exist(jp_fetch: Any, path: str) -> None:
    with pytest.raises(HTTPClientError) as error:
        await jp_fetch("mlstudio", "api", path)
    assert error.value.code == 404


async def test_a_studio_that_is_down_is_said(jp_fetch: Any) -> None:
    with pytest.raises(HTTPClientError) as error:
        await jp_fetch("mlstudio", "api", "runs")
    assert error.value.code == 503
    body = json.loads(error.value.response.body)
    assert body["error"]["code"] == "unavailable"
    assert body["error"]["hint"]
