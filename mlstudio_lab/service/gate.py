"""What every request passes before its route: API major, allowed host, token, size; a plain ASGI layer, for speed."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.responses import Response

from mlstudio_lab.core.errors import BadInput, Denied, Incompatible, StudioError
from mlstudio_lab.engine.model import Caller
from mlstudio_lab.service.answers import refusal
from mlstudio_lab.service.peers import Peer, user_name
from mlstudio_lab.wire.routes import API, API_HEADER, MAX_BODY_BYTES, ROOT

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Hot = Callable[[Caller, Receive], Awaitable[Response]]
_API_HEADER = API_HEADER.encode()


class Gate:
    """Checks a request and names its caller.

    Args:
        app: What answers.
        token: Bearer token that callers must show; "" where the operating system names them.
        hosts: Allowed Host headers, so that a web page cannot reach us through a name of its own; empty for any.
        user: Who acts where only a token was shown.
        seen: Called on each request.
        hot: (method, path) -> what answers it without routing, which costs more than a remembered result.
    """

    def __init__(
        self,
        app: Any,
        token: str,
        hosts: frozenset[str],
        user: str,
        seen: Callable[[], None],
        hot: Mapping[tuple[str, str], Hot] | None = None,
    ) -> None:
        self._app = app
        self._token = token
        self._hosts = hosts
        self._user = user
        self._seen = seen
        self._hot = hot or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Asgi's entry."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        self._seen()
        try:
            self._check(scope)
        except StudioError as error:
            await refusal(error)(scope, receive, send)  # type: ignore[arg-type]
            return
        hot = self._hot.get((scope["method"], scope["path"]))
        if hot is None:
            await self._app(scope, _limited(scope, receive), send)
            return
        answer = await hot(scope["state"]["caller"], _limited(scope, receive))
        await answer(scope, receive, send)  # type: ignore[arg-type]

    def _check(self, scope: Scope) -> None:
        headers: dict[bytes, bytes] = {}
        for name, value in scope["headers"]:
            headers[name] = value
        spoken = headers.get(_API_HEADER)
        if spoken is not None and spoken != str(API).encode():
            raise Incompatible(
                f"this service speaks API {API}, the client {spoken.decode('latin-1')[:20]}",
                subject="api",
                hint="restart the studio: mlstudio down, then mlstudio up",
            )
        peer: Peer | None = scope.get("state", {}).get("peer")
        if peer is not None:
            scope["state"]["caller"] = Caller(user_name(peer.uid), peer.pid, peer.started)
            return
        if self._hosts and headers.get(b"host", b"").decode("latin-1") not in self._hosts:
            raise Denied("this host name is not ours", subject="host", hint="use the address in service.json")
        if self._token:
            shown = headers.get(b"authorization", b"").removeprefix(b"Bearer ")
            if not hmac.compare_digest(shown, self._token.encode()):
                raise Denied(
                    "no valid token was shown", subject="authorization", hint="set MLSTUDIO_TOKEN, or use the address in service.json"
                )
        scope.setdefault("state", {})["caller"] = Caller(self._user)


def _limited(scope: Scope, receive: Receive) -> Receive:
    """Refuses bodies that are too long before they are held in memory; blobs are counted by whoever stores them."""
    if scope["method"] in ("GET", "HEAD") or scope["path"].startswith(f"{ROOT}/blobs/"):
        return receive
    seen = 0

    async def counted() -> dict[str, Any]:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > MAX_BODY_BYTES:
            raise BadInput("the request is too long", subject="body", hint=f"send at most {MAX_BODY_BYTES} bytes; values go as blobs")
        return message

    return counted
