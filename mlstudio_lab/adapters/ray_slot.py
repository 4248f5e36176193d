"""The bridge's hold on one actor, and what decides whether an actor that was found may be kept."""

from __future__ import annotations

import os
import socket
import sys
import threading
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Final

from mlstudio_lab.core.digest import digest
from mlstudio_lab.wire.frames import Channel

_ROOMS: Final = ("adapters", "blobs", "calling", "core", "data", "wire", "worker")
"""What an actor has loaded of ours; when a file of theirs changes (an upgrade, an editable checkout) it is made anew."""


class Slot:
    """One actor and what it does now.

    Args:
        name: The actor's name in Ray.
        actor: Its handle.
        path: Its control socket.
    """

    def __init__(self, name: str, actor: Any, path: Path) -> None:
        self.name = name
        self.actor = actor
        self.path = path
        self.pid = 0
        self.attempt = ""
        self.retired = False
        self.work: SimpleQueue[tuple[str, Any]] = SimpleQueue()
        self._asking = threading.Lock()
        self._asked: Channel | None = None
        self._polled: Channel | None = None

    def ask(self, message: dict[str, Any]) -> dict[str, Any]:
        """Its answer to a question that needs no waiting; any thread may ask.

        Raises:
            OSError: The actor is gone.
        """
        with self._asking:
            self._asked = self._asked or self._connect()
            return _answer(self._asked, message)

    def poll(self, attempt: str, cursor: int, wait_s: float) -> dict[str, Any]:
        """Events of an attempt from `cursor` on and its outcome when there is one; only its own thread polls.

        Raises:
            OSError: The actor is gone.
        """
        self._polled = self._polled or self._connect()
        return _answer(self._polled, {"do": "poll", "attempt": attempt, "cursor": cursor, "wait_s": wait_s})

    def _connect(self) -> Channel:
        end = socket.socket(socket.AF_UNIX)
        end.connect(str(self.path))
        return Channel(end)


def _answer(channel: Channel, message: dict[str, Any]) -> dict[str, Any]:
    channel.send(message)
    answer = channel.receive()
    if answer is None:
        raise ConnectionResetError("the actor is gone")
    return answer


def environment_digest(agent: str) -> str:
    """What must be equal for an actor to be reused: interpreter, agent, installed distributions and our own source."""
    package = Path(__file__).parents[1]
    ours = {str(p.relative_to(package)): p.stat().st_mtime_ns for room in _ROOMS for p in (package / room).rglob("*.py")}
    installed = {
        name for folder in sys.path if os.path.isdir(folder) for name in os.listdir(folder) if name.endswith((".dist-info", ".egg-info"))
    }
    return digest("ray environment", sys.version, sys.prefix, agent, ours, *sorted(installed))
