"""Digests of files and folders a run has read, recomputed at look-up to see whether a stored result still holds."""

from __future__ import annotations

import os
import stat
import threading
from typing import Final

from blake3 import blake3

from mlstudio_lab.core.digest import digest

_MOST_KNOWN: Final = 10_000
_known: dict[str, tuple[tuple[int, ...], str]] = {}
_lock: Final = threading.Lock()


def file_digest(path: str | os.PathLike[str], cwd: str = "") -> str:
    """The content digest of a file, of a folder's listing, or "" when there is nothing to read.

    A file is read again only when its identity (device, inode, size, times) has changed since this process last read it.

    Args:
        path: As the run opened it; a relative one is taken from `cwd`.
        cwd: The working directory it is relative to, "" for this process's own.

    Example:
        >>> file_digest("/nonexistent")
        ''
    """
    full = os.path.join(cwd, os.fspath(path)) if cwd else os.fspath(path)
    try:
        status = os.stat(full)
        if stat.S_ISDIR(status.st_mode):
            return _folder_digest(full)
        if not stat.S_ISREG(status.st_mode):
            return ""
        identity = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        with _lock:
            known = _known.get(full)
        if known is not None and known[0] == identity:
            return known[1]
        hasher = blake3(max_threads=blake3.AUTO)
        hasher.update_mmap(full) if status.st_size > 1 << 17 else hasher.update(_read(full))
        found = digest("file", hasher.digest())
    except OSError:
        return ""
    with _lock:
        if len(_known) >= _MOST_KNOWN:
            _known.clear()
        _known[full] = (identity, found)
    return found


def _folder_digest(path: str) -> str:
    entries = sorted((entry.name, entry.is_dir()) for entry in os.scandir(path))
    return digest("folder", [[name, folder] for name, folder in entries])


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()
