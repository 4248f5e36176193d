"""Blobs as files of one folder: written beside, synced, renamed, synced again; verified once, healed on put."""

from __future__ import annotations

import contextlib
import itertools
import mmap
import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from mlstudio_lab.blobs.disk import make_folder, storage, sync, sync_folder, write_all
from mlstudio_lab.blobs.header import SIZE, Header, blob_digest, check_digest, is_digest
from mlstudio_lab.blobs.store import Blob, BlobRef
from mlstudio_lab.core.errors import Corrupt, Incompatible, NotFound, StorageFailed

_MOST_KNOWN: Final = 200_000
"""Digests whose verification is remembered; beyond, the memory starts anew."""


class _Identity(NamedTuple):
    """One state of one file: any write, also one that keeps size and modification time, changes the status time."""

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def of(cls, fd: int) -> _Identity:
        status = os.fstat(fd)
        return cls(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


class LocalBlobs:
    """A store of blobs in one folder, as `<root>/ab/cdef…`, shared by any number of threads and processes.

    Args:
        root: The folder; it and its parents are made when the first blob is put.

    Example:
        >>> import tempfile
        >>> blobs = LocalBlobs(Path(tempfile.mkdtemp()))
        >>> bytes(blobs.open(blobs.put("log/1", [b"he", b"llo"]).digest).data)
        b'hello'
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._verified: dict[str, _Identity] = {}
        self._damaged: dict[str, _Identity] = {}
        self._durable: dict[str, _Identity] = {}
        self._folders: set[str] = set()
        self._numbers = itertools.count()
        self._session = f"{os.getpid():x}-{os.urandom(6).hex()}"
        self._lock = threading.Lock()

    def path(self, digest: str) -> Path:
        """Where the blob of that digest is, or would be.

        Raises:
            BadInput: Not a digest.
        """
        check_digest(digest)
        return self.root / digest[:2] / digest[2:]

    def put(self, kind: str, chunks: Sequence[bytes | memoryview], *, durable: bool = True) -> BlobRef:
        """Stores the chunks' concatenation; when this returns, it survives kill -9, and power loss too if `durable`.

        Args:
            kind: What the bytes are, as a codec and its version.
            chunks: The data in order.
            durable: False for what can be made again.

        Raises:
            BadInput: The kind is malformed.
            StorageFailed: The folder cannot be written.
        """
        views = [memoryview(chunk).cast("B") for chunk in chunks]
        size = sum(map(len, views))
        header = Header(kind, size).pack()
        digest = blob_digest(header, views)
        ref = BlobRef(digest, kind, size)
        path = self.root / digest[:2] / digest[2:]
        with storage(path.parent):
            if not self._keep(digest, path, durable):
                self._write(digest, path, [memoryview(header), *views], durable)
        return ref

    def open(self, digest: str) -> Blob:
        """The blob of that digest; its bytes are read through and compared once per state of its file.

        Args:
            digest: 64 hex digits.

        Raises:
            NotFound: There is none.
            Corrupt: The stored bytes are not what was written.
            BadInput: Not a digest.
        """
        return self._open(digest, self.path(digest), again=False)

    def has(self, digest: str) -> bool:
        """Whether a blob of that digest and its full length is here and not known to be damaged."""
        try:
            fd = os.open(self.path(digest), os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            identity = _Identity.of(fd)
            if self._verified.get(digest) == identity:
                return True
            if self._damaged.get(digest) == identity:
                return False
            return identity.size == SIZE + Header.parse(os.pread(fd, SIZE, 0), digest).bytes
        except (OSError, Corrupt, Incompatible):
            return False
        finally:
            os.close(fd)

    def missing(self, digests: Iterable[str]) -> list[str]:
        """Those of the digests that are not here, in the order given."""
        return [digest for digest in digests if not self.has(digest)]

    def verify(self, digest: str) -> BlobRef:
        """Reads the blob's every byte again, whatever is remembered.

        Raises:
            NotFound: There is none.
            Corrupt: The stored bytes are not what was written.
        """
        blob = self._open(digest, self.path(digest), again=True)
        return BlobRef(digest, blob.kind, blob.bytes)

    def iter(self) -> Iterator[str]:
        """The digests of all stored blobs, in order; files that are not blobs are passed over.

        Raises:
            StorageFailed: A folder cannot be read.
        """
        for folder in sorted(_names(self.root)):
            for rest in sorted(_names(self.root / folder)):
                if len(folder) == 2 and is_digest(folder + rest):
                    yield folder + rest

    def _open(self, digest: str, path: Path, *, again: bool) -> Blob:
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            raise NotFound(f"no blob {digest[:12]} here", subject=digest, hint="run what made it again") from None
        except OSError as error:
            raise _corrupt(digest, error.strerror or "it cannot be read") from error
        try:
            identity = _Identity.of(fd)
            try:
                blob = self._check(digest, fd, identity, again)
            except Corrupt:
                self._remember(self._damaged, digest, identity)
                self._verified.pop(digest, None)
                raise
            self._remember(self._verified, digest, identity)
            return blob
        except OSError as error:
            raise _corrupt(digest, error.strerror or "it cannot be read") from error
        finally:
            os.close(fd)

    def _check(self, digest: str, fd: int, identity: _Identity, again: bool) -> Blob:
        if identity.size < SIZE:
            raise _corrupt(digest, "it is shorter than its header")
        whole = memoryview(mmap.mmap(fd, 0, access=mmap.ACCESS_READ))
        header = Header.parse(whole[:SIZE], digest[:12])
        if identity.size != SIZE + header.bytes:
            raise _corrupt(digest, f"it has {identity.size - SIZE} of {header.bytes} bytes")
        data = whole[SIZE:]
        if (again or self._verified.get(digest) != identity) and blob_digest(bytes(whole[:SIZE]), [data]) != digest:
            raise _corrupt(digest, "its bytes are not those of its name")
        return Blob(header.kind, data, header.bytes)

    def _keep(self, digest: str, path: Path, durable: bool) -> bool:
        """Whether a good blob is there already, made durable if that is asked for."""
        try:
            self._open(digest, path, again=False)
        except (NotFound, Corrupt, Incompatible):
            return False
        if durable and self._durable.get(digest) != self._verified.get(digest):
            # Whoever renamed it may be another process that has not synced it yet, or need not.
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                sync(fd)
                identity = _Identity.of(fd)
            finally:
                os.close(fd)
            sync_folder(path.parent)
            self._sync_above(path.parent)
            self._remember(self._durable, digest, identity)
        return True

    def _write(self, digest: str, path: Path, views: Sequence[memoryview], durable: bool) -> None:
        beside = path.parent / f".{path.name[:8]}.{self._session}.{next(self._numbers)}"
        try:
            fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:
            make_folder(path.parent)
            fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            try:
                write_all(fd, views)
                if durable:
                    sync(fd)
                os.replace(beside, path)
                # The rename itself changes the status time, so the identity is taken after it.
                identity = _Identity.of(fd)
            finally:
                os.close(fd)
        except BaseException:
            with contextlib.suppress(OSError):
                beside.unlink()
            raise
        if durable:
            sync_folder(path.parent)
            self._sync_above(path.parent)
            self._remember(self._durable, digest, identity)
        self._damaged.pop(digest, None)
        self._remember(self._verified, digest, identity)

    def _sync_above(self, folder: Path) -> None:
        """Makes a folder's own entry durable, once: whoever made it may not have come to that yet."""
        if folder.name not in self._folders:
            sync_folder(self.root)
            sync_folder(self.root.parent)
            self._folders.add(folder.name)

    def _remember(self, memory: dict[str, _Identity], digest: str, identity: _Identity) -> None:
        with self._lock:
            if len(memory) >= _MOST_KNOWN:
                memory.clear()
            memory[digest] = identity


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise StorageFailed(
            f"{folder} cannot be read: {error.strerror}", subject=str(folder), hint="give its owner the right to read it"
        ) from error


def _corrupt(digest: str, how: str) -> Corrupt:
    return Corrupt(f"blob {digest[:12]} is damaged: {how}", subject=digest, hint="run what made it again; mlstudio fsck lists all damage")
