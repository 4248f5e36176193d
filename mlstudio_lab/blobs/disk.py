"""Durable small steps on a local file system, with refusals people can act on."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from mlstudio_lab.core.errors import StorageFailed

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_CLOSED: Final = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})
_MOST_CHUNKS: Final = 512
"""Buffers in one writev; IOV_MAX is at least 1,024 on Linux and macOS."""


def storage_failed(error: OSError, path: Path) -> StorageFailed:
    """The refusal that fits what the operating system said about a path.

    Example:
        >>> storage_failed(OSError(28, "No space left on device"), Path("/data")).hint
        'free some space there; the studio goes on by itself, without a restart'
    """
    if error.errno in _FULL:
        message, hint = "the disk is full", "free some space there; the studio goes on by itself, without a restart"
    elif error.errno in _CLOSED:
        message, hint = "it is read-only for this user", "make it writable, or choose another home with MLSTUDIO_HOME"
    else:
        message, hint = error.strerror or type(error).__name__, "check the disk; nothing was acknowledged that is not stored"
    return StorageFailed(f"{path} cannot be written: {message}", str(path), hint)


@contextlib.contextmanager
def storage(path: Path) -> Iterator[None]:
    """Turns every OSError inside into a `StorageFailed` that names the path."""
    try:
        yield
    except OSError as error:
        if isinstance(error, StorageFailed):
            raise
        raise storage_failed(error, path) from error


def sync(fd: int) -> None:
    """Returns when what was written to the descriptor survives power loss."""
    if sys.platform == "darwin":
        import fcntl

        # Plain fsync on macOS leaves the data in the drive's own cache.
        fcntl.fcntl(fd, fcntl.F_FULLFSYNC)
    else:
        os.fsync(fd)


def sync_folder(path: Path) -> None:
    """Returns when the folder's entries, renames included, survive power loss."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        sync(fd)
    finally:
        os.close(fd)


def make_folder(path: Path) -> None:
    """Makes a folder and its parents, durably; one that is there already costs one system call."""
    if path.is_dir():
        return
    make_folder(path.parent)
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700)
    sync_folder(path.parent)


def write_all(fd: int, chunks: Sequence[bytes | memoryview]) -> None:
    """Writes every byte of every chunk; the kernel may take fewer at a time."""
    views = [view for view in (memoryview(chunk).cast("B") for chunk in chunks) if len(view)]
    at = 0
    while at < len(views):
        written = os.writev(fd, views[at : at + _MOST_CHUNKS])
        while at < len(views) and written >= len(views[at]):
            written -= len(views[at])
            at += 1
        if written:
            views[at] = views[at][written:]
