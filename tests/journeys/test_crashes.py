"""kill -9 in the middle of a run, seen from a person's side: one final state, the right result, a clean ledger, the next run works."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

import mlstudio_lab as ml

pytestmark = [pytest.mark.crash, pytest.mark.timeout(300)]

SLOW = """
def slow(seconds: float, marker: str = "") -> float:
    import time

    if marker:
        with open(marker, "a") as file:
            file.write("started\\n")
    time.sleep(seconds)
    return seconds * 2
"""


def until(true: Callable[[], Any], seconds: float, what: str) -> Any:
    """The first truthy answer, asked for every 50 ms."""
    pause = threading.Event()
    for _ in range(int(seconds / 0.05)):
        if answer := true():
            return answer
        pause.wait(0.05)
    raise AssertionError(f"not within {seconds} s: {what}")


class Place:
    """A home with a service, and what can be killed in it."""

    def __init__(self, home: Path, executor: str) -> None:
        self.home, self.executor = home, executor
        self.studio = ml.connect(home=home)
        self.transport = self.studio.session.transport

    def get(self, path: str) -> Any:
        return self.transport.get(path)

    def members(self) -> list[dict[str, Any]]:
        executors = self.get("/cluster")["executors"]
        return next(e["members"] for e in executors if e["name"] == self.executor)

    def ready(self) -> None:
        def hot() -> bool:
            return any(e["name"] == self.executor and e["ready"] for e in self.get("/cluster")["executors"])

        until(hot, 120, f"{self.executor} is ready")

    def processes(self, *words: str) -> list[psutil.Process]:
        """Processes below this home's runtime whose command line has all of the words."""
        found = []
        for process in psutil.process_iter(["cmdline"]):
            line = " ".join(process.info["cmdline"] or ())
            if all(word in line for word in words):
                found.append(process)
        return found

    def fsck(self) -> None:
        done = subprocess.run(
            [str(Path(sys.executable).with_name("mlstudio")), "--home", str(self.home), "fsck"], capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module", params=["local", pytest.param("ray", marks=pytest.mark.ray)])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    with tempfile.TemporaryDirectory(prefix="mlsh-") as folder:
        before = os.environ.get("MLSTUDIO_EXECUTOR")
        os.environ["MLSTUDIO_EXECUTOR"] = request.param if request.param == "local" else "auto"
        try:
            place = Place(Path(folder) / "home", request.param)
            place.studio.modules.publish(SLOW, name="crash/slow")
            place.ready()
            yield place
        finally:
            subprocess.run([str(Path(sys.executable).with_name("mlstudio")), "--home", f"{folder}/home", "down"], timeout=90, check=False)
            if before is None:
                del os.environ["MLSTUDIO_EXECUTOR"]
            else:
                os.environ["MLSTUDIO_EXECUTOR"] = before


def start(place: Place, tmp_path: Path, seconds: float) -> tuple[Any, Path]:
    marker = tmp_path / "started"
    place.ready()
    run = place.studio.module("crash/slow").with_options(where=place.executor).submit(seconds=seconds, marker=str(marker))
    until(marker.exists, 30, "the run's code started")
    return run, marker


def settled(place: Place, run: Any, value: float) -> None:
    assert run.result() == value
    assert run.state == "succeeded"
    place.fsck()
    assert place.studio.module("crash/slow")(seconds=0.0) == 0.0


def test_the_service_is_killed(place: Place, tmp_path: Path) -> None:
    run, _ = start(place, tmp_path, 2.5)
    service = int(place.get("/handshake")["pid"])
    os.kill(service, signal.SIGKILL)
    settled(place, run, 5.0)
    assert int(place.get("/handshake")["pid"]) != service


def test_a_worker_is_killed(place: Place, tmp_path: Path) -> None:
    run, marker = start(place, tmp_path, 2.0)
    busy = until(lambda: [m for m in place.members() if m.get("run") == run.id], 10, "a member says it has the run")
    os.kill(int(busy[0]["pid"]), signal.SIGKILL)
    settled(place, run, 4.0)
    assert marker.read_text().count("started") == 2


def test_the_bridge_is_killed(place: Place, tmp_path: Path) -> None:
    if place.executor != "ray":
        assert not place.processes("mlstudio_lab.adapters.ray_bridge", str(place.home)), "the local executor has no bridge"
        return
    run, _ = start(place, tmp_path, 3.0)
    bridges = place.processes("mlstudio_lab.adapters.ray_bridge", str(place.home))
    assert bridges
    for bridge in bridges:
        bridge.kill()
    settled(place, run, 6.0)


def test_all_of_ray_is_killed(place: Place, tmp_path: Path) -> None:
    if place.executor != "ray":
        assert place.members()
        return
    run, _ = start(place, tmp_path, 3.0)
    runtime = place.get("/status")["address"].rsplit("/", 1)[0]
    killed = [
        p for p in place.processes(runtime) if "ray" in " ".join(p.info["cmdline"]) and "mlstudio_lab.service" not in p.info["cmdline"]
    ]
    assert killed
    for process in killed:
        process.kill()
    settled(place, run, 6.0)
    place.ready()
    back = place.studio.module("crash/slow").with_options(where="ray").submit(seconds=0.01)
    assert back.result() == 0.02
