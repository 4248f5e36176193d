"""kill -9 at any moment: an acknowledged run ends once, and its result is right."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import httpx
import pytest
from engine_rig import function
from service_rig import START, ServiceRig
from test_service_http import request

SLOW = function("def f(x):\n    import time\n    for _ in range(100):\n        time.sleep(0.01)\n    return x * 2\n", "x")

pytestmark = pytest.mark.crash


def result(rig: ServiceRig, view: dict[str, object]) -> object:
    from mlstudio_lab.blobs.local import LocalBlobs
    from mlstudio_lab.data.code_refs import NoCode
    from mlstudio_lab.data.graph import unpack
    from mlstudio_lab.wire.task import Payload

    return unpack(Payload.from_json(view["outputs"]), LocalBlobs(rig.home / "blobs"), NoCode()).values["return"]  # type: ignore[arg-type]


def test_kill_9_of_the_service_in_the_middle_of_a_run(own: ServiceRig) -> None:
    own.up()
    view = own.post("/runs", request(own.home, SLOW, x=21) | {"wait_s": 0}).json()
    own.until(view["id"], "running")
    own.kill()
    own.up()
    done = own.until(view["id"], "succeeded")
    assert result(own, done) == 42
    assert done["number"] == view["number"]
    assert list((own.home / "outcomes").iterdir()) == []
    assert own.post("/runs", request(own.home, SLOW, x=21)).json()["reused"]


def test_kill_9_of_a_worker_in_the_middle_of_a_run(own: ServiceRig) -> None:
    own.up()
    view = own.post("/runs", request(own.home, SLOW, x=4) | {"wait_s": 0}).json()
    own.until(view["id"], "running")
    member = next(m for m in own.get("/status").json()["executors"][0]["members"] if m["run"] == view["id"])
    os.kill(member["pid"], signal.SIGKILL)
    assert result(own, own.until(view["id"], "succeeded")) == 8


def test_sigterm_leaves_a_run_for_the_next_service(own: ServiceRig) -> None:
    own.up()
    view = own.post("/runs", request(own.home, SLOW, x=5) | {"wait_s": 0}).json()
    own.until(view["id"], "running")
    began = time.monotonic()
    own.down()
    assert time.monotonic() - began < 6
    assert not (own.home / "service.json").exists()
    own.up()
    assert result(own, own.until(view["id"], "succeeded")) == 10


def is_running(pid: int) -> bool:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return text.rpartition(")")[2].split()[0] != "Z"


def test_workers_do_not_outlive_the_service(own: ServiceRig) -> None:
    own.up()
    service_members = own.get("/status").json()["executors"][0]["members"]
    own.kill()
    deadline = time.monotonic() + 10
    alive = [m["pid"] for m in service_members]
    while alive and time.monotonic() < deadline:
        alive = [pid for pid in alive if is_running(pid)]
    assert alive == []


def test_a_taken_socket_and_a_home_that_cannot_be_written(own: ServiceRig) -> None:
    own.home.mkdir()
    (own.home / "ledger").write_text("a file where a folder should be")
    done = subprocess.run([*START, str(own.home)], env=own.environment, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 1
    assert "cannot be written" in done.stderr and "--home" in done.stderr


def test_an_idle_service_stops(own: ServiceRig) -> None:
    own.environment["MLSTUDIO_IDLE_S"] = "1"
    own.up()
    assert own.process is not None
    assert own.process.wait(15) == 0


def test_a_lost_pointer_is_written_again(own: ServiceRig) -> None:
    own.up()
    before = own.pointer()
    pointer, deadline = own.home / "service.json", time.monotonic() + 20
    for damage in (pointer.unlink, lambda: pointer.write_text("half a poin")):
        damage()
        while True:
            assert time.monotonic() < deadline
            try:
                assert own.pointer() == before
                break
            except (OSError, ValueError):
                os.sched_yield()


def test_a_service_whose_socket_is_gone_gives_the_home_up(own: ServiceRig) -> None:
    own.up()
    Path(own.pointer()["socket"]).unlink()
    assert own.process is not None and own.process.wait(20) == 0
    own.up()
    assert own.get("/status").status_code == 200


def test_who_waits_for_a_run_of_a_service_that_stops_is_answered(own: ServiceRig) -> None:
    own.up()
    view = own.post("/runs", request(own.home, SLOW, x=6) | {"wait_s": 0}).json()
    own.until(view["id"], "running")
    answers: list[int] = []
    connected = threading.Event()

    def wait() -> None:
        with own.client() as client:
            answers.append(client.get(f"/runs/{view['id']}").status_code)
            connected.set()
            while True:
                try:
                    answers.append(client.get(f"/runs/{view['id']}", params={"wait_s": 20}).status_code)
                except httpx.TransportError:
                    return

    waiting = threading.Thread(target=wait)
    waiting.start()
    assert connected.wait(20)
    assert own.post("/shutdown", {}).status_code == 202
    waiting.join(20)
    assert set(answers) == {200}
