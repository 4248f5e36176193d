"""How answers and refusals leave the service: JSON, written once, with one error shape."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import structlog
from starlette.requests import Request
from starlette.responses import Response

from mlstudio_lab.core.errors import STATUS, BadInput, StudioError
from mlstudio_lab.wire.routes import MAX_BODY_BYTES

log = structlog.get_logger("service")


class Json(Response):
    """A JSON answer from plain values; no second validation of what we made ourselves."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """The body."""
        return json.dumps(content, separators=(",", ":"), default=str).encode()


def refusal(error: StudioError) -> Json:
    """One of our errors as an answer."""
    body = {"error": {"code": error.code, "message": error.message, "subject": error.subject, "hint": error.hint}}
    return Json(body, status_code=STATUS.get(error.code, 500))


async def on_studio_error(request: Request, error: Exception) -> Json:
    """FastAPI's handler for our errors."""
    assert isinstance(error, StudioError)
    if STATUS.get(error.code, 500) >= 500:
        log.warning("refused", path=request.url.path, code=error.code, message=error.message)
    return refusal(error)


async def on_http_error(request: Request, error: Exception) -> Json:
    """FastAPI's handler for its own 404, 405 and the like."""
    status = int(getattr(error, "status_code", 500))
    code = {404: "not_found", 405: "bad_input", 413: "bad_input"}.get(status, "studio_error")
    what = "no such route" if status == 404 else "this route does not take that method" if status == 405 else "the request was refused"
    path = request.url.path.encode("unicode_escape").decode()[:200]
    body = {"error": {"code": code, "message": f"{what}: {request.method} {path}", "subject": path, "hint": "see /api/v1/openapi.json"}}
    return Json(body, status_code=status)


async def on_invalid(request: Request, error: Exception) -> Json:
    """FastAPI's handler for parameters that do not parse; the values themselves are not repeated."""
    found: list[Mapping[str, Any]] = error.errors() if hasattr(error, "errors") else []
    first = found[0] if found else {}
    subject = ".".join(str(part) for part in first.get("loc", ()) if part not in ("body", "query", "path"))
    return refusal(
        BadInput(f"{subject or 'the request'}: {first.get('msg', 'not valid')}", subject=subject, hint="see /api/v1/openapi.json")
    )


async def on_surprise(request: Request, error: Exception) -> Json:
    """The last resort: whatever was not foreseen is logged whole and answered without details."""
    return surprise(request.url.path, error)


def surprise(path: str, error: Exception) -> Json:
    """What was not foreseen, logged whole and answered without details."""
    log.error("unforeseen", path=path, exc_info=error)
    told = f"the studio failed on this request ({type(error).__name__})"
    return refusal(StudioError(told, subject=path, hint="its log has the details: mlstudio status says where"))


async def body_of(request: Request) -> dict[str, Any]:
    """The JSON object a request carries; empty when it carries nothing.

    Raises:
        BadInput: Too long, not JSON, or not an object.
    """
    return parsed(await request.body())


def parsed(data: bytes) -> dict[str, Any]:
    """The JSON object in a request's bytes; empty when there are none.

    Raises:
        BadInput: Too long, not JSON, or not an object.
    """
    if len(data) > MAX_BODY_BYTES:
        raise BadInput(f"the request is {len(data)} bytes", subject="body", hint=f"send at most {MAX_BODY_BYTES}; values go as blobs")
    if not data:
        return {}
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise BadInput("the request is not JSON", subject="body", hint="send one JSON object") from error
    if not isinstance(found, dict):
        raise BadInput("the request is not a JSON object", subject="body", hint="send one JSON object")
    return found
