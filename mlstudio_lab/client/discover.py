"""Finding the service of a home, or starting it; two starters at once end up with one service."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from mlstudio_lab.core.errors import BadInput, StorageFailed, Unavailable
from mlstudio_lab.settings import Settings

START_DEADLINE_S: Final = 20.0
"""Longest time a service may take from nothing to its first answer."""

_LEAST_FREE_BYTES: Final = 100_000
_POLL_S: Final = 0.02
_LOG_TAIL_LINES: Final = 8


@dataclass(frozen=True, slots=True)
class Address:
    """Where a service answers.

    Attributes:
        base: What stands before the path in a URL, such as "http://mlstudio" for a socket.
        socket: Path of its Unix socket, None for TCP.
        token: Bearer token to send, "" for none.

    Example:
        >>> Address("https://studio.example.org").socket is None
        True
    """

    base: str
    socket: Path | None = None
    token: str = field(default="", repr=False)


def find(settings: Settings) -> Address | None:
    """The address of a service that accepts connections now, or None.

    Raises:
        BadInput: `url` is not an http or https address.

    Example:
        >>> find(Settings.read({}, home="/no/such/home")) is None
        True
    """
    if settings.url:
        if not settings.url.startswith(("http://", "https://")):
            raise BadInput(f"{settings.url!r} is not an address", subject="url", hint="write http://host:port or https://host")
        return Address(settings.url.rstrip("/"), None, settings.token)
    try:
        pointer = json.loads((settings.home / "service.json").read_text())
        if pointer.get("url"):
            address = Address(str(pointer["url"]).rstrip("/"), None, str(pointer.get("token", "")))
            return address if _accepts_tcp(address.base) else None
        path = Path(pointer.get("socket") or Path(pointer["runtime"]) / "api.sock")
    except (OSError, ValueError, TypeError, LookupError, AttributeError):
        # Half a file, or one that somebody else wrote: it points nowhere, and the next service writes it again.
        return None
    return Address("http://mlstudio", path) if _accepts(path, pointer.get("pid")) else None


def ensure(settings: Settings, *, deadline_s: float = START_DEADLINE_S) -> Address:
    """The address of this home's service, started when it is not there.

    Args:
        settings: Which home, or which team's URL; a URL is never started, only returned.
        deadline_s: Longest time to wait for a service that is starting.

    Raises:
        Unavailable: The service did not come up; the message has the last lines of its log.
        StorageFailed: The home cannot be written.

    Example:
        >>> ensure(Settings.read({}, url="http://localhost:9")).base
        'http://localhost:9'
    """
    found = find(settings)
    if found is not None:
        return found
    deadline = time.monotonic() + deadline_s
    with _starting(settings.home, deadline):
        return find(settings) or _start(settings, deadline)


def log_tail(home: Path, lines: int = _LOG_TAIL_LINES) -> str:
    """The last lines of what the service wrote while starting, "" when it wrote nothing."""
    try:
        data = (home / "logs" / "start.log").read_bytes()[-8_192:]
    except OSError:
        return ""
    return "\n".join(data.decode(errors="replace").strip().splitlines()[-lines:])


def _accepts(path: Path, pid: object) -> bool:
    """Whether the service of that process listens there; a program that took the place of a dead service's socket is none."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(5.0)
        try:
            probe.connect(str(path))
        except (OSError, ValueError):
            return False
        if not hasattr(socket, "SO_PEERCRED"):
            return True
        listener = struct.unpack("3i", probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))[0]
    # 0 is a process of another namespace, such as the host's seen from a container: nothing is known about it.
    return listener in (0, pid)


def _accepts_tcp(base: str) -> bool:
    host, _, port = base.split("://", 1)[1].partition(":")
    try:
        socket.create_connection((host, int(port or 80)), timeout=5.0).close()
    except (OSError, ValueError, IndexError):
        return False
    return True


@contextlib.contextmanager
def _starting(home: Path, deadline: float) -> Iterator[None]:
    """Only one process at a time starts a home's service; the others wait here and then find it."""
    try:
        (home / "logs").mkdir(parents=True, exist_ok=True)
        handle = os.open(home / "start.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StorageFailed(
            f"the home {home} cannot be written: {error.strerror}", subject=str(home), hint="choose another with --home or MLSTUDIO_HOME"
        ) from error
    try:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise Unavailable(
                        "another process has been starting the studio for too long", subject=str(home), hint="try again"
                    ) from None
                time.sleep(_POLL_S)
        yield
    finally:
        os.close(handle)


def _start(settings: Settings, deadline: float) -> Address:
    with (settings.home / "logs" / "start.log").open("wb") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "mlstudio_lab.service", "--home", str(settings.home)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # it outlives this kernel, and a Ctrl-C here is not meant for it
            cwd=settings.home,
            env=settings.environment(),
        )
    grace = 0.0
    while (now := time.monotonic()) < deadline:
        if (found := find(settings)) is not None:
            return found
        if child.poll() is not None:
            # Someone else's service may hold the lock and be about to answer: look a little longer before giving up.
            grace = grace or now + 2.0
            if now > grace:
                break
        time.sleep(_POLL_S)
    state = f"it ended with code {child.returncode}" if child.poll() is not None else "it is still starting"
    if shutil.disk_usage(settings.home).free < _LEAST_FREE_BYTES:
        state += "; the disk of the home is full"
    tail = log_tail(settings.home)
    raise Unavailable(
        f"the studio of {settings.home} did not come up: {state}" + (f"\n{tail}" if tail else ""),
        subject=str(settings.home),
        hint=f"read {settings.home / 'logs'}, or run: mlstudio doctor",
    )
