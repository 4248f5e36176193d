"""The Jupyter server extension: a thin, authenticated forwarder from the browser to the studio service.

It decides nothing and runs no code of anybody: a request that carries a signed-in user, passes the server's authorizer and
its XSRF check, and names one of the allowed routes is passed on as it is; the service's event stream is passed to the
browser as Jupyter events that hold ids and states only.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
from typing import Any, Final

from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from jupyter_server.extension.application import ExtensionApp
from jupyter_server.extension.handler import ExtensionHandlerMixin
from tornado import web
from tornado.httpclient import HTTPClientError, HTTPRequest, HTTPResponse
from tornado.netutil import Resolver
from tornado.simple_httpclient import SimpleAsyncHTTPClient

from mlstudio_lab.client.discover import Address, ensure, find
from mlstudio_lab.core.errors import STATUS, StudioError, Unavailable
from mlstudio_lab.settings import Settings

EVENT_SCHEMA_ID: Final = "https://mlstudio-lab.readthedocs.io/events/changed/v1"
"""Identifies our events on the Jupyter server's event bus."""

EVENT_SCHEMA: Final[dict[str, Any]] = {
    "$id": EVENT_SCHEMA_ID,
    "version": "1",
    "title": "Something in the studio changed",
    "personal-data": False,
    "type": "object",
    "required": ["cursor", "kind", "subject", "state"],
    "properties": {
        "cursor": {"type": "integer", "title": "Position in the event stream"},
        "kind": {"type": "string", "title": "What kind of thing changed"},
        "subject": {"type": "string", "title": "Its id"},
        "state": {"type": "string", "title": "Its state now"},
    },
}

_ALLOWED: Final = re.compile(r"(status|handshake|cluster|lineage|(runs|modules|datasets)(/[A-Za-z0-9_@.-]+){0,4})")
_LONGEST_ANSWER_S: Final = 30.0


class _UnixResolver(Resolver):
    """Resolves every host to one Unix socket, so that tornado's own HTTP client can speak to the service."""

    def initialize(self, path: str = "") -> None:
        self._path = path

    async def resolve(self, host: str, port: int, family: socket.AddressFamily = socket.AF_UNSPEC) -> list[tuple[int, Any]]:
        return [(socket.AF_UNIX, self._path)]

    def close(self) -> None:
        """Nothing is held open."""


class _Studio:
    """The service as this server sees it: found when first needed, found again after it restarted."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._address: Address | None = None
        self._client: SimpleAsyncHTTPClient | None = None

    async def _connect(self, *, start: bool) -> Address:
        found = await asyncio.to_thread(ensure if start else find, self._settings)
        if found is None:
            raise Unavailable("the studio is not running", subject=str(self._settings.home), hint="run a %%module cell, or: mlstudio up")
        if self._client is None or found != self._address:
            self.close()
            resolver = _UnixResolver(path=str(found.socket)) if found.socket else None
            self._client = SimpleAsyncHTTPClient(force_instance=True, max_clients=32, max_body_size=256_000_000, resolver=resolver)
            self._address = found
        return found

    async def fetch(self, method: str, path: str, body: bytes | None = None, *, start: bool = True, **options: Any) -> HTTPResponse:
        """The service's answer to one request; a service that restarted meanwhile is found again once."""
        for attempt in (1, 2):
            address = self._address if self._address is not None and attempt == 1 else await self._connect(start=start)
            assert self._client is not None
            headers = {"x-mlstudio-api": "1", "content-type": "application/json"}
            if address.token:
                headers["authorization"] = f"Bearer {address.token}"
            request = HTTPRequest(
                f"{address.base}/api/v1/{path}",
                method=method,
                body=body,
                headers=headers,
                allow_nonstandard_methods=True,
                **{"request_timeout": _LONGEST_ANSWER_S, **options},
            )
            try:
                return await self._client.fetch(request, raise_error=False)
            except (OSError, HTTPClientError) as error:
                self._address = None
                if attempt == 2:
                    raise Unavailable(
                        "the studio does not answer", subject=str(self._settings.home), hint="look at: mlstudio status"
                    ) from error
        raise AssertionError("unreachable")

    def close(self) -> None:
        """Ends the connections."""
        if self._client is not None:
            self._client.close()
        self._client = None


