"""Where there are no Unix sockets: loopback, a token, and no other host's name."""

from __future__ import annotations

import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from mlstudio_lab.core.errors import Conflict, StorageFailed
from mlstudio_lab.service import place
from mlstudio_lab.service.answers import Json
from mlstudio_lab.service.gate import Gate
from mlstudio_lab.service.server import Server
from mlstudio_lab.settings import Settings


@pytest.fixture
def settings(tmp_path: Path, runtime_root: Path) -> Settings:
    made = Settings.read({"MLSTUDIO_RUNTIME": str(runtime_root)}, home=tmp_path / "home")
    place.prepare_home(made.home)
    return made


@pytest.fixture
def tcp(settings: Settings) -> Iterator[place.Listener]:
    import asyncio

    import uvicorn

    listener = place._listen_tcp(settings, place.runtime_folder(settings))

    async def who(scope: dict, receive: object, send: object) -> None:
        await Json({"actor": scope["state"]["caller"].actor})(scope, receive, send)  # type: ignore[arg-type]

    gate = Gate(who, listener.token, listener.hosts, "ada", lambda: None)
    server = Server(uvicorn.Config(gate, lifespan="off", log_config=None, ws="none"))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener.sock])))
    thread.start()
    yield listener
    server.should_exit = True
    thread.join(10)


def test_the_token_names_the_user(tcp: place.Listener) -> None:
    good = {"authorization": f"Bearer {tcp.token}"}
    assert httpx.get(tcp.address, headers=good).json() == {"actor": "ada"}
    assert httpx.get(tcp.address).status_code == 403
    assert httpx.get(tcp.address, headers={"authorization": "Bearer no"}).status_code == 403
    assert httpx.get(tcp.address, headers=good | {"host": "evil.example"}).status_code == 403


def test_the_token_is_its_owners(tcp: place.Listener) -> None:
    path = Path(tcp.pointer["runtime"]) / "token"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text() == tcp.token


def test_one_lock_a_home(settings: Settings) -> None:
    import os

    first = place.lock_home(settings.home)
    assert first is not None and place.lock_home(settings.home) is None
    os.close(first)
    again = place.lock_home(settings.home)
    assert again is not None
    os.close(again)


def test_a_dead_socket_is_replaced_and_a_living_one_is_not(settings: Settings) -> None:
    folder = place.runtime_folder(settings)
    dead = place.listen(settings, folder)
    dead.sock.close()
    living = place.listen(settings, folder)
    with pytest.raises(Conflict):
        place.listen(settings, folder)
    living.sock.close()
    (folder / "api.sock").unlink()
    (folder / "api.sock").write_text("not a socket")
    with pytest.raises(StorageFailed):
        place.listen(settings, folder)
    (folder / "api.sock").unlink()


def test_a_long_runtime_folder_is_not_used(tmp_path: Path) -> None:
    deep = tmp_path / ("x" * 120)
    deep.mkdir()
    folder = place.runtime_folder(Settings.read({"MLSTUDIO_RUNTIME": str(deep)}, home=tmp_path / "h"))
    assert len(str(folder / "api.sock")) < 100
    folder.rmdir()


def test_somebody_elses_folder_is_refused(tmp_path: Path, runtime_root: Path) -> None:
    settings = Settings.read({"MLSTUDIO_RUNTIME": str(runtime_root)}, home=tmp_path / "taken")
    folder = place.runtime_folder(settings)
    folder.rmdir()
    folder.symlink_to(tmp_path)
    with pytest.raises(StorageFailed):
        place.runtime_folder(settings)
    folder.unlink()
