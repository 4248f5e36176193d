"""The Jupyter server extension: a thin, authenticated forwarder from the browser to the studio service.

It decides nothing and runs no code of anybody: a request that carries a signed-in user, passes the server's authorizer and
its XSRF check, and names one of the allowed routes is passed on as it is; the service's event stream is passed to the
browser as Jupyter events that hold ids and states only. Looking never starts the studio: only a person's wish does.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections.abc import Callable
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
        "cursor": {"type": "integer", "title": "Position in the event stream; 0 for the studio's own coming and going"},
        "kind": {"type": "string", "title": "What kind of thing changed: run, module, tag, dataset, or studio"},
        "subject": {"type": "string", "title": "Its id; empty where many of a kind changed at once"},
        "state": {"type": "string", "title": "Its state now; up or down for the studio"},
    },
}

_RUN: Final = "runs/[0-9A-Za-z]{1,26}"
_ALLOWED: Final = {
    "GET": re.compile(rf"cluster|modules|runs|{_RUN}|{_RUN}/(logs|lineage)"),
    "POST": re.compile(rf"start|{_RUN}/(clone|cancel)"),
}
"""What the browser's panels ask for, and nothing more; ids are matched here, so that none can be a path."""

_LONGEST_ANSWER_S: Final = 30.0
_LARGEST_ANSWER_BYTES: Final = 64_000_000
_LARGEST_QUESTION_BYTES: Final = 1_000_000
_LOOK_AGAIN_S: Final = 0.25
_TOGETHER_S: Final = 0.1
_MOST_TOGETHER: Final = 25


class _UnixResolver(Resolver):
    """Resolves every host to one Unix socket, so that tornado's own HTTP client can speak to the service."""

    def initialize(self, path: str = "") -> None:
        self._path = path

    async def resolve(self, host: str, port: int, family: socket.AddressFamily = socket.AF_UNSPEC) -> list[tuple[int, Any]]:
        return [(socket.AF_UNIX, self._path)]

    def close(self) -> None:
        """Nothing is held open."""


class _Service:
    """The service as this server sees it: looked for when first needed, and again after it went away."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._address: Address | None = None
        self._client: SimpleAsyncHTTPClient | None = None

    async def start(self) -> None:
        """Starts the service of this home, or finds it running."""
        self._use(await asyncio.to_thread(ensure, self._settings))

    async def fetch(self, method: str, path: str, body: bytes | None) -> HTTPResponse:
        """The service's answer to one request; a service that came back elsewhere is found once more."""
        client, address = await self._connected()
        try:
            return await client.fetch(_request(address, method, path, body, {}), raise_error=False)
        except (OSError, HTTPClientError):
            self._address = None
        client, address = await self._connected()
        try:
            return await client.fetch(_request(address, method, path, body, {}), raise_error=False)
        except (OSError, HTTPClientError) as error:
            self._address = None
            raise Unavailable("the studio does not answer", subject=str(self._settings.home), hint="look at: mlstudio status") from error

    async def follow(self, received: Callable[[bytes], None]) -> None:
        """Hands over the event stream from now on, piece by piece, until it ends."""
        client, address = await self._connected()
        options = {"streaming_callback": received, "request_timeout": 0.0}
        try:
            await client.fetch(_request(address, "GET", "events?cursor=-1", None, options))
        finally:
            self._address = None

    def close(self) -> None:
        """Ends the connections."""
        if self._client is not None:
            self._client.close()
        self._client = self._address = None

    async def _connected(self) -> tuple[SimpleAsyncHTTPClient, Address]:
        if self._client is None or self._address is None:
            found = await asyncio.to_thread(find, self._settings)
            if found is None:
                raise Unavailable(
                    "the studio is not running", subject=str(self._settings.home), hint="run a %%module cell, or: mlstudio up"
                )
            return self._use(found), found
        return self._client, self._address

    def _use(self, address: Address) -> SimpleAsyncHTTPClient:
        resolver = _UnixResolver(path=str(address.socket)) if address.socket else None
        self._client = SimpleAsyncHTTPClient(force_instance=True, max_clients=32, max_body_size=_LARGEST_ANSWER_BYTES, resolver=resolver)
        self._address = address
        return self._client


def _request(address: Address, method: str, path: str, body: bytes | None, options: dict[str, Any]) -> HTTPRequest:
    headers = {"x-mlstudio-api": "1", "content-type": "application/json"}
    if address.token:
        headers["authorization"] = f"Bearer {address.token}"
    more = {"request_timeout": _LONGEST_ANSWER_S, **options}
    return HTTPRequest(f"{address.base}/api/v1/{path}", method=method, body=body, headers=headers, allow_nonstandard_methods=True, **more)


