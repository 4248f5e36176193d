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
            [sys.executable, "-P", "-m", "mlstudio_lab.worker", "--fd", str(theirs.fileno()), "--home", str(home)],
            pass_fds=(theirs.fileno(),),
        )
        theirs.close()
        ours.settimeout(60)
        self.sock = ours
        self.channel = frames.Channel(ours)
        self.number = 0
        self.events = []

    def task(self, source, *, kind="cell", entry="", args=(), globals=None, **options):
        self.number += 1
        b = Bundle(
            kind,
            entry,
            (Unit("main", "main", source),),
            Interface((), (Port("return"),) if kind == "function" else ()),
            options.pop("lock", here()),
        )
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


def test_wrong_environment_is_refused(shared):
    lock = Lock(here().python, here().platform, (("polars", "0.0.1"),))
    out = shared.run("x = 1", lock=lock)
    assert out.state == "refused" and out.versions["polars"] != "0.0.1" and out.outputs is None


def test_cancel_before_start(shared):
    task = shared.task("x = 1")
    shared.channel.send({"do": "cancel", "attempt": task.attempt})
    shared.channel.send({"do": "run", "task": task.to_json()})
    assert Outcome.from_json(shared.until("outcome")["outcome"]).state == "cancelled"


def test_code_that_swallows_the_interrupt_is_still_cancelled(shared):
    task = shared.start("import time\nprint('swallowing')\ntry:\n    time.sleep(60)\nexcept KeyboardInterrupt:\n    x = 1")
    while not any("swallowing" in e.get("text", "") for e in shared.events):
        shared.until("event")
    shared.channel.send({"do": "cancel", "attempt": task.attempt})
    assert Outcome.from_json(shared.until("outcome")["outcome"]).state == "cancelled"


def test_memory_limit(shared):
    out = shared.run(
        "import time\nx = bytearray(700 << 20)\nfor i in range(0, len(x), 4096):\n    x[i] = 1\ntime.sleep(30)", memory_bytes=500 << 20
    )
    assert out.state == "failed" and "500 MB of memory" in out.failure["message"]


def test_code_that_hangs_below_python_ends_its_process_with_an_outcome(rig):
    # A regular expression without end holds the interpreter: no exception reaches it.
    out = rig.run("import ctypes\nctypes.CDLL(None).sleep(60)\nctypes.CDLL(None).sleep(60)\nctypes.CDLL(None).sleep(60)", timeout_s=0.3)
    assert out.state == "timed_out"


def test_death_is_seen_and_outcomes_are_whole(rig):
    rig.start("import os\nos._exit(3)")
    assert rig.process.wait(30) == 3
    assert not list((rig.home / "outcomes").glob("*.json"))


def test_tainted_workers_ask_to_be_replaced(shared):
    task = shared.start("import numpy as np\nnp.my_patch = 1")
    message = shared.until("outcome")
    assert message["outcome"]["attempt"] == task.attempt and "np.my_patch" in message["retire"]
    assert "retire" not in (shared.start("import pandas as pd\npd.options.display.max_rows = 4") and shared.until("outcome"))
    shared.start("import threading, time\nthreading.Thread(target=lambda: time.sleep(2), daemon=True).start()")
    assert "thread" in shared.until("outcome")["retire"]


def test_many_prints_stream_in_order(shared):
    shared.events.clear()
    out = shared.run("import sys\nfor i in range(2000):\n    print(i)\nprint('end', file=sys.stderr)")
    streamed = "".join(e["text"] for e in shared.events if e["t"] == "stdout")
    assert streamed == "".join(f"{i}\n" for i in range(2000)) and len(shared.events) < 500
    assert [e["t"] for e in out.log] == ["stdout", "stderr"]


def test_agent_on_another_thread(tmp_path, shared):
    import threading

    from mlstudio_lab.worker.agent import Agent

    agent = Agent(shared.home)
    task = shared.task("i = 0\nprint('go')\nwhile True:\n    i += 1")
    said, ended = threading.Event(), []

    def work():
        ended.append(Outcome.load(agent.run(task.dump(), lambda e: said.set())))

    thread = threading.Thread(target=work)
    thread.start()
    assert said.wait(30)
    agent.cancel(task.attempt)
    thread.join(30)
    assert ended and ended[0].state == "cancelled"
    assert Outcome.load(agent.run(shared.task("x = 1").dump(), print)).state == "succeeded"


def test_a_home_that_cannot_be_written(tmp_path, shared):
    from mlstudio_lab.core.errors import StorageFailed
    from mlstudio_lab.worker.agent import Agent

    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    with pytest.raises(StorageFailed):
        Agent(blocked).run(shared.task("x = 1").dump(), print)
