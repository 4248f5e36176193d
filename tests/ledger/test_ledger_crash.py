"""What was acknowledged survives: kill -9 at any time and at every system call, failed syncs, a full disk, lost power."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mlstudio_lab.blobs.local import LocalBlobs
from mlstudio_lab.core.errors import StorageFailed
from mlstudio_lab.ledger import events, runs
from mlstudio_lab.ledger.fsck import check
from mlstudio_lab.ledger.ledger import Ledger
from mlstudio_lab.testing import FakeClock

CHILD = [sys.executable, str(Path(__file__).with_name("crash_child.py"))]
pytestmark = pytest.mark.crash


def check_home(home: Path, said: list[str]) -> None:
    """Everything said is there in the state said, what was refused is not, and nothing is damaged."""
    with Ledger.open(home / "ledger", FakeClock()) as ledger:
        states = {row.id: row.state for row in ledger.read(lambda c: runs.list_runs(c, limit=1_000_000))}
        for line in said:
            word, run_id, *_ = [*line.split(), "", ""]
            if word == "submitted":
                assert run_id in states
            elif word == "finished":
                assert states[run_id] == "succeeded"
        assert check(ledger, LocalBlobs(home / "blobs")) == []


def test_kill_at_any_time(tmp_path: Path) -> None:
    said: list[str] = []
    for lines in (1, 3, 40, 130, 333):
        with subprocess.Popen([*CHILD, str(tmp_path), "6", "0"], stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            said += [child.stdout.readline().strip() for _ in range(lines)]
            child.send_signal(signal.SIGKILL)
            # What was acknowledged between our last line and the kill counts too; a torn last line does not.
            said += child.stdout.read().split("\n")[:-1]
            assert child.wait(20) == -signal.SIGKILL
        check_home(tmp_path, said)
    assert sum(line.startswith("finished") for line in said) > 100


@pytest.fixture(scope="session")
def strace(lacks: Callable[[str, str], None]) -> str:
    found = shutil.which("strace")
    if found is None:
        lacks("strace", "apt-get install strace")
    elif subprocess.run([found, "-qq", "-o", "/dev/null", "true"], capture_output=True, check=False).returncode:
        pytest.skip("strace may not trace here")
    return str(found)


def traced(strace: str, home: Path, inject: str, *arguments: str, timeout: float = 60) -> tuple[int, list[str]]:
    """The child under strace; `-P`-less injections would also hit Python's own start, so only our calls are named."""
    command = [strace, "-f", "-qq", "-o", "/dev/null", "-e", f"inject={inject}", *CHILD, str(home), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    return done.returncode, done.stdout.splitlines()


@pytest.mark.parametrize("calls", ["fsync,fdatasync", "pwrite64", "writev", "rename,renameat,renameat2"])
def test_kill_before_a_system_call(tmp_path: Path, strace: str, calls: str) -> None:
    said: list[str] = []
    killed = 0
    for when in (1, 2, 4, 9, 21):
        status, lines = traced(strace, tmp_path, f"{calls}:signal=KILL:when={when}", "1", "6")
        said += lines
        killed += "done" not in lines
        assert (status != 0) is ("done" not in lines)
        check_home(tmp_path, said)
    assert killed >= 2


@pytest.mark.parametrize("when", ["1", "2", "3", "5", "8", "4+3", "9+2", "15+"])
def test_a_sync_that_fails_is_never_acknowledged(tmp_path: Path, strace: str, when: str) -> None:
    said = traced(strace, tmp_path, f"fsync,fdatasync:error=EIO:when={when}", "1", "12", "patient")[1]
    check_home(tmp_path, said)
    if "open" in said:
        refused = {line.split()[1] for line in said if line.startswith("refused")}
        assert refused, "the failure was seen"
        assert not refused & {line.split()[1] for line in said if line.startswith("finished")}
        assert "done" in said, "the writing thread lives on"


@pytest.mark.parametrize(
    "fault",
    ["pwrite64:error=ENOSPC:when=40+90", "pwrite64:error=EIO:when=31+70", "writev:error=ENOSPC:when=2+2", "rename:error=EIO:when=3+2"],
)
def test_a_write_that_fails_is_refused_and_the_next_may_succeed(tmp_path: Path, strace: str, fault: str) -> None:
    Ledger.open(tmp_path / "ledger", FakeClock()).close()
    said = traced(strace, tmp_path, fault, "2", "12", "patient")[1]
    assert any(line.startswith("refused") for line in said) and "done" in said
    assert any(line.startswith("finished") for line in said)
    check_home(tmp_path, said)
    assert not [file for file in (tmp_path / "blobs").rglob(".*") if file.is_file()], "nothing is left beside"


LINE = re.compile(r"^(?P<pid>\d+)\s+(?P<call>\w+)\((?P<args>.*)\)\s+= (?P<result>-?\d+)")


def test_nothing_is_acknowledged_before_it_would_survive_lost_power(tmp_path: Path, strace: str) -> None:
    """Replays the child's system calls: at each acknowledgement no file, rename or new folder of its may be unsynced."""
    log, home = tmp_path / "trace", tmp_path / "home"
    calls = "pwrite64,write,writev,fsync,fdatasync,rename,mkdir,openat,unlink"
    command = [strace, "-f", "-qq", "-y", "-s", "200", "-o", str(log), "-e", f"trace={calls}", *CHILD, str(home), "1", "25"]
    home.parent.joinpath("home").mkdir()
    subprocess.run(command, capture_output=True, timeout=120, check=True)
    unsynced: set[str] = set()
    acknowledged = 0
    for line in log.read_text(errors="replace").splitlines():
        found = LINE.match(line)
        if found is None or int(found["result"]) < 0:
            continue
        call, text = found["call"], found["args"]
        on = re.match(r"\d+<([^>]*)>", text)
        path = on[1] if on else ""
        names = re.findall(r'"((?:[^"\\]|\\.)*)"', text)
        if call == "write" and names and re.match(r"(submitted|finished) ", names[0]):
            acknowledged += 1
            assert not unsynced, f"said {names[0]!r} before these were synced: {unsynced}"
        elif call in ("pwrite64", "write", "writev") and path.startswith(str(home)):
            # The database file itself is written at checkpoints only, when its log already has all of it.
            if not path.endswith((".db", "-shm")):
                unsynced.add(path)
        elif call in ("fsync", "fdatasync"):
            unsynced.discard(path)
            unsynced -= {entry for entry in unsynced if entry.startswith("entry ") and str(Path(entry[6:]).parent) == path}
        elif call == "rename":
            old, new = names[0], names[1]
            if old in unsynced:
                unsynced.discard(old)
                unsynced.add(new)
            if new.startswith(str(home)):
                unsynced.add(f"entry {new}")
        elif call == "mkdir" and names[0].startswith(str(home)):
            unsynced.add(f"entry {names[0]}")
        elif call == "unlink":
            unsynced.discard(names[0])
    assert acknowledged == 50


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of two megabytes."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small tmpfs")
    folder = tmp_path / "small"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"cannot mount a tmpfs here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_refused_and_recovers_without_restart(small_disk: Path) -> None:
    clock = FakeClock()
    with Ledger.open(small_disk / "ledger", clock) as ledger:
        blobs = LocalBlobs(small_disk / "blobs")
        kept = blobs.put("log/1", [b"kept"]).digest
        filler = small_disk / "filler"
        fd = os.open(filler, os.O_WRONLY | os.O_CREAT)
        with contextlib.suppress(OSError):
            while os.write(fd, b"\0" * 4096):
                pass
        os.close(fd)
        written, refused = [], 0
        for n in range(400):
            future = ledger.write(lambda c, n=n: events.append(c, "t", str(n), {"x": "y" * 500}, clock.now()))
            error = future.exception(timeout=30)
            if error is None:
                written.append(str(n))
            else:
                assert isinstance(error, StorageFailed) and "space" in error.hint
                refused += 1
        assert refused > 0
        with pytest.raises(StorageFailed, match="full"):
            blobs.put("log/1", [b"z" * 100_000])
        assert not [f for f in (small_disk / "blobs").rglob(".*") if f.is_file()]
        filler.unlink()
        ledger.write(lambda c: events.append(c, "t", "after", {}, clock.now())).result(timeout=30)
        ref = blobs.put("log/1", [b"z" * 100_000])
        assert blobs.verify(ref.digest) == ref and bytes(blobs.open(kept).data) == b"kept"
        subjects = [e.subject for e in ledger.read(lambda c: events.since(c, 0, 10_000))]
        assert subjects == [*written, "after"], "what was refused is not there, what was acknowledged is"
        assert check(ledger, blobs) == []


def test_a_read_only_home_is_refused(tmp_path: Path, small_disk: Path) -> None:
    with Ledger.open(small_disk / "ledger", FakeClock()):
        pass
    blobs = LocalBlobs(small_disk / "blobs")
    kept = blobs.put("log/1", [b"kept"]).digest
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    for opening in (small_disk / "ledger", small_disk / "elsewhere" / "ledger"):
        with pytest.raises(StorageFailed) as refused:
            Ledger.open(opening, FakeClock())
        assert "MLSTUDIO_HOME" in refused.value.hint
    with pytest.raises(StorageFailed, match="read-only"):
        blobs.put("log/1", [b"more"])
    assert bytes(blobs.open(kept).data) == b"kept"
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    assert blobs.put("log/1", [b"more"]).bytes == 4
