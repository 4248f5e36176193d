"""The HTTP surface: routes that translate between the wire and the verbs, and decide nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version as distribution_version
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response, StreamingResponse
from starlette.exceptions import HTTPException

from mlstudio_lab.core.errors import BadInput, StudioError
from mlstudio_lab.engine.model import Caller
from mlstudio_lab.service.answers import Json, body_of, on_http_error, on_invalid, on_studio_error, on_surprise, parsed, refusal, surprise
from mlstudio_lab.service.gate import Hot, Receive
from mlstudio_lab.service.live import Bell, event_stream, run_lines
from mlstudio_lab.studio import cluster, datasets, lineage, modules, runs
from mlstudio_lab.studio.context import Studio
from mlstudio_lab.wire import http as wire
from mlstudio_lab.wire.routes import API, KIND_HEADER, ROOT
from mlstudio_lab.wire.task import Outcome


@dataclass(slots=True)
class About:
    """What the service says of itself."""

    home: Path
    pid: int
    address: str
    log: Path
    started_at: datetime
    stop: Callable[[bool], None]


def caller(request: Request) -> Caller:
    """Who asks, as the gate found out."""
    found: Caller = request.scope["state"]["caller"]
    return found


def _takes(model: type[wire.Model]) -> dict[str, Any]:
    """The request body's schema for OpenAPI; hot routes parse by hand."""
    schema = {"$ref": f"#/components/schemas/{model.__name__}"}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def make_app(studio: Studio, about: About, bell: Bell) -> FastAPI:
    """The application over one home.

    Args:
        studio: The home's verbs.
        about: Who answers.
        bell: Rings when there are new events.

    Example:
        `app = make_app(studio, about, bell)` and a request to `/api/v1/handshake`
    """
    app = FastAPI(
        title="ML Studio Lab",
        version=distribution_version("mlstudio_lab"),
        openapi_url=f"{ROOT}/openapi.json",
        docs_url=None,
        redoc_url=None,
        default_response_class=Json,
    )
    for kind, handler in (
        (StudioError, on_studio_error),
        (HTTPException, on_http_error),
        (RequestValidationError, on_invalid),
        (Exception, on_surprise),
    ):
        app.add_exception_handler(kind, handler)
    for router in (_service(studio, about, bell), _runs(studio), _modules(studio), _datasets(studio), _blobs(studio)):
        app.include_router(router, prefix=ROOT)
    _describe(app)
    return app


def hot_routes(studio: Studio) -> dict[tuple[str, str], Hot]:
    """What is answered without routing: a remembered result takes less time than finding its route."""

    async def submit(asking: Caller, receive: Receive) -> Response:
        try:
            data = b""
            while True:
                message = await receive()
                data += message.get("body", b"")
                if not message.get("more_body"):
                    break
            return Json(await studio.engine.submit(parsed(data), asking))
        except StudioError as error:
            return refusal(error)
        except Exception as error:  # noqa: BLE001 - the edge of the server: what was not foreseen is logged and answered
            return surprise(f"{ROOT}/runs", error)

    return {("POST", f"{ROOT}/runs"): submit}


def _service(studio: Studio, about: About, bell: Bell) -> APIRouter:
    router = APIRouter(tags=["service"])
    engine = studio.engine
    version = distribution_version("mlstudio_lab")

    @router.get("/handshake", response_model=wire.Handshake)
    async def handshake(request: Request) -> Json:
        return Json(
            {
                "api": API,
                "version": version,
                "home": str(about.home),
                "pid": about.pid,
                "user": caller(request).actor,
                "blobs": str(about.home / "blobs"),
                "executors": list(engine.executors),
            }
        )

    @router.get("/status", response_model=wire.StatusView)
    async def status(request: Request) -> Json:
        now = engine.clock.now()
        return Json(
            {
                "version": version,
                "home": str(about.home),
                "pid": about.pid,
                "user": caller(request).actor,
                "address": about.address,
                "started_at": about.started_at.isoformat(),
                "uptime_s": (now - about.started_at).total_seconds(),
                "runs": cluster.open_runs(studio),
                "executors": cluster.executors(studio),
                "log": str(about.log),
            }
        )

    @router.post("/shutdown")
    async def shutdown(request: Request) -> Json:
        about.stop(True)
        return Json({"stopping": about.pid}, status_code=202)

    @router.get("/cluster", response_model=wire.ClusterView)
    async def show_cluster() -> Json:
        return Json(cluster.cluster(studio))

    @router.get("/events", response_class=StreamingResponse)
    async def events(request: Request, cursor: int | None = None) -> StreamingResponse:
        last = request.headers.get("last-event-id", "")
        start = cursor if cursor is not None else int(last) if last.isdecimal() else -1
        return StreamingResponse(
            event_stream(engine.ledger, bell, start), media_type="text/event-stream", headers={"cache-control": "no-store"}
        )

    return router


