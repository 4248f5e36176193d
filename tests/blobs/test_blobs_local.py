"""Blobs: what is put is what is opened; damage is seen, never served, and healed by putting again."""

from __future__ import annotations

import gc
import mmap
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from mlstudio_lab.blobs.header import SIZE, Header, blob_digest
from mlstudio_lab.blobs.local import LocalBlobs
from mlstudio_lab.blobs.store import Blobs
from mlstudio_lab.core.errors import BadInput, Corrupt, Incompatible, NotFound, StorageFailed
from mlstudio_lab.testing import MemoryBlobs


@pytest.fixture
def blobs(tmp_path: Path) -> LocalBlobs:
    return LocalBlobs(tmp_path / "home" / "blobs")


@pytest.fixture(params=["local", "memory"])
def either(request: pytest.FixtureRequest, tmp_path: Path) -> Blobs:
    return LocalBlobs(tmp_path / "blobs") if request.param == "local" else MemoryBlobs()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chunks=st.lists(st.binary(max_size=200), max_size=6), kind=st.sampled_from(("log/1", "arrow/1", "a")), durable=st.booleans())
def test_what_is_put_is_what_is_opened(either: Blobs, chunks: list[bytes], kind: str, durable: bool) -> None:
    ref = either.put(kind, [memoryview(chunk) for chunk in chunks], durable=durable)
    whole = b"".join(chunks)
    assert (ref.kind, ref.bytes) == (kind, len(whole))
    assert either.put(kind, [whole]) == ref, "how it is cut does not count"
    blob = either.open(ref.digest)
    assert (bytes(blob.data), blob.kind, blob.bytes, blob.data.readonly, blob.data.format) == (whole, kind, len(whole), True, "B")
    assert either.has(ref.digest) and either.missing([ref.digest, "0" * 64]) == ["0" * 64]
    assert either.verify(ref.digest) == ref and ref.digest in set(either.iter())


def test_kind_and_content_make_the_name(blobs: LocalBlobs) -> None:
    refs = [blobs.put(kind, [data]).digest for kind in ("a/1", "b/1") for data in (b"", b"x", b"x\0")]
    assert len(set(refs)) == 6 and sorted(refs) == list(blobs.iter())


def test_golden_names() -> None:
    assert Header("log/1", 5).pack() == b"MLSB\x01\x05\0\0\x05" + b"\0" * 7 + b"log/1" + b"\0" * 43
    assert blob_digest(Header("log/1", 5).pack(), [b"hello"]) == "3e02818d1c483f3a5f3b38e2c935413ab6a457e4ae6786ad71279239390b60e0"
    assert blob_digest(Header("arrow/1", 0).pack(), []) == "63af13dfb0bef99381e53cdbac08dc429b38399cd59851851938bf410188e3c4"


def test_any_contiguous_buffer_is_taken(blobs: LocalBlobs) -> None:
    import numpy as np

    array = np.arange(12, dtype=np.float64).reshape(3, 4)
    ref = blobs.put("numpy/1", [memoryview(array), b"", memoryview(bytearray(b"tail"))])
    assert bytes(blobs.open(ref.digest).data) == array.tobytes() + b"tail"


def test_data_is_aligned_and_outlives_everything_else(blobs: LocalBlobs) -> None:
    import numpy as np

    ref = blobs.put("numpy/1", [np.arange(1000, dtype=np.int64).tobytes()])
    array = np.frombuffer(blobs.open(ref.digest).data, dtype=np.int64)
    assert array.ctypes.data % 64 == 0 and not array.flags.writeable
    blobs.path(ref.digest).unlink()
    gc.collect()
    assert int(array.sum()) == 499500


def test_more_chunks_than_one_call_takes(blobs: LocalBlobs) -> None:
    chunks = [bytes([n % 256]) * (n % 3) for n in range(3000)]
    assert bytes(blobs.open(blobs.put("log/1", chunks).digest).data) == b"".join(chunks)


@pytest.mark.parametrize("bad", ["", "0" * 63, "0" * 65, "A" * 64, "../" + "0" * 61, "0" * 63 + "\n", "x" * 64])
def test_only_digests_name_blobs(either: Blobs, bad: str) -> None:
    for ask in (either.open, either.verify, either.has):
        with pytest.raises(BadInput):
            ask(bad)


