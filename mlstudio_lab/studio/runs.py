"""What people do with runs: list, look at, clone, run again."""

from __future__ import annotations

from typing import Any, Final, get_args

from mlstudio_lab.core.errors import BadInput, Conflict, NotFound, near_matches
from mlstudio_lab.core.names import Name
from mlstudio_lab.core.run import FINAL, RunState
from mlstudio_lab.engine.model import KERNEL, Caller
from mlstudio_lab.engine.plan import resolve_datasets
from mlstudio_lab.ledger import modules, runs
from mlstudio_lab.ledger.connection import Connection
from mlstudio_lab.studio.context import Studio

MOST: Final = 500
_CARRIED: Final = (
    "values", "payload", "datasets", "parameters", "arguments", "origins", "ambient", "ambient_key", "env", "cwd", "outputs",
    "cpus", "gpus", "memory_bytes", "timeout_s", "seed",
)  # fmt: skip
_STATES: Final = frozenset(get_args(RunState))


def list_runs(
    studio: Studio, *, state: str = "", module: str = "", actor: str = "", before: int | None = None, limit: int = 50
) -> dict[str, Any]:
    """A page of runs, newest first.

    Args:
        studio: The home.
        state: Only in this state; several stand with commas between them.
        module: Only of this module.
        actor: Only of this person.
        before: Only with a lower number.
        limit: At most so many.

    Raises:
        BadInput: No such state, or a limit that is not one.
        NotFound: No such module; the hint has near matches.
    """
    states = [s for s in state.split(",") if s]
    for each in states:
        if each not in _STATES:
            raise BadInput(
                f"{each!r} is no state of a run", subject="state", hint=near_matches(each, _STATES) or f"choose of {', '.join(_STATES)}"
            )
    if not 1 <= limit <= MOST:
        raise BadInput(f"limit is {limit}", subject="limit", hint=f"choose 1 to {MOST}")

    def read(c: Connection) -> list[dict[str, Any]]:
        if module:
            _check_module(c, module)
        rows = runs.list_runs(c, state=states or None, module=module or None, actor=actor or None, before=before, limit=limit, wide=False)  # type: ignore[arg-type]
        return [studio.engine.view_of(c, row) | {"effects": {}} for row in rows]

    shown = studio.read(read)
    for view in shown:
        view.update(studio.engine.progress(view["id"]))
    return {"runs": shown, "next_before": shown[-1]["number"] if len(shown) == limit else None}


def _check_module(c: Connection, module: str) -> None:
    name = str(Name.parse(module))
    if not modules.list_versions(c, name, limit=1):
        known = modules.module_names(c)
        raise NotFound(f"no module {name}", subject=name, hint=near_matches(name, known) or "mlstudio module list shows what there is")


async def clone(studio: Studio, caller: Caller, run: str, body: dict[str, Any]) -> dict[str, Any]:
    """The same run with other parameters or inputs; everything else is carried over, also what cannot be edited.

    Args:
        studio: The home.
        caller: Who asks.
        run: ULID or number of the run to copy.
        body: A CloneRequest as JSON.

    Raises:
        NotFound: No such run.
        BadInput: A parameter the module does not have; the hint has near matches.
        Conflict: The run's inputs never left its kernel.
    """
    row = studio.read(lambda c: studio.engine.row(c, run))
    source = row
    request = dict(row.request or {})
    if row.reused_from and "payload" not in request:
        # A hit carries digests only; the run it was taken from has the values themselves.
        source = studio.read(lambda c: runs.get_run(c, row.reused_from or "")) or row
        request = {**(source.request or {}), **{k: v for k, v in request.items() if k in ("parameters", "arguments", "datasets")}}
    changes, inputs = dict(body.get("set") or {}), dict(body.get("input") or {})
    carried: dict[str, Any] = {k: request[k] for k in _CARRIED if k in request}
    had_live = bool(carried.get("values"))
    carried["parameters"] = {k: v for k, v in {**(carried.get("parameters") or {}), **changes}.items() if k not in inputs}
    carried["arguments"] = {k: v for k, v in (carried.get("arguments") or {}).items() if k not in {**changes, **inputs}}
    carried["datasets"] = {k: v for k, v in {**(carried.get("datasets") or {}), **inputs}.items() if k not in changes}
    values = {k: v for k, v in (carried.get("values") or {}).items() if k.rpartition(":")[2] not in {**changes, **inputs}}
    carried["values"] = values
    if had_live and carried.get("payload") is None and values:
        raise Conflict(
            f"the inputs of run {row.number} never left its kernel",
            subject=str(row.number),
            hint="run the cell again, or give every input: " + ", ".join(f"--input {name}=DATASET" for name in list(values)[:3]),
        )
    where = body.get("where") or request.get("where") or "auto"
    found = studio.engine.versions.by_id(Name.parse(row.module), row.version_id)
    if found is not None:
        resolve_datasets(studio.engine.ledger, found[1].bundle, carried["datasets"])
    submitted = {
        **carried,
        "run": body.get("run", ""),
        "module": row.module,
        "version": row.version_id,
        "where": "auto" if where == KERNEL else where,
        "reuse": body.get("reuse", True),
        "tag_dev": False,
        "detached": not values,
        "carried": True,
        "wait_s": body.get("wait_s") or 0.0,
    }
    return await studio.engine.submit(submitted, caller, cloned_from=row.id)


async def rerun(studio: Studio, caller: Caller, run: str, body: dict[str, Any]) -> dict[str, Any]:
    """The same run again; a remembered result will do unless `reuse` is false.

    Raises:
        NotFound: No such run.
        Conflict: The run's inputs never left its kernel.
    """
    return await clone(studio, caller, run, {**body, "set": {}, "input": {}})


def result(studio: Studio, run: str) -> dict[str, Any]:
    """A finished run's outputs as a Payload.

    Raises:
        NotFound: No such run, or it gave nothing.
        Conflict: It has not ended, or not well.
    """
    row = studio.read(lambda c: studio.engine.row(c, run))
    if row.state not in FINAL:
        raise Conflict(f"run {row.number} has not ended", subject=str(row.number), hint="wait for it")
    if row.state != "succeeded":
        raise Conflict(f"run {row.number} {row.state}", subject=str(row.number), hint=f"mlstudio runs show {row.number} says why")
    outputs = row.outputs
    if outputs is None and row.reused_from:
        source = studio.read(lambda c: runs.get_run(c, row.reused_from or ""))
        outputs = source.outputs if source else None
    if outputs is None:
        raise NotFound(f"run {row.number} gave nothing", subject=str(row.number))
    return outputs


def logs(studio: Studio, run: str) -> dict[str, Any]:
    """What a run said, as events and as text."""
    live = studio.engine.said(run)
    row = studio.read(lambda c: studio.engine.row(c, run))
    said = live if live is not None else studio.engine.log_of(row)
    text = "".join(str(e.get("text", "")) for e in said if e.get("t") in ("stdout", "stderr"))
    return {"run": row.id, "number": row.number, "log": said, "text": text}
