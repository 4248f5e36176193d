"""The process's one audit hook: passes file, network and process events to whichever observer is active."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import threading
from types import FrameType
from typing import Any, Final, Protocol

_WRITES: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


_LIBRARIES: Final = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})


class Watcher(Protocol):
    """What takes audit events of the person's threads."""

    def reads(self, path: str, depth: int) -> None:
        """A file or folder is opened for reading."""

    def writes(self, path: str) -> None:
        """A file is opened for writing, moved or removed."""

    def impure(self, what: str, detail: str) -> None:
        """Something was touched that makes the result not reusable."""


class _Hook:
    """Installed once; costs one look at an attribute while nobody observes."""

    def __init__(self) -> None:
        self.watcher: Watcher | None = None
        self.ignored: frozenset[int] = frozenset()
        self.installed = False
        self._busy = threading.local()

    def install(self) -> None:
        if not self.installed:
            self.installed = True
            sys.addaudithook(self)

    def __call__(self, event: str, args: tuple[Any, ...]) -> None:
        watcher = self.watcher
        if watcher is None or event not in _EVENTS or threading.get_ident() in self.ignored or getattr(self._busy, "now", False):
            return
        # What the watcher itself opens is not the person's.
        self._busy.now = True
        try:
            _take(watcher, event, args)
        finally:
            self._busy.now = False


hook: Final = _Hook()

_EVENTS: Final = frozenset({
    "open", "os.listdir", "os.scandir", "os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.truncate", "shutil.rmtree",
    "socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto", "subprocess.Popen", "os.system", "os.posix_spawn",
    "os.exec", "os.fork", "os.forkpty", "pty.spawn", "sqlite3.connect", "ctypes.dlopen",
})  # fmt: skip


def _take(watcher: Watcher, event: str, args: tuple[Any, ...]) -> None:
    if event == "open":
        path, mode, flags = args
        if isinstance(path, int) or path is None:
            return
        name = _text(path)
        writing = any(c in mode for c in "wax+") if isinstance(mode, str) else bool((flags or 0) & _WRITES)
        if writing:
            # tempfile "opens" the folder and hands in an opener that makes the file.
            if not os.path.isdir(name):
                watcher.writes(name)
        else:
            watcher.reads(name, 3)
    elif event in ("os.listdir", "os.scandir"):
        if not isinstance(args[0], int):
            watcher.reads(_text(args[0] if args[0] is not None else "."), 3)
    elif event in ("os.remove", "os.mkdir", "os.rmdir", "os.truncate", "shutil.rmtree"):
        if not isinstance(args[0], int):
            watcher.writes(_text(args[0]))
    elif event == "os.rename":
        watcher.writes(_text(args[0]))
        watcher.writes(_text(args[1]))
    elif event.startswith("socket."):
        _network(watcher, event, args)
    elif event == "sqlite3.connect":
        if args[0] not in (":memory:", b":memory:", ""):
            watcher.impure("file", f"opens a database ({os.path.basename(_text(args[0]))})")
    elif event != "ctypes.dlopen":
        _process(watcher, event, args)


def _network(watcher: Watcher, event: str, args: tuple[Any, ...]) -> None:
    if event == "socket.connect" or event == "socket.sendto":
        address = args[1]
        if isinstance(address, tuple):
            watcher.impure("network", f"connects to {address[0]}")
        else:
            watcher.impure("network", "connects to a local socket")
    else:
        watcher.impure("network", f"looks up {_text(args[0]) if args[0] else 'an address'}")


_PROBES: Final = frozenset({"lscpu", "nproc", "sysctl", "uname", "getconf", "ldconfig"})
"""Programs with which libraries ask what machine they are on, to size their thread pools; no result depends on the answer."""


def _by_library(frame: FrameType | None) -> bool:
    while frame is not None and frame.f_code.co_filename in (__file__, subprocess.__file__):
        frame = frame.f_back
    return frame is not None and frame.f_code.co_filename.startswith(_LIBRARIES)


def _process(watcher: Watcher, event: str, args: tuple[Any, ...]) -> None:
    if event == "subprocess.Popen":
        command = args[0] or (args[1][0] if args[1] else "")
        if os.path.basename(_text(command)) in _PROBES and _by_library(sys._getframe(1)):
            return
        watcher.impure("subprocess", f"starts a process ({os.path.basename(_text(command)) if command else 'command'})")
    else:
        watcher.impure("subprocess", f"starts a process ({event})")


def _text(path: Any) -> str:
    try:
        return os.fsdecode(path)
    except TypeError:
        return str(path)