@pytest.mark.parametrize("bad", ["", "Ünïcode", "x" * 33, "../x", "UPPER", "a b", "a\0b"])
def test_a_malformed_kind_is_refused(either: Blobs, bad: str) -> None:
    with pytest.raises(BadInput):
        either.put(bad, [b"x"])
    assert list(either.iter()) == []


def test_nothing_is_there_at_first(either: Blobs) -> None:
    assert list(either.iter()) == [] and not either.has("0" * 64)
    with pytest.raises(NotFound):
        either.open("0" * 64)
    with pytest.raises(NotFound):
        either.verify("0" * 64)


def damages() -> dict[str, Callable[[bytes], bytes]]:
    def flipped(at: int) -> Callable[[bytes], bytes]:
        return lambda raw: raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]

    return {
        "empty": lambda raw: b"",
        "header only half": lambda raw: raw[:32],
        "header only": lambda raw: raw[:SIZE],
        "last byte gone": lambda raw: raw[:-1],
        "one byte more": lambda raw: raw + b"x",
        "zeroed": lambda raw: bytes(len(raw)),
        "magic": flipped(0),
        "length": flipped(8),
        "kind": flipped(16),
        "kind length": flipped(5),
        "reserved": flipped(60),
        "first data byte": flipped(SIZE),
        "another blob": lambda raw: Header("log/1", 5).pack() + b"other",
    }


@pytest.mark.parametrize("how", damages())
@pytest.mark.parametrize("opened_before", [False, True])
def test_damage_is_seen_and_healed(blobs: LocalBlobs, how: str, opened_before: bool) -> None:
    ref = blobs.put("log/1", [b"hello"])
    path = blobs.path(ref.digest)
    # A store that was just started has verified nothing yet; one that was not must notice that the file changed.
    store = blobs if opened_before else LocalBlobs(blobs.root)
    path.write_bytes(damages()[how](path.read_bytes()))
    with pytest.raises(Corrupt) as seen:
        store.open(ref.digest)
    assert seen.value.hint and ref.digest[:12] in str(seen.value)
    with pytest.raises(Corrupt):
        store.verify(ref.digest)
    assert not store.has(ref.digest) and store.missing([ref.digest]) == [ref.digest]
    assert store.put("log/1", [b"hello"]) == ref
    assert store.has(ref.digest) and bytes(store.open(ref.digest).data) == b"hello"
    assert bytes(LocalBlobs(blobs.root).open(ref.digest).data) == b"hello"


def test_damage_that_keeps_size_and_time_is_seen(blobs: LocalBlobs) -> None:
    ref = blobs.put("log/1", [b"hello"])
    path = blobs.path(ref.digest)
    blobs.open(ref.digest)
    status = path.stat()
    with path.open("r+b") as file:
        file.seek(SIZE)
        file.write(b"j")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (status.st_size, status.st_mtime_ns)
    with pytest.raises(Corrupt):
        blobs.open(ref.digest)


def test_a_header_of_a_newer_studio(blobs: LocalBlobs) -> None:
    ref = blobs.put("log/1", [b"hello"])
    path = blobs.path(ref.digest)
    raw = bytearray(path.read_bytes())
    raw[4] = 2
    path.write_bytes(raw)
    with pytest.raises(Incompatible):
        blobs.open(ref.digest)
    assert not blobs.has(ref.digest)
    assert blobs.put("log/1", [b"hello"]) == ref and blobs.has(ref.digest)


def test_bytes_are_read_through_once(blobs: LocalBlobs) -> None:
    """Opening a verified blob costs the same however big it is; only a new store reads it all."""
    big = blobs.put("arrow/1", [bytes(128 << 20)])

    def opened(store: LocalBlobs) -> float:
        began = time.process_time()
        store.open(big.digest)
        return time.process_time() - began

    fresh = LocalBlobs(blobs.root)
    first, second = opened(fresh), min(opened(fresh) for _ in range(3))
    assert first > 10 * second
    assert min(opened(blobs) for _ in range(3)) < first / 10, "what this store wrote itself it need not read"


def test_many_threads_put_the_same_and_others(blobs: LocalBlobs) -> None:
    failures: list[BaseException] = []
    gate = threading.Barrier(12)

    def work(k: int) -> None:
        gate.wait(10)
        for n in range(60):
            data = [b"shared %d" % n, b"x" * (n * 37)] if n % 2 else [b"own %d %d" % (k, n)]
            ref = blobs.put("log/1", data, durable=n % 5 == 0)
            if bytes(blobs.open(ref.digest).data) != b"".join(data):
                failures.append(AssertionError(ref.digest))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failures and len(list(blobs.iter())) == 30 + 12 * 30
    assert not [file for file in blobs.root.rglob(".*") if file.is_file()]


