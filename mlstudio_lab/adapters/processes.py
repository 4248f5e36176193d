"""What the operating system knows of processes, without a vendor's help: sessions, children, and ending them.

A Ray head is many processes that rename themselves and outlive who started them. What they keep is the session they were
started in, so a session's number, written down by the launcher, names everything that is ours and nothing else.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Process:
    """One running process.

    Attributes:
        pid, parent: Its id and its parent's.
        name: The program's short name.
        ended: It is a zombie: gone, but not yet collected by its parent.
    """

    pid: int
    parent: int
    name: str
    ended: bool


def running() -> Iterator[Process]:
    """Every process of this machine that can be seen, zombies included."""
    if (_PROC / "self" / "stat").exists():
        for entry in os.listdir(_PROC):
            if entry.isdigit() and (found := _from_proc(int(entry))):
                yield found
        return
    listing = subprocess.run(["ps", "-axo", "pid=,ppid=,stat=,comm="], capture_output=True, text=True, check=False).stdout
    for line in listing.splitlines():
        pid, parent, state, name = line.split(None, 3)
        yield Process(int(pid), int(parent), os.path.basename(name), state.startswith("Z"))


def _from_proc(pid: int) -> Process | None:
    try:
        text = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    name, rest = text[text.index("(") + 1 : text.rindex(")")], text[text.rindex(")") + 2 :].split()
    return Process(pid, int(rest[1]), name, rest[0] in "ZX")


def is_alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not.

    Example:
        >>> is_alive(os.getpid())
        True
    """
    if _PROC.joinpath("self").exists():
        found = _from_proc(pid)
        return found is not None and not found.ended
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True


def in_session(session: int) -> list[Process]:
    """The processes of one session, zombies left out."""
    found = []
    for process in running():
        with contextlib.suppress(OSError):
            if not process.ended and os.getsid(process.pid) == session:
                found.append(process)
    return found


def below(pid: int) -> list[int]:
    """The ids of a process's children, their children, and so on."""
    children: dict[int, list[int]] = {}
    for process in running():
        children.setdefault(process.parent, []).append(process.pid)
    found: list[int] = []
    queue = [pid]
    while queue:
        queue.extend(more := children.get(queue.pop(), []))
        found.extend(more)
    return found


def kill(pids: Iterable[int]) -> None:
    """End processes at once; those already gone are no error."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
