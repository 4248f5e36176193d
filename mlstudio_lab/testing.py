"""Real but small components for tests, yours and ours: a clock turned by hand, blobs in memory, small bundles."""

from __future__ import annotations

import mmap
import threading
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from mlstudio_lab.blobs.header import SIZE, Header, blob_digest, check_digest
from mlstudio_lab.blobs.store import Blob, BlobRef
from mlstudio_lab.core.bundle import Bundle, Kind, Unit
from mlstudio_lab.core.errors import Corrupt, NotFound
from mlstudio_lab.core.interface import Interface, Port
from mlstudio_lab.core.lock import Lock
from mlstudio_lab.engine.executors import OnEvent, OnLost, OnOutcome
from mlstudio_lab.wire.task import Outcome, Task


class FakeClock:
    """A clock that stands still until it is turned.

    Args:
        at: Where it starts.

    Example:
        >>> clock = FakeClock(); before = clock.monotonic(); clock.forward(90); clock.monotonic() - before
        90.0
    """

    def __init__(self, at: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._at = at
        self._monotonic = 1000.0
        self._lock = threading.Lock()

    def now(self) -> datetime:
        """The moment it shows, aware, in UTC."""
        return self._at

    def monotonic(self) -> float:
        """Seconds it was turned forward, from 1,000."""
        return self._monotonic

    def forward(self, seconds: float) -> None:
        """Turns it forward."""
        with self._lock:
            self._at += timedelta(seconds=seconds)
            self._monotonic += seconds


class MemoryBlobs:
    """A store of blobs in this process's memory, with the behaviour of `blobs.local.LocalBlobs` and none of its disk.

    Example:
        >>> blobs = MemoryBlobs()
        >>> bytes(blobs.open(blobs.put("log/1", [b"hello"]).digest).data)
        b'hello'
    """

    def __init__(self) -> None:
        self._files: dict[str, memoryview] = {}

    def put(self, kind: str, chunks: Sequence[bytes | memoryview], *, durable: bool = True) -> BlobRef:
        """Keeps the chunks' concatenation."""
        views = [memoryview(chunk).cast("B") for chunk in chunks]
        size = sum(map(len, views))
        header = Header(kind, size).pack()
        digest = blob_digest(header, views)
        # An anonymous mapping is page-aligned, as a mapped file is.
        file = mmap.mmap(-1, SIZE + size)
        file.write(header)
        for view in views:
            file.write(view)
        self._files[digest] = memoryview(file).toreadonly()
        return BlobRef(digest, kind, size)

    def open(self, digest: str) -> Blob:
        """The blob of that digest.

        Raises:
            NotFound: There is none.
            Corrupt: `damage` was called on it.
        """
        file = self._files.get(check_digest(digest))
        if file is None:
            raise NotFound(f"no blob {digest[:12]} here", subject=digest)
        header = Header.parse(file[:SIZE], digest[:12])
        if blob_digest(bytes(file[:SIZE]), [file[SIZE:]]) != digest:
            raise Corrupt(f"blob {digest[:12]} is damaged", subject=digest)
        return Blob(header.kind, file[SIZE:], header.bytes)

    def has(self, digest: str) -> bool:
        """Whether a blob of that digest is here."""
        return check_digest(digest) in self._files

    def missing(self, digests: Iterable[str]) -> list[str]:
        """Those of the digests that are not here, in the order given."""
        return [digest for digest in digests if not self.has(digest)]

    def verify(self, digest: str) -> BlobRef:
        """Reads the blob's every byte again.

        Raises:
            NotFound: There is none.
            Corrupt: `damage` was called on it.
        """
        blob = self.open(digest)
        return BlobRef(digest, blob.kind, blob.bytes)

    def iter(self) -> Iterator[str]:
        """The digests of all blobs, in order."""
        return iter(sorted(self._files))

    def damage(self, digest: str) -> None:
        """Changes the last byte kept, as a failing disk would."""
        file = bytearray(self._files[digest])
        file[-1] ^= 0xFF
        self._files[digest] = memoryview(file).toreadonly()


def sample_bundle(source: str = "y = x + 1", kind: Kind = "cell") -> Bundle:
    """A small bundle whose id depends on the source, for tests that need a version and not its code.

    Example:
        >>> sample_bundle("y = 1").id == sample_bundle("y = 2").id
        False
    """
    entry = "main" if kind == "function" else ""
    lock = Lock("3.11.7", "linux-x86_64", (("numpy", "2.4.6"), ("polars", "2.1.0")))
    return Bundle(kind, entry, (Unit("main", "main", source),), Interface((Port("x", implicit=True),), (Port("y"),)), lock)


class FakeExecutor:
    """An executor that runs nothing: a test says what becomes of each attempt, as a worker would.

    Args:
        home: Where outcome files are left, as a worker leaves them before it answers.

    Attributes:
        tasks: Attempt -> task, of every attempt that has not ended.
        seen: Every attempt ever submitted, in order.

    Example:
        >>> FakeExecutor(Path("/tmp")).status()["name"]
        'local'
    """

    name = "local"

    def __init__(self, home: Path) -> None:
        self._home = home
        self.lost: OnLost = _nobody
        self.tasks: dict[str, Task] = {}
        self.seen: list[str] = []
        self.cancelled: list[tuple[str, bool]] = []
        self._listeners: dict[str, tuple[OnEvent, OnOutcome]] = {}

    def start(self) -> None:
        """Nothing to make."""

    def ready(self) -> bool:
        """Always."""
        return True

    def submit(self, task: Task, on_event: OnEvent, on_outcome: OnOutcome) -> None:
        """Keeps the task for the test."""
        self.tasks[task.attempt] = task
        self.seen.append(task.attempt)
        self._listeners[task.attempt] = (on_event, on_outcome)

    def adopt(self, attempt: str, fence: int, run: str, on_event: OnEvent, on_outcome: OnOutcome) -> None:
        """Nothing survives a restart here."""
        self.lost(attempt, "the studio was restarted", infrastructure=True)

    def begin(self, attempt: str) -> None:
        """Says that a worker took the attempt."""
        self._listeners[attempt][0]({"t": "state", "state": "running", "worker": {"executor": self.name, "pid": 0}})

    def say(self, attempt: str, text: str) -> None:
        """Says that the code printed something."""
        self._listeners[attempt][0]({"t": "stdout", "text": text})

    def leave_outcome(self, attempt: str, state: str = "succeeded", **fields: Any) -> Outcome:
        """Writes the outcome file and says nothing, as a worker does whose service is gone."""
        task = self.tasks[attempt]
        outputs = {"graph": attempt, "graph_blob": "", "leaves": [], "values": {"return": {"digest": attempt, "type": "int"}}}
        given = {"outputs": outputs if state == "succeeded" else None, **fields}
        outcome = Outcome(attempt, task.fence, task.run, state, **given)  # type: ignore[arg-type]
        folder = self._home / "outcomes"
        folder.mkdir(exist_ok=True)
        (folder / f"{attempt}-{task.fence}.json").write_bytes(outcome.dump())
        return outcome

    def finish(self, attempt: str, state: str = "succeeded", **fields: Any) -> Outcome:
        """Ends the attempt with an outcome, durable first."""
        outcome = self.leave_outcome(attempt, state, **fields)
        del self.tasks[attempt]
        self._listeners.pop(attempt)[1](outcome)
        return outcome

    def lose(self, attempt: str, reason: str = "its worker was killed by signal 9 (SIGKILL)", *, infrastructure: bool = False) -> None:
        """Ends the attempt without one."""
        del self.tasks[attempt]
        self._listeners.pop(attempt, None)
        self.lost(attempt, reason, infrastructure=infrastructure)

    def cancel(self, attempt: str, force: bool) -> None:
        """A forced attempt is lost at once; one that was asked goes on until the test ends it."""
        self.cancelled.append((attempt, force))
        if force and attempt in self.tasks:
            self.lose(attempt)

    def status(self) -> dict[str, Any]:
        """As a local pool's."""
        busy = len(self.tasks)
        return {"name": self.name, "ready": True, "workers": busy, "busy": busy, "queued": 0, "detail": "", "members": []}

    def leave(self) -> None:
        """Forgets everything."""
        self.close()

    def close(self) -> None:
        """Forgets everything."""
        self.tasks.clear()
        self._listeners.clear()


def _nobody(attempt: str, reason: str = "", *, infrastructure: bool = False) -> None:
    """Where losses go before an engine listens."""
