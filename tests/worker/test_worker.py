import socket
import subprocess
import sys
import time

import pytest

from mlstudio_lab.blobs.local import LocalBlobs
from mlstudio_lab.core.bundle import Bundle, Unit
from mlstudio_lab.core.interface import Interface, Port
from mlstudio_lab.core.lock import Lock
from mlstudio_lab.data.code_refs import NoCode
from mlstudio_lab.data.graph import pack, unpack
from mlstudio_lab.wire import frames
from mlstudio_lab.wire.task import Outcome, Payload, Task


def here():
    import platform

    return Lock(platform.python_version(), f"{sys.platform}-{platform.machine()}", ())


class Rig:
    def __init__(self, home):
        self.home = home
        self.blobs = LocalBlobs(home / "blobs")
        ours, theirs = socket.socketpair()
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "mlstudio_lab.worker", "--fd", str(theirs.fileno()), "--home", str(home)], pass_fds=(theirs.fileno(),)
        )
        theirs.close()
        ours.settimeout(60)
        self.sock = ours
        self.channel = frames.Channel(ours)
        self.number = 0
        self.events = []

    def task(self, source, *, kind="cell", entry="", args=(), globals=None, **options):
        self.number += 1
        b = Bundle(kind, entry, (Unit("main", "main", source),), Interface((), (Port("return"),) if kind == "function" else ()), options.pop("lock", here()))
        values = {"globals": globals or {}} | ({"args": list(args), "kwargs": {}} if kind == "function" else {})
        payload = pack(values, self.blobs, NoCode())
        return Task(f"attempt-{self.number}", 1, "0" * 26, "demo/x", b.to_json(), payload.to_json(), str(self.home), **options)

    def until(self, key):
        while True:
            message = self.channel.receive()
            assert message is not None, "the worker went away"
            if "event" in message:
                self.events.append(message["event"])
            if key in message:
                return message

    def start(self, source, **options):
        task = self.task(source, **options)
        self.channel.send({"do": "run", "task": task.to_json()})
        return task

    def run(self, source, **options):
        self.start(source, **options)
        return Outcome.from_json(self.until("outcome")["outcome"])

    def value(self, outcome):
        assert outcome.state == "succeeded", outcome.failure
        return unpack(Payload.from_json(outcome.outputs), self.blobs, NoCode()).values

    def close(self):
        self.sock.close()
        self.process.wait(30)


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    rig = Rig(tmp_path_factory.mktemp("home"))
    rig.until("ready")
    yield rig
    rig.close()


@pytest.fixture
def rig(tmp_path):
    rig = Rig(tmp_path / "home")
    rig.until("ready")
    yield rig
    rig.process.kill()
    rig.close()


def test_function_and_durable_outcome(shared):
    out = shared.run("def add(a, b):\n    return a + b", kind="function", entry="add", args=[1, 2])
    assert shared.value(out) == {"return": 3}
    kept = (shared.home / "outcomes" / f"{out.attempt}-1.json").read_bytes()
    assert Outcome.load(kept).to_json() == out.to_json()


def test_text_written_below_python_is_streamed(shared):
    out = shared.run("import os\nprint('a')\nos.system('echo from-a-child')\nos.write(2, b'raw')\n;")
    text = {k: "".join(e["text"] for e in out.log if e["t"] == k) for k in ("stdout", "stderr")}
    assert "from-a-child" in text["stdout"] and "a\n" in text["stdout"] and text["stderr"] == "raw"


def test_cancel_interrupts_sleep(shared):
    task = shared.start("print('begun', flush=True)\nimport time\ntime.sleep(60)")
    while not any("begun" in e.get("text", "") for e in shared.events):
        shared.until("event")
    began = time.monotonic()
    shared.channel.send({"do": "cancel", "attempt": task.attempt})
    out = Outcome.from_json(shared.until("outcome")["outcome"])
    assert out.state == "cancelled" and time.monotonic() - began < 2
    assert shared.run("x = 1").state == "succeeded"


def test_timeout(shared):
    out = shared.run("import time\ntime.sleep(60)", timeout_s=0.2)
    assert out.state == "timed_out" and "limit of 0.2 s" in out.failure["message"]


def test_exits_with_its_parent(rig):
    rig.sock.close()
    assert rig.process.wait(30) == 0


def test_stops_when_told(rig):
    rig.channel.send({"do": "stop"})
    assert rig.process.wait(30) == 0


def test_survives_messages_it_does_not_know(shared):
    for message in ({}, {"do": "dance"}, {"do": "run"}, {"do": "run", "task": {}}, {"do": "run", "task": 3}):
        shared.channel.send(message)
        assert "error" in shared.until("error")
    shared.channel.send({"do": "ping"})
    assert shared.until("pong")["pong"]["pid"] == shared.process.pid
