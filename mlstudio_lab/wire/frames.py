"""Framed JSON between the service and its child processes: four bytes of big-endian length, then one UTF-8 JSON object.

To a worker or bridge: ``{"do": "run", "task": …}``, ``{"do": "cancel", "attempt": …}``, ``{"do": "ping"}``, ``{"do": "stop"}``.
From it: ``{"ready": {…}}``, ``{"event": {…}, "attempt": …}``, ``{"outcome": {…}}``.
"""

from __future__ import annotations

import json
import socket
import struct
from typing import Any, Final

from mlstudio_lab.core.errors import Corrupt

MAX_BYTES: Final = 1 << 30
"""Longest message; a longer length means the stream is out of step."""

_LENGTH: Final = struct.Struct(">I")


def pack(message: dict[str, Any]) -> bytes:
    """One message as bytes to write.

    Example:
        >>> pack({"do": "ping"})[4:]
        b'{"do":"ping"}'
    """
    body = json.dumps(message, separators=(",", ":")).encode()
    return _LENGTH.pack(len(body)) + body


class Unpacker:
    """Bytes as they arrive in, whole messages out.

    Example:
        >>> u = Unpacker(); u.feed(pack({"a": 1})[:6]); u.feed(pack({"a": 1})[6:])
        []
        [{'a': 1}]
    """

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes | bytearray | memoryview) -> list[dict[str, Any]]:
        """The messages that are complete with these bytes.

        Raises:
            Corrupt: A length that no message has.
        """
        buffer = self._buffer
        buffer += data
        messages: list[dict[str, Any]] = []
        at = 0
        while len(buffer) - at >= 4:
            (length,) = _LENGTH.unpack_from(buffer, at)
            if length > MAX_BYTES:
                raise Corrupt(f"a message of {length} bytes was announced", subject="process pipe", hint="restart the studio")
            if len(buffer) - at - 4 < length:
                break
            messages.append(json.loads(buffer[at + 4 : at + 4 + length]))
            at += 4 + length
        del buffer[:at]
        return messages


class Channel:
    """A blocking end of a socket pair that speaks whole messages; one reader, and writers that hold their own lock.

    Args:
        sock: A connected stream socket; the channel owns it.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._unpacker = Unpacker()
        self._waiting: list[dict[str, Any]] = []

    def send(self, message: dict[str, Any]) -> None:
        """Writes one message whole.

        Raises:
            OSError: The other end is gone.
        """
        self._sock.sendall(pack(message))

    def receive(self) -> dict[str, Any] | None:
        """The next message; None when the other end closed.

        Raises:
            OSError: The socket failed.
        """
        while not self._waiting:
            data = self._sock.recv(1 << 16)
            if not data:
                return None
            self._waiting = self._unpacker.feed(data)
        return self._waiting.pop(0)

    def close(self) -> None:
        """Closes the socket."""
        self._sock.close()
