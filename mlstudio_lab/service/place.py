"""Where a service lives: its lock, its short runtime folder, its socket and the pointer that clients follow."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import secrets
import socket
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from mlstudio_lab.core.digest import digest
from mlstudio_lab.core.errors import Conflict, StorageFailed
from mlstudio_lab.settings import Settings
from mlstudio_lab.wire.routes import API

_LONGEST_SOCKET_PATH: Final = 100
"""Unix socket addresses hold 104 (macOS) or 108 bytes."""

_BACKLOG: Final = 512


@dataclass(slots=True)
class Listener:
    """A bound socket and how clients find it.

    Attributes:
        address: For people.
        pointer: What goes into `service.json`.
        token: Bearer token that callers must show; "" where the operating system names them.
        hosts: Allowed Host headers; empty for a Unix socket.
        inode: Of the Unix socket's file; 0 for TCP.
    """

    sock: socket.socket
    address: str
    pointer: dict[str, Any]
    token: str = ""
    hosts: frozenset[str] = frozenset()
    inode: int = 0

    def is_there(self) -> bool:
        """Whether callers still reach us by our address: nobody removed the socket's file or put another in its place."""
        if not self.inode:
            return True
        try:
            return os.lstat(self.address).st_ino == self.inode
        except OSError:
            return False


def prepare_home(home: Path) -> None:
    """Makes the home and its folders, for their owner alone.

    Raises:
        StorageFailed: It cannot be made or written.
    """
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in ("ledger", "blobs", "outcomes", "logs"):
            (home / name).mkdir(mode=0o700, exist_ok=True)
        probe = home / f".probe-{os.getpid()}"
        try:
            # With something in it: an empty file can be made on a full disk.
            probe.write_bytes(bytes(4096))
        finally:
            probe.unlink(missing_ok=True)
    except OSError as error:
        raise StorageFailed(
            f"the home {home} cannot be written: {error.strerror}",
            subject=str(home),
            hint="choose another with --home or MLSTUDIO_HOME",
        ) from error


def lock_home(home: Path) -> int | None:
    """A lock that one service per home holds until its process ends; None when another holds it."""
    fd = os.open(home / "service.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(fd)
        if error.errno in (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES):
            return None
        raise StorageFailed(f"{home} cannot be locked: {error.strerror}", subject=str(home), hint="put the home on a local disk") from error
    os.ftruncate(fd, 0)
    os.write(fd, f"{os.getpid()}\n".encode())
    return fd


def lock_holder(home: Path) -> str:
    """The number of the process that took the home's lock last, "?" when it cannot be told."""
    try:
        return (home / "service.lock").read_text().strip() or "?"
    except OSError:
        return "?"


def runtime_folder(settings: Settings) -> Path:
    """The short folder for this home's sockets, for its owner alone.

    Raises:
        StorageFailed: It cannot be made, or somebody else's folder has its name.
    """
    name = f"mls-{os.getuid()}-{digest('home', str(settings.home))[:12]}"
    folder = settings.runtime / name
    if len(str(folder / "api.sock")) > _LONGEST_SOCKET_PATH or not os.access(settings.runtime, os.W_OK):
        folder = Path("/tmp") / name  # noqa: S108
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        facts = folder.lstat()
        if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.getuid():
            raise StorageFailed(
                f"{folder} belongs to somebody else", subject=str(folder), hint="set MLSTUDIO_RUNTIME to a folder of your own"
            )
        if stat.S_IMODE(facts.st_mode) != 0o700:
            folder.chmod(0o700)
    except OSError as error:
        if isinstance(error, StorageFailed):
            raise
        raise StorageFailed(f"{folder} cannot be made: {error.strerror}", subject=str(folder), hint="set MLSTUDIO_RUNTIME") from error
    return folder


def listen(settings: Settings, folder: Path) -> Listener:
    """A bound, listening socket: a Unix socket of mode 0600, or loopback TCP with a token where there are none.

    Raises:
        Conflict: A process that is not this home's service answers on the socket.
        StorageFailed: The socket cannot be made.
    """
    if not hasattr(socket, "AF_UNIX"):
        return _listen_tcp(settings, folder)
    path = folder / "api.sock"
    _clear(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # The mask, not a chmod afterwards: there is no moment in which others could connect.
    mask = os.umask(0o177)
    try:
        sock.bind(str(path))
    except OSError as error:
        sock.close()
        raise StorageFailed(
            f"the socket {path} cannot be made: {error.strerror}", subject=str(path), hint="set MLSTUDIO_RUNTIME"
        ) from error
    finally:
        os.umask(mask)
    sock.listen(_BACKLOG)
    pointer = {"runtime": str(folder), "socket": str(path), "pid": os.getpid(), "api": API}
    return Listener(sock, str(path), pointer, inode=os.lstat(path).st_ino)


def _clear(path: Path) -> None:
    """Removes a socket nobody answers on; the lock is ours, so it is a dead service's."""
    try:
        facts = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(facts.st_mode):
        raise StorageFailed(f"{path} is there and is not a socket", subject=str(path), hint="remove it, or set MLSTUDIO_RUNTIME")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except OSError:
            path.unlink(missing_ok=True)
            return
    raise Conflict(f"another process answers on {path}", subject=str(path), hint="stop it, or set MLSTUDIO_RUNTIME to another folder")


def _listen_tcp(settings: Settings, folder: Path) -> Listener:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.bind(("127.0.0.1", 0))
    sock.listen(_BACKLOG)
    port = sock.getsockname()[1]
    token = secrets.token_urlsafe(32)
    path = folder / "token"
    path.unlink(missing_ok=True)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(fd, "w") as file:
        file.write(token)
    url = f"http://127.0.0.1:{port}"
    pointer = {"runtime": str(folder), "url": url, "token": token, "pid": os.getpid(), "api": API}
    return Listener(sock, url, pointer, token, frozenset({f"127.0.0.1:{port}", f"localhost:{port}"}))


def write_pointer(home: Path, pointer: dict[str, Any]) -> None:
    """Tells clients where to go, in one step."""
    beside = home / f".service.json.{os.getpid()}"
    fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(fd, "w") as file:
            json.dump(pointer, file)
        beside.replace(home / "service.json")
    except OSError:
        beside.unlink(missing_ok=True)
        raise


def read_pointer(home: Path) -> dict[str, Any]:
    """What `write_pointer` wrote; empty when there is none."""
    try:
        found = json.loads((home / "service.json").read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def remove_pointer(home: Path) -> None:
    """Takes the pointer away if it still points to this process."""
    if read_pointer(home).get("pid") == os.getpid():
        (home / "service.json").unlink(missing_ok=True)