def _runs(studio: Studio) -> APIRouter:
    router = APIRouter(tags=["runs"])
    engine = studio.engine

    @router.post("/runs", response_model=wire.RunView, openapi_extra=_takes(wire.RunRequest))
    async def submit(request: Request) -> Json:
        return Json(await engine.submit(await body_of(request), caller(request)))

    @router.get("/runs", response_model=wire.RunList)
    async def list_runs(
        state: str = "", module: str = "", actor: str = "", before: int | None = None, limit: Annotated[int, Query(ge=1, le=runs.MOST)] = 50
    ) -> Json:
        return Json(runs.list_runs(studio, state=state, module=module, actor=actor, before=before, limit=limit))

    @router.get("/runs/{run}", response_model=wire.RunView)
    async def show(run: str, wait_s: float = 0.0) -> Json:
        return Json(await engine.view(run, wait_s))

    @router.get("/runs/{run}/stream", response_class=StreamingResponse)
    async def stream(run: str, cursor: int = 0) -> StreamingResponse:
        await engine.view(run)  # an unknown run is refused before the answer begins
        return StreamingResponse(run_lines(engine, run, cursor), media_type="application/x-ndjson", headers={"cache-control": "no-store"})

    @router.get("/runs/{run}/result")
    async def result(run: str) -> Json:
        return Json(runs.result(studio, run))

    @router.get("/runs/{run}/logs", response_model=wire.LogView)
    async def logs(run: str) -> Json:
        return Json(runs.logs(studio, run))

    @router.get("/runs/{run}/lineage", response_model=wire.LineageView)
    async def run_lineage(run: str) -> Json:
        return Json(lineage.of_run(studio, run))

    @router.post("/runs/{run}/cancel", response_model=wire.RunView)
    async def cancel(run: str, request: Request) -> Json:
        return Json(await engine.cancel(run, caller(request), bool((await body_of(request)).get("force"))))

    @router.post("/runs/{run}/clone", response_model=wire.RunView, openapi_extra=_takes(wire.CloneRequest))
    async def clone(run: str, request: Request) -> Json:
        return Json(await runs.clone(studio, caller(request), run, await body_of(request)))

    @router.post("/runs/{run}/rerun", response_model=wire.RunView, openapi_extra=_takes(wire.RerunRequest))
    async def rerun(run: str, request: Request) -> Json:
        return Json(await runs.rerun(studio, caller(request), run, await body_of(request)))

    @router.post("/runs/{run}/outcome", response_model=wire.RunView)
    async def outcome(run: str, request: Request) -> Json:
        body = await body_of(request)
        try:
            parsed = Outcome.from_json(body)
        except TypeError as error:
            raise BadInput("this is not an outcome", subject=run, hint="send what Outcome.to_json gives") from error
        return Json(await engine.take_outcome(run, parsed, caller(request)))

    @router.get("/lineage", response_model=wire.LineageView)
    async def column(run: str, output: str = "", column: str = "") -> Json:
        return Json(lineage.of_run(studio, run, output, column))

    return router


def _modules(studio: Studio) -> APIRouter:
    router = APIRouter(tags=["modules"])

    @router.post("/modules", response_model=wire.VersionView, openapi_extra=_takes(wire.PublishRequest))
    async def publish(request: Request) -> Json:
        return Json(await modules.publish(studio, caller(request), await body_of(request)))

    @router.get("/modules", response_model=wire.ModuleList)
    async def list_modules(request: Request, q: str = "", after: str = "", limit: Annotated[int, Query(ge=1, le=1000)] = 200) -> Json:
        return Json(modules.list_modules(studio, caller(request), q, after, limit))

    @router.get("/modules/{namespace}/{name}", response_model=wire.ModuleView)
    async def show(namespace: str, name: str, request: Request) -> Json:
        return Json(modules.show(studio, caller(request), f"{namespace}/{name}"))

    @router.get("/modules/{namespace}/{name}/versions/{ref}", response_model=wire.VersionView)
    async def version(namespace: str, name: str, ref: str, request: Request) -> Json:
        return Json(modules.version(studio, caller(request), f"{namespace}/{name}", ref))

    @router.get("/modules/{namespace}/{name}/versions/{ref}/wheel", response_class=Response)
    async def wheel(namespace: str, name: str, ref: str, request: Request) -> Response:
        file, data = await asyncio.to_thread(modules.wheel, studio, caller(request), f"{namespace}/{name}", ref)
        return Response(data, media_type="application/zip", headers={"content-disposition": f'attachment; filename="{file}"'})

    @router.get("/modules/{namespace}/{name}/diff", response_model=wire.DiffView)
    async def diff(namespace: str, name: str, request: Request, a: str = "", b: str = "") -> Json:
        return Json(modules.diff(studio, caller(request), f"{namespace}/{name}", a, b))

    @router.put("/modules/{namespace}/{name}/tags/{tag}", response_model=wire.TagView, openapi_extra=_takes(wire.TagRequest))
    async def move_tag(namespace: str, name: str, tag: str, request: Request) -> Json:
        return Json(await modules.move_tag(studio, caller(request), f"{namespace}/{name}", tag, await body_of(request)))

    return router


