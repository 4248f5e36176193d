"""Blobs over HTTP, for a service whose folder this process cannot read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from mlstudio_lab.blobs.header import Header, blob_digest
from mlstudio_lab.blobs.store import Blob, BlobRef
from mlstudio_lab.client.transport import Transport
from mlstudio_lab.core.errors import BadInput, Corrupt
from mlstudio_lab.wire.routes import KIND_HEADER


class RemoteBlobs:
    """The service's blobs as seen from another machine; what comes is checked against its name.

    Args:
        transport: How to reach the service.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def put(self, kind: str, chunks: Sequence[bytes | memoryview], *, durable: bool = True) -> BlobRef:
        """Sends the chunks' concatenation, unless the service has it already.

        Raises:
            BadInput: The kind is malformed.
            StorageFailed: The service cannot store it.
        """
        views = [memoryview(chunk).cast("B") for chunk in chunks]
        size = sum(map(len, views))
        digest = blob_digest(Header(kind, size).pack(), views)
        if self.missing([digest]):
            self._transport.put_bytes(f"/blobs/{digest}", b"".join(views), {KIND_HEADER: kind})
        return BlobRef(digest, kind, size)

    def open(self, digest: str) -> Blob:
        """The blob of that digest.

        Raises:
            NotFound: There is none.
            Corrupt: What came is not what the digest names.
        """
        data, headers = self._transport.get_bytes(f"/blobs/{digest}")
        kind = headers.get(KIND_HEADER, "")
        if blob_digest(Header(kind, len(data)).pack(), [data]) != digest:
            raise Corrupt(f"blob {digest[:12]} arrived damaged", subject=digest, hint="try again; if it stays, run mlstudio fsck there")
        return Blob(kind, memoryview(data), len(data))

    def has(self, digest: str) -> bool:
        """Whether the service has the blob."""
        return not self.missing([digest])

    def missing(self, digests: Iterable[str]) -> list[str]:
        """Those of the digests that the service does not have, in the order given."""
        wanted = list(digests)
        return list(self._transport.post("/blobs/missing", {"digests": wanted})["missing"]) if wanted else []

    def verify(self, digest: str) -> BlobRef:
        """Fetches the blob and compares its every byte.

        Raises:
            NotFound: There is none.
            Corrupt: What came is not what the digest names.
        """
        blob = self.open(digest)
        return BlobRef(digest, blob.kind, blob.bytes)

    def iter(self) -> Iterator[str]:
        """Never: a store of others is not listed over HTTP.

        Raises:
            BadInput: Always.
        """
        raise BadInput("a remote store's blobs are not listed", subject="blobs", hint="run mlstudio fsck where the home is")
