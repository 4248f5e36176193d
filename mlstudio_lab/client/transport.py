"""HTTP to the service: one kept-alive connection a thread, reconnecting, with errors as the classes they were."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Final
from urllib.parse import quote, urlencode

from mlstudio_lab.client.connection import Connection, plain, prefix_of
from mlstudio_lab.client.discover import Address
from mlstudio_lab.core.errors import ERRORS, Incompatible, StudioError, Unavailable
from mlstudio_lab.wire.routes import API, API_HEADER, ROOT

_TIMEOUT_S: Final = 90.0
"""Longest silence of the service before a request counts as lost; above the longest wait of one request."""

_PAUSES_S: Final = (0.0, 0.05, 0.25, None)
"""Before each next try of a request whose connection was lost: a service that is dying still accepts for a moment."""

_LOST: Final = (ConnectionError, http.client.HTTPException, BrokenPipeError, FileNotFoundError, TimeoutError)


class Transport:
    """Requests to one service.

    A request whose connection was lost is sent again on a fresh one, to wherever the service is then: every request
    of ours may be sent again, because runs carry their sender's id and everything else is named by its content.

    Args:
        locate: Gives the service's present address, starting it where that is allowed.

    Example:
        >>> Transport(lambda: Address("http://localhost:1")).url("/runs", {"limit": 2})
        '/api/v1/runs?limit=2'
    """

    def __init__(self, locate: Callable[[], Address]) -> None:
        self._locate = locate
        self._address: Address | None = None
        self._local = threading.local()
        self._headers: dict[str, str] = {}
        self._json_headers = ""

    @property
    def address(self) -> Address:
        """Where the service answers, looked for when first needed."""
        if self._address is None:
            self._address = self._locate()
            self._headers = {API_HEADER: str(API)}
            if self._address.token:
                self._headers["authorization"] = f"Bearer {self._address.token}"
            self._json_headers = _lines({**self._headers, "content-type": "application/json"})
        return self._address

    def url(self, path: str, query: dict[str, Any] | None = None) -> str:
        """A route's path with its query; None values are left out."""
        text = ROOT + quote(path, safe="/@.")
        wanted = {k: v for k, v in (query or {}).items() if v is not None and v != ""}
        return f"{text}?{urlencode(wanted)}" if wanted else text

    def get(self, path: str, **query: Any) -> Any:
        """The JSON answer to a GET.

        Raises:
            StudioError: The class named by the answer's error code.
        """
        return self._json("GET", self.url(path, query), None)

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """The JSON answer to a POST.

        Raises:
            StudioError: The class named by the answer's error code.
        """
        return self._json("POST", self.url(path), body)

    def put(self, path: str, body: dict[str, Any]) -> Any:
        """The JSON answer to a PUT.

        Raises:
            StudioError: The class named by the answer's error code.
        """
        return self._json("PUT", self.url(path), body)

    def get_bytes(self, path: str, **query: Any) -> tuple[bytes, dict[str, str]]:
        """The body of a GET and its headers, names in lower case.

        Raises:
            StudioError: The class named by the answer's error code.
        """
        return self._exchange("GET", self.url(path, query), None)

    def put_bytes(self, path: str, data: bytes | memoryview, headers: dict[str, str]) -> Any:
        """The JSON answer to a PUT of raw bytes.

        Raises:
            StudioError: The class named by the answer's error code.
        """
        answer, _ = self._exchange("PUT", self.url(path), data, {**headers, "content-type": "application/octet-stream"})
        return json.loads(answer) if answer else {}

    def lines(self, path: str, **query: Any) -> Iterator[dict[str, Any]]:
        """The JSON objects of a streamed answer, one a line, as they come; on a connection of its own.

        Raises:
            Unavailable: The connection was lost in the middle; ask again from the last cursor.
            StudioError: The class named by the answer's error code.
        """
        connection = plain(self.address, _TIMEOUT_S)
        try:
            connection.request("GET", prefix_of(self.address) + self.url(path, query), headers=self._headers)
            response = connection.getresponse()
            if response.status >= 400:
                raise _error(response.status, response.read())
            for line in response:
                if line.strip():
                    yield json.loads(line)
        except TimeoutError:
            return  # nothing was said for long; whoever asked looks at the run and asks on
        except _LOST as error:
            raise Unavailable("the studio stopped answering", subject="stream", hint="it is asked again") from error
        finally:
            connection.close()

    def close(self) -> None:
        """Ends this thread's connection."""
        connection = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()
            self._local.connection = None

    def _json(self, method: str, url: str, body: dict[str, Any] | None) -> Any:
        data = None if body is None else json.dumps(body, separators=(",", ":")).encode()
        return json.loads(self._exchange(method, url, data)[0] or b"{}")

    def _exchange(
        self, method: str, url: str, data: bytes | memoryview | None, headers: dict[str, str] | None = None
    ) -> tuple[bytes, dict[str, str]]:
        for pause in _PAUSES_S:
            connection: Connection | None = getattr(self._local, "connection", None)
            try:
                if connection is None:
                    connection = self._local.connection = Connection(self.address, _TIMEOUT_S)
                lines = self._json_headers if headers is None else _lines({**self._headers, **headers})
                response = connection.request(method, url, lines, data)
            except StudioError:
                # A studio that could not be started says why; its error is a lost connection's only by its base class.
                raise
            except _LOST as error:
                self.close()
                address, self._address = self._address, None
                if pause is None:
                    raise _unanswered(address, url) from error
                time.sleep(pause)
                continue
            except BaseException:
                # Interrupted half-way: what comes next on this connection would be the answer to this request.
                self.close()
                raise
            if response.headers.get("connection") == "close":
                self.close()
            if response.status >= 400:
                raise _error(response.status, response.body)
            return response.body, response.headers
        raise AssertionError("unreachable")


def _lines(headers: dict[str, str]) -> str:
    return "".join(f"{name}: {value}\r\n" for name, value in headers.items())


def _unanswered(address: Address | None, url: str) -> Unavailable:
    if address is None or address.socket is not None:
        return Unavailable("the studio does not answer", subject=url.partition("?")[0], hint="look at: mlstudio status")
    return Unavailable(f"the studio at {address.base} does not answer", subject=address.base, hint="check --url or MLSTUDIO_URL")


def _error(status: int, body: bytes) -> StudioError:
    with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):
        data = json.loads(body)["error"]
        return ERRORS.get(data["code"], StudioError)(str(data["message"]), str(data.get("subject", "")), str(data.get("hint", "")))
    if status == 426:
        return Incompatible("the service speaks another version of the API", subject="service", hint="run: mlstudio down, then mlstudio up")
    return StudioError(f"the service answered {status}", subject="service", hint="look at its log: mlstudio status")
