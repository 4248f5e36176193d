"""What the browser gets from a real studio: started on a wish, its runs read, its events heard within half a second."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from home_rig import fresh_studio, running_home, stop_service

from mlstudio_lab.front.server_extension import EVENT_SCHEMA_ID

WITHIN_S = 20.0


@pytest.fixture
def home() -> Iterator[Path]:
    with running_home() as found:
        yield found


@pytest.fixture
def jp_serverapp(home: Path, jp_serverapp: Any) -> Any:
    return jp_serverapp


async def heard(socket: Any, kind: str, subject: str = "", *states: str) -> list[str]:
    """The states said of one thing until the last of `states` is."""
    found: list[str] = []
    while not found or found[-1] != states[-1]:
        event = json.loads(await asyncio.wait_for(socket.read_message(), WITHIN_S))
        if event["schema_id"] == EVENT_SCHEMA_ID and event["kind"] == kind and subject in ("", event["subject"]):
            assert set(event) >= {"cursor", "kind", "subject", "state"}
            found.append(event["state"])
    return found


async def test_started_read_heard_cloned_and_gone(home: Path, jp_fetch: Any, jp_ws_fetch: Any) -> None:
    socket = await jp_ws_fetch("api", "events", "subscribe")
    answer = await jp_fetch("mlstudio", "api", "start", method="POST", body="{}")
    assert json.loads(answer.body) == {"running": True}
    assert await heard(socket, "studio", "", "up") == ["up"]

    def work() -> tuple[str, float]:
        studio = fresh_studio(home)
        source = "def total(a: int, b: int = 2) -> int:\n    return a + b\n"
        studio.modules.publish(source, name="shop/total")
        run = studio.module("shop/total").submit(a=40)
        assert run.result() == 42
        return run.id, time.monotonic()

    waiting = asyncio.ensure_future(asyncio.to_thread(work))
    assert "published" in await heard(socket, "module", "shop/total", "published")
    states = await heard(socket, "run", "", "succeeded")
    late = time.monotonic()
    run, ended = await waiting
    assert late - ended < 0.5
    assert states[-1] == "succeeded"

    listed = json.loads((await jp_fetch("mlstudio", "api", "runs", params={"limit": "5"})).body)["runs"]
    assert [row["id"] for row in listed] == [run]
    modules = json.loads((await jp_fetch("mlstudio", "api", "modules", params={"q": "tot", "limit": "5"})).body)["modules"]
    assert [row["name"] for row in modules] == ["shop/total"]

    clone = {"run": "01JAZZ0000000000000000C0NE", "set": {"b": 3}, "input": {}, "wait_s": 10}
    answer = await jp_fetch("mlstudio", "api", "runs", run, "clone", method="POST", body=json.dumps(clone))
    assert json.loads(answer.body)["state"] == "succeeded"

    await asyncio.to_thread(stop_service, home)
    assert (await heard(socket, "studio", "", "down"))[-1] == "down"
    await asyncio.to_thread(fresh_studio(home).modules.list)
    assert (await heard(socket, "studio", "", "up"))[-1] == "up"
    socket.close()
