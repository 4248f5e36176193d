"""Who is on the other end of a Unix socket, as the operating system says."""

from __future__ import annotations

import asyncio
import os
import pwd
import socket
import struct
import sys
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, cast

from uvicorn.protocols.http.h11_impl import H11Protocol

from mlstudio_lab.engine.outcomes import started_at

_MOST_JOINED: Final = 65_536
"""Longer bodies are not copied to go out with their head."""


@dataclass(frozen=True, slots=True)
class Peer:
    """The process and user that connected."""

    pid: int
    uid: int
    started: int = 0


def peer_of(sock: socket.socket) -> Peer | None:
    """The peer of a connected Unix socket; None for any other socket."""
    if sock.family != socket.AF_UNIX:
        return None
    if sys.platform == "darwin":
        # struct xucred {u_int version; uid_t uid; short ngroups; gid_t groups[16]}, then LOCAL_PEERPID (2).
        credentials = sock.getsockopt(0, 1, 76)
        (uid,) = struct.unpack_from("I", credentials, 4)
        (pid,) = struct.unpack("i", sock.getsockopt(0, 2, 4))
        return Peer(pid, uid)
    pid, uid, _ = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return Peer(pid, uid, started_at(pid))


@lru_cache(maxsize=64)
def user_name(uid: int) -> str:
    """A user's name, or `uid-N` where the system knows none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid-{uid}"


class Joined:
    """A transport that sends a response's head together with the first of its body.

    Sent apart, the head wakes the caller, who finds nothing to do yet and takes the processor from us meanwhile.

    Args:
        transport: Asyncio's.
        loop: The loop it belongs to; a head that stays alone goes out at its next turn.
    """

    def __init__(self, transport: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._held = b""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Sends bytes, a head a moment later."""
        if self._held:
            if len(data) <= _MOST_JOINED:
                data, self._held = self._held + data, b""
            self._flush()
        elif data.startswith(b"HTTP/1.1 ") and data.endswith(b"\r\n\r\n"):
            self._held = data
            self._loop.call_soon(self._flush)
            return
        if data:
            self._transport.write(data)

    def close(self) -> None:
        """Sends what is held, then closes."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._held:
            held, self._held = self._held, b""
            self._transport.write(held)


class PeerProtocol(H11Protocol):
    """HTTP over a Unix socket that knows its caller and hangs up on every other user.

    The peer is put into the request's state as `peer`; over TCP it is None and a token decides.
    """

    def connection_made(self, transport: Any) -> None:
        """Asyncio's callback."""
        sock = cast(socket.socket, transport.get_extra_info("socket"))
        try:
            peer = peer_of(sock)
        except OSError:
            transport.abort()
            return
        if peer is not None and peer.uid not in (os.getuid(), 0):
            transport.abort()
            return
        self.app_state = {**self.app_state, "peer": peer}
        super().connection_made(cast(asyncio.Transport, Joined(transport, self.loop)))

    def data_received(self, data: bytes) -> None:
        """Asyncio's callback; nothing is read from a refused peer."""
        if self.transport is not None:
            super().data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Asyncio's callback."""
        if self.transport is not None:
            super().connection_lost(exc)