class StudioHandler(ExtensionHandlerMixin, APIHandler):
    """Passes one request on to the studio and its answer back."""

    auth_resource = "mlstudio"

    @web.authenticated
    @authorized
    async def get(self, path: str) -> None:
        """Reads."""
        await self._answer("GET", path)

    @web.authenticated
    @authorized
    async def post(self, path: str) -> None:
        """Starts the studio; clones and cancels runs."""
        await self._answer("POST", path)

    async def _answer(self, method: str, path: str) -> None:
        if not _ALLOWED[method].fullmatch(path):
            raise web.HTTPError(404, "no such route")
        if len(self.request.body) > _LARGEST_QUESTION_BYTES:
            raise web.HTTPError(413, "the request is too large")
        service: _Service = self.settings["mlstudio_service"]
        try:
            if path == "start":
                await service.start()
                self.finish({"running": True})
                return
            query = f"?{self.request.query}" if self.request.query else ""
            answer = await service.fetch(method, path + query, self.request.body if method == "POST" else None)
        except StudioError as error:
            self.set_status(STATUS[error.code])
            self.finish({"error": {"code": error.code, "message": error.message, "subject": error.subject, "hint": error.hint}})
            return
        self.set_status(answer.code)
        # Whatever it is, the browser is told that it is JSON and must not guess (`finish` of APIHandler says so).
        self.finish(answer.body or b"")


class EventPasser:
    """Passes the studio's events on in small groups, so that a thousand memo hits a second do not drown a browser.

    Args:
        emit: Takes one event as JSON.
        later: Calls a function after some seconds, as `asyncio`'s `call_later` does.

    Example:
        >>> passer = EventPasser(print, lambda seconds, flush: flush())
        >>> passer.feed(b'data: {"cursor": 7, "kind": "run", "subject": "01", "state": {"state": "queued"}}' + bytes([10]))
        {'cursor': 7, 'kind': 'run', 'subject': '01', 'state': 'queued'}
    """

    def __init__(self, emit: Callable[[dict[str, Any]], None], later: Callable[[float, Callable[[], None]], object]) -> None:
        self._emit = emit
        self._later = later
        self._rest = b""
        self._waiting: dict[tuple[str, str], dict[str, Any]] = {}

    def feed(self, chunk: bytes) -> None:
        """Takes bytes of the event stream; only the newest event about each thing is kept."""
        was_waiting = bool(self._waiting)
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            if line.startswith(b"data:"):
                event = json.loads(line[5:])
                kind, subject = str(event["kind"]), str(event["subject"])
                state = str((event.get("state") or {}).get("state", ""))
                self._waiting.pop((kind, subject), None)
                self._waiting[kind, subject] = {"cursor": int(event["cursor"]), "kind": kind, "subject": subject, "state": state}
        if self._waiting and not was_waiting:
            self._later(_TOGETHER_S, self._flush)

    def _flush(self) -> None:
        waiting, self._waiting = list(self._waiting.values()), {}
        if len(waiting) > _MOST_TOGETHER:
            waiting = list({event["kind"]: {**event, "subject": "", "state": ""} for event in waiting}.values())
        for event in waiting:
            self._emit(event)


class StudioApp(ExtensionApp):
    """ML Studio in a Jupyter server: `/mlstudio/api/...` and live events."""

    name = "mlstudio_lab"
    extension_url = "/mlstudio"
    load_other_extensions = True

    def initialize_settings(self) -> None:
        """Registers the event schema and starts following the studio's events once the loop runs."""
        assert self.serverapp is not None
        self.settings["mlstudio_service"] = _Service(Settings.read())
        assert self.serverapp.event_logger is not None
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
        """Passes the studio's events on for ever; a studio that is down is looked for again four times a second.

        The stream is always taken up from now on and never from an old cursor: a browser that hears "up" fetches everything
        again, and the next studio may stand on another home's ledger, where an old cursor means nothing.
        """
        service = _Service(Settings.read())
        try:
            while True:
                passer = EventPasser(self._emit, asyncio.get_running_loop().call_later)
                is_up = False

                def received(chunk: bytes, passer: EventPasser = passer) -> None:
                    nonlocal is_up
                    if not is_up:
                        is_up = True
                        self._emit({"cursor": 0, "kind": "studio", "subject": "", "state": "up"})
                    passer.feed(chunk)

                try:
                    await service.follow(received)
                except (StudioError, HTTPClientError, OSError, ValueError) as error:
                    self.log.debug("mlstudio events: %s", error)
                if is_up:
                    self._emit({"cursor": 0, "kind": "studio", "subject": "", "state": "down"})
                await asyncio.sleep(_LOOK_AGAIN_S)
        finally:
            service.close()

    def _emit(self, event: dict[str, Any]) -> None:
        assert self.serverapp is not None and self.serverapp.event_logger is not None
        self.serverapp.event_logger.emit(schema_id=EVENT_SCHEMA_ID, data=event)