WRITER = """
import sys
from pathlib import Path
from mlstudio_lab.blobs.local import LocalBlobs
blobs = LocalBlobs(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
for n in range(150):
    ref = blobs.put("log/1", [b"the same %d" % (n // 3), bytes(n // 3 * 100)])
    assert bytes(blobs.open(ref.digest).data).startswith(b"the same %d" % (n // 3))
print("done", flush=True)
"""


def test_two_processes_put_the_same(blobs: LocalBlobs) -> None:
    command = [sys.executable, "-c", WRITER, str(blobs.root)]
    children = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    for child in children:
        assert child.stdout is not None and child.stdout.readline() == "ready\n"
    answers = []
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    for child in children:
        answers.append(child.communicate(timeout=60)[0])
        assert child.returncode == 0
    assert answers == ["done\n"] * 3
    assert len([blobs.verify(digest) for digest in blobs.iter()]) == 50


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "blobs").write_text("in the way")
    blobs = LocalBlobs(tmp_path / "blobs")
    with pytest.raises(StorageFailed):
        blobs.put("log/1", [b"x"])
    assert list(blobs.iter()) == [] and not blobs.has("0" * 64)


def test_strangers_in_the_folder_are_passed_over(blobs: LocalBlobs) -> None:
    ref = blobs.put("log/1", [b"x"])
    (blobs.root / "notes.txt").write_text("hello")
    (blobs.root / "ab").mkdir(exist_ok=True)
    (blobs.root / "ab" / ".half.1.2").write_bytes(b"left by a crash")
    (blobs.root / "ab" / ("z" * 62)).write_bytes(b"no digest")
    assert list(blobs.iter()) == [ref.digest]


def test_mapped_memory_may_be_shared_with_other_views(blobs: LocalBlobs) -> None:
    ref = blobs.put("log/1", [b"0123456789" * 1000])
    parts = [blobs.open(ref.digest).data[n : n + 10] for n in range(0, 10_000, 10)]
    assert all(bytes(part) == b"0123456789" for part in parts)
    assert isinstance(parts[0].obj, mmap.mmap)


class Shelf(RuleBasedStateMachine):
    """A store against a dict: put, damage, lose, restart, in any order."""

    @initialize()
    def begin(self) -> None:
        import tempfile

        self.folder = tempfile.TemporaryDirectory(prefix="shelf-")
        self.blobs = LocalBlobs(Path(self.folder.name))
        self.sound: dict[str, bytes] = {}
        self.damaged: set[str] = set()

    @rule(data=st.binary(max_size=3), durable=st.booleans())
    def put(self, data: bytes, durable: bool) -> None:
        ref = self.blobs.put("log/1", [data], durable=durable)
        self.sound[ref.digest] = data
        self.damaged.discard(ref.digest)

    @rule(which=st.integers(0, 20), at=st.integers(0, 66))
    def damage(self, which: int, at: int) -> None:
        if self.sound:
            digest = sorted(self.sound)[which % len(self.sound)]
            path = self.blobs.path(digest)
            raw = bytearray(path.read_bytes())
            raw[at % len(raw)] ^= 0x10
            path.write_bytes(raw)
            del self.sound[digest]
            self.damaged.add(digest)

    @rule(which=st.integers(0, 20))
    def lose(self, which: int) -> None:
        if self.sound:
            digest = sorted(self.sound)[which % len(self.sound)]
            self.blobs.path(digest).unlink()
            del self.sound[digest]

    @rule()
    def restart(self) -> None:
        self.blobs = LocalBlobs(Path(self.folder.name))

    @invariant()
    def they_agree(self) -> None:
        if not hasattr(self, "blobs"):
            return
        assert set(self.blobs.iter()) == set(self.sound) | self.damaged
        for digest, data in self.sound.items():
            assert bytes(self.blobs.open(digest).data) == data and self.blobs.has(digest)
        for digest in self.damaged:
            with pytest.raises((Corrupt, Incompatible)):
                self.blobs.open(digest)

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            self.folder.cleanup()


Shelf.TestCase.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
TestShelf = Shelf.TestCase
