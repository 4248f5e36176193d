"""One kept-alive HTTP/1.1 connection, as little of the protocol as our own service needs; the hot path of every call.

`http.client` sends head and body apart and parses headers as e-mail, which together cost more than the rest of a call.
"""

from __future__ import annotations

import http.client
import socket
from typing import Final, NamedTuple

from mlstudio_lab.client.discover import Address

_MOST_HEAD: Final = 65_536
_CHUNK: Final = 262_144


class Response(NamedTuple):
    """An answer read to its end; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


class Connection:
    """A connection to one address, opened when first used.

    Args:
        address: Where.
        timeout_s: Longest silence before the other side counts as gone.
    """

    def __init__(self, address: Address, timeout_s: float) -> None:
        self._socket, self._prefix, self._host = _connect(address, timeout_s)
        self._read = b""

    def request(self, method: str, target: str, headers: str, body: bytes | memoryview | None) -> Response:
        """The answer to one request.

        Args:
            method: GET, POST or PUT.
            target: Path and query.
            headers: Header lines, each with its line end.
            body: What to send, None for nothing.

        Raises:
            OSError: The connection failed or ended.
            http.client.HTTPException: The answer is not HTTP.
        """
        length = "" if body is None else f"content-length: {len(body)}\r\n"
        head = f"{method} {self._prefix}{target} HTTP/1.1\r\nhost: {self._host}\r\n{headers}{length}\r\n".encode("latin-1")
        if body is None or len(body) < _CHUNK:
            self._socket.sendall(head + bytes(body or b""))
        else:
            self._socket.sendall(head)
            self._socket.sendall(body)
        return self._response()

    def close(self) -> None:
        """Ends the connection."""
        self._socket.close()

    def _response(self) -> Response:
        head = self._until(b"\r\n\r\n", _MOST_HEAD).decode("latin-1")
        first, *lines = head.split("\r\n")
        parts = first.split(" ", 2)
        if not first.startswith("HTTP/1.") or len(parts) < 2 or not parts[1].isdigit():
            raise http.client.BadStatusLine(first[:80])
        status = int(parts[1])
        headers: dict[str, str] = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        if status in (204, 304) or 100 <= status < 200:
            return Response(status, headers, b"") if status >= 200 else self._response()
        if "chunked" in headers.get("transfer-encoding", ""):
            body = self._chunks()
        elif "content-length" in headers:
            body = self._exactly(int(headers["content-length"]))
        else:
            body = self._rest()
        return Response(status, headers, body)

    def _until(self, end: bytes, most: int) -> bytes:
        while (at := self._read.find(end)) < 0:
            if len(self._read) > most:
                raise http.client.LineTooLong("header")
            self._more()
        found, self._read = self._read[:at], self._read[at + len(end) :]
        return found

    def _exactly(self, count: int) -> bytes:
        if len(self._read) >= count:
            found, self._read = self._read[:count], self._read[count:]
            return found
        parts, have = [self._read], len(self._read)
        while have < count:
            data = self._socket.recv(min(count - have, _CHUNK))
            if not data:
                raise http.client.IncompleteRead(b"".join(parts), count - have)
            parts.append(data)
            have += len(data)
        self._read = b""
        return b"".join(parts)

    def _chunks(self) -> bytes:
        parts = []
        while count := int(self._until(b"\r\n", _MOST_HEAD).partition(b";")[0], 16):
            parts.append(self._exactly(count))
            self._exactly(2)
        while self._until(b"\r\n", _MOST_HEAD):
            """Trailers say nothing of ours."""
        return b"".join(parts)

    def _rest(self) -> bytes:
        try:
            while True:
                self._more()
        except http.client.RemoteDisconnected:
            found, self._read = self._read, b""
            return found

    def _more(self) -> None:
        data = self._socket.recv(_CHUNK)
        if not data:
            raise http.client.RemoteDisconnected("the other side closed the connection")
        self._read += data


def _connect(address: Address, timeout_s: float) -> tuple[socket.socket, str, str]:
    """(socket, what stands before each path, host name)."""
    if address.socket is not None:
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        made.settimeout(timeout_s)
        try:
            made.connect(str(address.socket))
        except BaseException:
            made.close()
            raise
        return made, "", "mlstudio"
    connection = plain(address, timeout_s)
    connection.connect()
    connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection.sock, prefix_of(address), address.base.partition("://")[2].partition("/")[0]


def prefix_of(address: Address) -> str:
    """What stands before each path of a service behind a proxy.

    Example:
        >>> prefix_of(Address("https://hub.example.org/services/studio"))
        '/services/studio'
    """
    _, slash, prefix = address.base.partition("://")[2].partition("/")
    return slash + prefix


def plain(address: Address, timeout_s: float) -> http.client.HTTPConnection:
    """An `http.client` connection, for answers that are read while they come."""
    if address.socket is not None:
        connection = _UnixConnection("mlstudio", timeout=timeout_s)
        connection.path = str(address.socket)
        return connection
    scheme, _, rest = address.base.partition("://")
    factory = http.client.HTTPSConnection if scheme == "https" else http.client.HTTPConnection
    return factory(rest.partition("/")[0], timeout=timeout_s)


class _UnixConnection(http.client.HTTPConnection):
    path = ""

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)