class StudioHandler(ExtensionHandlerMixin, APIHandler):
    """Passes one request on to the studio and its answer back."""

    auth_resource = "mlstudio"

    async def _forward(self, path: str) -> None:
        if not _ALLOWED.fullmatch(path) or ".." in path:
            raise web.HTTPError(404, f"no such route: {path[:80]}")
        query = f"?{self.request.query}" if self.request.query else ""
        body = self.request.body if self.request.method in ("POST", "PUT") else None
        try:
            answer = await self.settings["mlstudio_service"].fetch(self.request.method, path + query, body)
        except StudioError as error:
            self.set_status(STATUS[error.code])
            self.finish(json.dumps({"error": {"code": error.code, "message": error.message, "subject": error.subject, "hint": error.hint}}))
            return
        self.set_status(599 if answer.code < 100 else answer.code)
        self.set_header("content-type", answer.headers.get("content-type", "application/json"))
        self.finish(answer.body or b"")

    @web.authenticated
    @authorized
    async def get(self, path: str) -> None:
        """Reads."""
        await self._forward(path)

    @web.authenticated
    @authorized
    async def post(self, path: str) -> None:
        """Starts, clones, cancels, publishes."""
        await self._forward(path)

    @web.authenticated
    @authorized
    async def put(self, path: str) -> None:
        """Moves a tag."""
        await self._forward(path)


class StudioApp(ExtensionApp):
    """ML Studio in a Jupyter server: `/mlstudio/api/...` and live events."""

    name = "mlstudio_lab"
    extension_url = "/mlstudio"
    load_other_extensions = True

    def initialize_settings(self) -> None:
        """Registers the event schema and starts following the studio's events once the loop runs."""
        assert self.serverapp is not None
        self.settings["mlstudio_service"] = _Studio(Settings.read())
        self.serverapp.event_logger.register_event_schema(EVENT_SCHEMA)
        self._following: asyncio.Task[None] | None = None
        self.serverapp.io_loop.add_callback(self._start_following)

    def initialize_handlers(self) -> None:
        """Adds the one route."""
        self.handlers.extend([(r"/mlstudio/api/(.+)", StudioHandler)])

    async def stop_extension(self) -> None:
        """Stops following and ends the connections."""
        if self._following is not None:
            self._following.cancel()
        self.settings["mlstudio_service"].close()

    def _start_following(self) -> None:
        self._following = asyncio.ensure_future(self._follow())

    async def _follow(self) -> None:
        """Passes the studio's events on for ever; a studio that is down is looked for again, at most every two seconds."""
        cursor = -1
        service = _Studio(Settings.read())
        try:
            while True:
                pending = b""

                def received(chunk: bytes) -> None:
                    nonlocal pending, cursor
                    pending += chunk
                    *lines, pending = pending.split(b"\n")
                    for line in lines:
                        if line.startswith(b"data:"):
                            cursor = self._emit(json.loads(line[5:]), cursor)

                try:
                    path = f"events?cursor={cursor}"
                    await service.fetch("GET", path, start=False, streaming_callback=received, request_timeout=0.0)
                except (StudioError, OSError, ValueError) as error:
                    self.log.debug("mlstudio events: %s", error)
                await asyncio.sleep(2.0)
        finally:
            service.close()

    def _emit(self, event: dict[str, Any], cursor: int) -> int:
        assert self.serverapp is not None
        data = {
            "cursor": int(event["cursor"]),
            "kind": str(event["kind"]),
            "subject": str(event["subject"]),
            "state": str((event.get("state") or {}).get("state", "")),
        }
        self.serverapp.event_logger.emit(schema_id=EVENT_SCHEMA_ID, data=data)
        return max(cursor, data["cursor"])
