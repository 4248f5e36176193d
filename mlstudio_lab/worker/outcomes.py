"""Outcomes as files, durable before anybody hears of them, so that a restarted service can adopt them."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

from mlstudio_lab.core.errors import BadInput, StorageFailed

_ATTEMPT: Final = re.compile(r"[A-Za-z0-9_.-]{1,128}")


def write_outcome(home: Path, attempt: str, fence: int, data: bytes) -> Path:
    """Writes `outcomes/<attempt>-<fence>.json` beside, syncs, renames, syncs the folder.

    Raises:
        BadInput: The attempt's id is not a file name.
        StorageFailed: The home cannot be written.
    """
    if not _ATTEMPT.fullmatch(attempt) or attempt.startswith("."):
        raise BadInput("this attempt id is not an id", subject=attempt[:80].encode("unicode_escape").decode())
    folder = home / "outcomes"
    path = folder / f"{attempt}-{fence}.json"
    beside = folder / f".{attempt}-{fence}.{os.getpid()}"
    try:
        try:
            fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:
            folder.mkdir(parents=True, exist_ok=True)
            fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(fd, view) :]
            _sync(fd)
        finally:
            os.close(fd)
        os.replace(beside, path)
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            _sync(fd)
        finally:
            os.close(fd)
    except OSError as error:
        raise StorageFailed(
            f"the outcome cannot be written: {error.strerror}", subject=str(folder), hint="make room or give access there, then run again"
        ) from error
    return path


def _sync(fd: int) -> None:
    import fcntl

    full = getattr(fcntl, "F_FULLFSYNC", None)
    if full is not None:
        fcntl.fcntl(fd, full)
    else:
        os.fsync(fd)
