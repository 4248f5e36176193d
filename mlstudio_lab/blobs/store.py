"""What every store of blobs can do, wherever the bytes are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class BlobRef:
    """A stored blob's name and size.

    Attributes:
        digest: 64 hex digits over kind and data.
        kind: What the bytes are, as a codec and its version.
        bytes: Length of the data.
    """

    digest: str
    kind: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Blob:
    """A blob opened for reading.

    Attributes:
        kind: What the bytes are, as a codec and its version.
        data: The bytes, read-only, 64-byte aligned; memory stays mapped for as long as this view, or anything built on
            it, lives.
        bytes: Length of `data`.
    """

    kind: str
    data: memoryview
    bytes: int


class Blobs(Protocol):
    """A store of immutable bytes named by their content; safe to use from many threads and processes at once."""

    def put(self, kind: str, chunks: Sequence[bytes | memoryview], *, durable: bool = True) -> BlobRef:
        """Stores the chunks' concatenation; when this returns, it survives kill -9, and power loss too if `durable`.

        A blob that is already there is checked, and overwritten when it is damaged.

        Args:
            kind: What the bytes are, as a codec and its version, such as "arrow/1".
            chunks: The data in order; nothing is joined or copied.
            durable: False for what can be made again and need not be waited for.

        Raises:
            BadInput: The kind is malformed.
            StorageFailed: The store cannot be written.
        """
        ...

    def open(self, digest: str) -> Blob:
        """The blob of that digest, verified once per file.

        Raises:
            NotFound: There is none.
            Corrupt: The stored bytes are not what was written.
            BadInput: Not a digest.
        """
        ...

    def has(self, digest: str) -> bool:
        """Whether a blob of that digest and its full length is here and not known to be damaged."""
        ...

    def missing(self, digests: Iterable[str]) -> list[str]:
        """Those of the digests that are not here, in the order given."""
        ...

    def verify(self, digest: str) -> BlobRef:
        """Reads the blob's every byte again.

        Raises:
            NotFound: There is none.
            Corrupt: The stored bytes are not what was written.
        """
        ...

    def iter(self) -> Iterator[str]:
        """The digests of all stored blobs, in order."""
        ...
