"""Finding and starting a service: races, deaths, and homes that cannot be."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest
from home_rig import fresh_studio, running_home

from mlstudio_lab.client.discover import Address, ensure, find, log_tail
from mlstudio_lab.client.transport import Transport
from mlstudio_lab.core.errors import BadInput, StorageFailed, Unavailable
from mlstudio_lab.settings import Settings

ASK = "import sys; from mlstudio_lab.client.studio import connect; print(connect(home=sys.argv[1]).session.handshake['pid'])"


@pytest.fixture
def empty_home(runtime_root):
    with running_home() as home:
        yield home


def test_many_starters_at_once_find_one_service(empty_home):
    starters = [
        subprocess.Popen([sys.executable, "-c", ASK, str(empty_home)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    answers = [starter.communicate(timeout=60) for starter in starters]
    assert [starter.returncode for starter in starters] == [0, 0, 0, 0], answers
    assert len({out for out, _ in answers}) == 1
    settings = Settings.read(home=empty_home, url="")
    address = find(settings)
    assert address is not None and address == ensure(settings)
    assert address.socket is not None and oct(address.socket.stat().st_mode & 0o777) == "0o600"


def test_a_killed_service_is_started_again_and_nothing_is_lost(empty_home):
    studio = fresh_studio(empty_home)
    studio.modules.publish("def f(x):\n    return x + 1\n", name="a/f")
    handle = studio.module("a/f")
    run = handle.submit(1)
    assert run.result() == 2
    os.kill(studio.session.handshake["pid"], signal.SIGKILL)
    assert handle(1) == 2
    assert fresh_studio(empty_home).runs.get(run.id).result() == 2


def test_a_run_goes_on_over_the_death_of_the_service(empty_home, tmp_path):
    studio = fresh_studio(empty_home)
    studio.modules.publish(
        "def f(path, gate):\n    import os, time\n    open(path, 'a').write('x')\n    while not os.path.exists(gate):\n        time.sleep(0.01)\n    return 7\n",
        name="a/slow",
    )
    began, gate = tmp_path / "began", tmp_path / "gate"
    run = studio.module("a/slow").submit(str(began), str(gate))

    def kill_then_open():
        deadline = time.monotonic() + 30
        while not began.exists() and time.monotonic() < deadline:
            threading.Event().wait(0.01)
        os.kill(studio.session.handshake["pid"], signal.SIGKILL)
        gate.touch()

    killer = threading.Thread(target=kill_then_open)
    killer.start()
    assert run.result() == 7 and run.state == "succeeded"
    killer.join()


def test_a_service_that_cannot_start_says_why_with_its_last_words(tmp_path):
    home = tmp_path / "home"
    (home / "ledger").mkdir(parents=True)
    (home / "ledger" / "ledger.db").write_bytes(b"this is not a database, and long enough to look like one" * 100)
    with pytest.raises(Unavailable) as caught:
        ensure(Settings.read(home=home, url=""), deadline_s=15)
    assert "did not come up" in caught.value.message and str(home) in caught.value.subject
    assert log_tail(home) and log_tail(home).splitlines()[-1] in caught.value.message
    assert "doctor" in caught.value.hint


def test_a_home_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageFailed) as caught:
        ensure(Settings.read(home=tmp_path / "file" / "home", url=""))
    assert "--home" in caught.value.hint


def test_finding_starts_nothing(tmp_path):
    assert find(Settings.read({}, home=tmp_path / "none")) is None
    assert not (tmp_path / "none").exists()
    (tmp_path / "service.json").write_text('{"runtime": "/nonexistent", "pid": 1, "api": 1}')
    assert find(Settings.read({}, home=tmp_path)) is None
    (tmp_path / "service.json").write_text("half a poin")
    assert find(Settings.read({}, home=tmp_path)) is None


@pytest.mark.parametrize(
    "written",
    [
        "[]",
        "null",
        "5",
        "{}",
        '{"runtime": 5}',
        '{"socket": 5}',
        '{"socket": "/tmp/\\u0000"}',
        '{"url": 5}',
        '{"url": "http://127.0.0.1:x"}',
    ],
)
def test_a_pointer_that_is_none_points_nowhere(tmp_path, written):
    (tmp_path / "service.json").write_text(written)
    assert find(Settings.read({}, home=tmp_path, url="")) is None


@pytest.mark.skipif(not hasattr(socket, "SO_PEERCRED"), reason="only Linux names the listener")
def test_a_program_in_a_dead_services_place_is_not_the_service(tmp_path, runtime_root):
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(runtime_root / "taken.sock"))
        other.listen()
        pointer = {"socket": str(runtime_root / "taken.sock"), "pid": os.getpid(), "api": 1}
        (tmp_path / "service.json").write_text(json.dumps(pointer))
        assert find(Settings.read({}, home=tmp_path, url="")) is not None
        (tmp_path / "service.json").write_text(json.dumps(pointer | {"pid": os.getpid() + 1}))
        assert find(Settings.read({}, home=tmp_path, url="")) is None


def test_a_studio_that_cannot_start_says_why_whatever_is_asked(tmp_path):
    (tmp_path / "ledger").mkdir()
    (tmp_path / "ledger" / "ledger.db").write_bytes(b"this is not a database, and long enough to look like one" * 100)
    with pytest.raises(Unavailable, match="did not come up"):
        fresh_studio(tmp_path).runs.list()


def test_an_address_where_nobody_is_is_named():
    with pytest.raises(Unavailable) as caught:
        Transport(lambda: Address("http://127.0.0.1:1")).get("/status")
    assert "http://127.0.0.1:1" in caught.value.message and "--url" in caught.value.hint


def test_a_url_is_taken_as_it_is_and_checked():
    address = find(Settings.read({"MLSTUDIO_TOKEN": "t"}, url="https://hub.example.org/studio/"))
    assert (address.base, address.socket, address.token) == ("https://hub.example.org/studio", None, "t")
    with pytest.raises(BadInput, match="not an address"):
        find(Settings.read({}, url="hub.example.org"))


def test_ctrl_c_stops_the_run_and_is_a_keyboard_interrupt(empty_home, tmp_path):
    began = tmp_path / "began"
    source = "def f(path):\n    import time\n    open(path, 'a').write('x')\n    while True:\n        time.sleep(0.01)\n"
    script = (
        "import sys; from mlstudio_lab.client.studio import connect\n"
        "s = connect(home=sys.argv[1]); s.modules.publish(sys.argv[2], name='a/forever')\n"
        "try:\n    s.module('a/forever')(sys.argv[3])\nexcept KeyboardInterrupt:\n    print('interrupted')\n"
        "print(s.runs.list(module='a/forever')[0].state)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", script, str(empty_home), source, str(began)], stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not began.exists() and time.monotonic() < deadline:
        threading.Event().wait(0.02)
    asked = time.monotonic()
    child.send_signal(signal.SIGINT)
    out, _ = child.communicate(timeout=20)
    assert out.split() == ["interrupted", "cancelled"]
    assert time.monotonic() - asked < 8