def _datasets(studio: Studio) -> APIRouter:
    router = APIRouter(tags=["datasets"])

    @router.post("/datasets", response_model=wire.DatasetView, openapi_extra=_takes(wire.DatasetRequest))
    async def add(request: Request) -> Json:
        return Json(await datasets.add(studio, caller(request), await body_of(request)))

    @router.get("/datasets", response_model=wire.DatasetList)
    async def list_datasets(q: str = "", after: str = "", limit: Annotated[int, Query(ge=1, le=1000)] = 200) -> Json:
        return Json(datasets.list_datasets(studio, q, after, limit))

    @router.get("/datasets/{namespace}/{name}", response_model=wire.DatasetView)
    async def show(namespace: str, name: str, version: str = "") -> Json:
        return Json(datasets.show(studio, f"{namespace}/{name}", version))

    @router.get("/datasets/{namespace}/{name}/head", response_model=wire.HeadView)
    async def head(namespace: str, name: str, version: str = "", n: int = 5) -> Json:
        return Json(await datasets.head(studio, f"{namespace}/{name}", version, n))

    @router.get("/datasets/{namespace}/{name}/lineage", response_model=wire.LineageView)
    async def dataset_lineage(
        namespace: str, name: str, version: str = "", column: str = "", direction: str = "up", depth: int = 8
    ) -> Json:
        found = lineage.of_dataset(studio, f"{namespace}/{name}", version=version, column=column, direction=direction, depth=depth)
        return Json(found)

    return router


def _blobs(studio: Studio) -> APIRouter:
    router = APIRouter(tags=["blobs"])
    blobs = studio.engine.blobs

    @router.post("/blobs/missing", response_model=wire.MissingView, openapi_extra=_takes(wire.MissingRequest))
    async def missing(request: Request) -> Json:
        digests = (await body_of(request)).get("digests")
        if not isinstance(digests, list) or not all(isinstance(digest, str) for digest in digests):
            raise BadInput("digests is not a list of texts", subject="digests", hint="send the digests to look for")
        return Json({"missing": await asyncio.to_thread(blobs.missing, digests)})

    @router.put("/blobs/{digest}", response_model=wire.BlobView)
    async def put(digest: str, request: Request, kind: str = "") -> Json:
        named = kind or request.headers.get(KIND_HEADER, "")
        chunks = [chunk async for chunk in request.stream() if chunk]
        ref = await asyncio.to_thread(blobs.put, named, chunks)
        if ref.digest != digest:
            raise BadInput(
                f"these bytes are blob {ref.digest[:12]}, not {digest[:12]}",
                subject="digest",
                hint="send bytes and kind as they were digested",
            )
        return Json({"digest": ref.digest, "kind": ref.kind, "bytes": ref.bytes})

    @router.get("/blobs/{digest}", response_class=Response)
    async def get(digest: str) -> Response:
        blob = await asyncio.to_thread(blobs.open, digest)
        step = 1 << 20
        pieces = (bytes(blob.data[at : at + step]) for at in range(0, blob.bytes, step))
        headers = {KIND_HEADER: blob.kind, "content-length": str(blob.bytes)}
        return StreamingResponse(pieces, media_type="application/octet-stream", headers=headers)

    return router


def _describe(app: FastAPI) -> None:
    """Completes OpenAPI with the models of bodies that are parsed by hand, and the one shape of every refusal."""
    made = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is not None:
            return app.openapi_schema
        schema = made()
        parts = schema.setdefault("components", {}).setdefault("schemas", {})
        by_hand = (
            wire.RunRequest, wire.CloneRequest, wire.RerunRequest, wire.PublishRequest, wire.TagRequest, wire.DatasetRequest,
            wire.ErrorView, wire.EventView, wire.MissingRequest,
        )  # fmt: skip
        for model in by_hand:
            found = model.model_json_schema(ref_template="#/components/schemas/{model}")
            parts.update(found.pop("$defs", {}))
            parts[model.__name__] = found
        refused = {"description": "refused", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorView"}}}}
        for path in schema["paths"].values():
            for operation in path.values():
                operation["responses"]["default"] = refused
                operation["responses"].pop("422", None)
        # FastAPI's own shape of an invalid request, which `on_invalid` never sends.
        for unsent in ("HTTPValidationError", "ValidationError"):
            parts.pop(unsent, None)
        return schema

    app.openapi = openapi  # type: ignore[method-assign]
