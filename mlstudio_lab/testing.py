"""Real but small components for tests, yours and ours: a clock turned by hand, blobs in memory, small bundles."""

from __future__ import annotations

import mmap
import threading
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

from mlstudio_lab.blobs.header import SIZE, Header, blob_digest, check_digest
from mlstudio_lab.blobs.store import Blob, BlobRef
from mlstudio_lab.core.bundle import Bundle, Kind, Unit
from mlstudio_lab.core.errors import Corrupt, NotFound
from mlstudio_lab.core.interface import Interface, Port
from mlstudio_lab.core.lock import Lock


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
