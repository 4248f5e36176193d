"""One local worker process: spawned, spoken to over a socket pair, and certainly ended."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, cast

from mlstudio_lab.wire import frames

_REAP_STEP_S: Final = 0.005
_REAP_STEPS: Final = 200
"""A worker whose socket closed gets a second to end by itself, then it is killed."""


class WorkerProcess(asyncio.Protocol):
    """A spawned worker; whole messages arrive on the loop it was attached to.

    Args:
        command: What to run; `--fd N` is added.
        log: File that takes whatever the process itself prints outside of a run.
        on_message: Called with the worker and each message.
        on_end: Called once, with the worker, when its process is gone.
    """

    def __init__(
        self,
        command: list[str],
        log: Path,
        on_message: Callable[[WorkerProcess, dict[str, Any]], None],
        on_end: Callable[[WorkerProcess], None],
    ) -> None:
        ours, theirs = socket.socketpair()
        with theirs, log.open("ab") as out:
            # A session of its own: a Ctrl-C at the service's terminal is not meant for it, and what the code it runs
            # starts can be ended with it.
            self.process = subprocess.Popen(
                [*command, "--fd", str(theirs.fileno())],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        self._sock: socket.socket | None = ours
        self._transport: asyncio.Transport | None = None
        self._unpacker = frames.Unpacker()
        self._on_message = on_message
        self._on_end = on_end
        self._ended = False
        self.is_ready = False
        self.attempt = ""
        self.run = ""

    @property
    def pid(self) -> int:
        """The process id."""
        return self.process.pid

    async def attach(self) -> None:
        """Begins to read on the running loop."""
        loop = asyncio.get_running_loop()
        sock, self._sock = self._sock, None
        await loop.create_connection(lambda: self, sock=sock)

    def send(self, message: dict[str, Any]) -> None:
        """Writes one message; a process that is gone takes it silently, its end is reported anyway."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(frames.pack(message))

    def signal(self, number: int) -> None:
        """Signals the process, or (SIGKILL) everything in its session."""
        if self.process.poll() is None:
            try:
                if number == signal.SIGKILL:
                    os.killpg(self.pid, number)
                else:
                    self.process.send_signal(number)
            except ProcessLookupError:
                pass

    def end(self) -> None:
        """Kills it without a word to anybody."""
        self._ended = True
        self.signal(signal.SIGKILL)
        if self._transport is not None:
            self._transport.abort()
        if self._sock is not None:
            self._sock.close()
        self.process.wait()

    def how_it_ended(self) -> str:
        """For people: "ended with exit code 3" or "was killed by signal 9 (SIGKILL)"."""
        code = self.process.returncode
        if code is None:
            return "stopped answering"
        if code >= 0:
            return f"ended with exit code {code}"
        try:
            name = f" ({signal.Signals(-code).name})"
        except ValueError:
            name = ""
        return f"was killed by signal {-code}{name}"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Asyncio's callback."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Asyncio's callback."""
        for message in self._unpacker.feed(data):
            self._on_message(self, message)

    def connection_lost(self, exc: Exception | None) -> None:
        """Asyncio's callback: the worker's end closed."""
        self._reap(_REAP_STEPS)

    def _reap(self, steps: int) -> None:
        if self._ended:
            return
        if self.process.poll() is None:
            if steps == 0:
                self.signal(signal.SIGKILL)
            asyncio.get_running_loop().call_later(_REAP_STEP_S, self._reap, max(steps - 1, 0))
            return
        self._ended = True
        # What the code itself started must not outlive it.
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass
        self._on_end(self)


def worker_command() -> list[str]:
    """How a local worker is started; the working directory is kept out of its import path."""
    return [sys.executable, "-P", "-m", "mlstudio_lab.worker"]
