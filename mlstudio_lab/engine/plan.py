"""From a request to what it means here: which code, on which inputs, under which memo key."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

from mlstudio_lab.core.bundle import Bundle
from mlstudio_lab.core.errors import BadInput, NotFound, near_matches
from mlstudio_lab.core.interface import Port
from mlstudio_lab.core.memo import GLOBAL, MemoParts
from mlstudio_lab.core.names import Ref
from mlstudio_lab.data.code_refs import NoCode
from mlstudio_lab.data.content import digest_values
from mlstudio_lab.engine.model import Caller, Code, Plan, ports_by_name
from mlstudio_lab.engine.versions import Versions
from mlstudio_lab.ledger import datasets
from mlstudio_lab.ledger.connection import Connection
from mlstudio_lab.ledger.ledger import Ledger
from mlstudio_lab.wire.routes import NEEDS_BUNDLE


class Needs(Exception):
    """Something must be sent along before the request means anything here."""

    def __init__(self, *needs: str) -> None:
        super().__init__(*needs)
        self.needs = list(needs)


def make_plan(request: dict[str, Any], caller: Caller, versions: Versions, ledger: Ledger) -> Plan:
    """What one request means.

    Args:
        request: A RunRequest as JSON; its `datasets` are resolved in place into `_datasets`.
        caller: Who asks.
        versions: To find or digest the code.
        ledger: To find datasets.

    Raises:
        Needs: The version is not known here and no bundle was sent.
        BadName, BadInput, NotFound, Conflict: The request cannot mean anything; the message says why.
    """
    ref = Ref.parse(str(request.get("module", "")))
    number, code = _code(request, ref, caller, versions)
    plan = Plan(run=request["run"], name=ref.name, code=code, number=number, request=request, caller=caller)
    if not number:
        versions.check_kind(ref.name, code.bundle.kind)
    if number and request.get("tag_dev", True):
        newer = versions.dev(str(ref.name), caller.actor)
        plan.dev_newer = newer if newer > number else None
    check_inputs(code.bundle, request)
    request["_datasets"] = resolve_datasets(ledger, code.bundle, request.get("datasets") or {})
    _parts(plan)
    return plan


def _code(request: Mapping[str, Any], ref: Ref, caller: Caller, versions: Versions) -> tuple[int, Code]:
    version = str(request.get("version") or "")
    if body := request.get("bundle"):
        code = versions.received(body, version)
        return versions.number(str(ref.name), code.id), code
    if version:
        found = versions.by_id(ref.name, version)
        if found is None:
            raise Needs(NEEDS_BUNDLE)
        return found
    return versions.resolve(ref, caller.actor)


def is_detached(request: Mapping[str, Any]) -> bool:
    """Whether nobody's live values belong to the request: it came from a command line, a panel or a schedule."""
    return bool(request.get("detached")) or not (
        request.get("values") or request.get("payload") or request.get("cwd") or request.get("kernel")
    )


def check_inputs(bundle: Bundle, request: Mapping[str, Any]) -> None:
    """Refuses parameters the module does not have, and a detached run that lacks one it needs.

    Raises:
        BadInput: With near matches for a misspelt name.
    """
    ports = ports_by_name(bundle)
    given = {**(request.get("parameters") or {}), **(request.get("datasets") or {})}
    takes_any = any(p.variadic == "**" for p in ports.values())
    for name in given:
        if name not in ports and not takes_any:
            raise BadInput(
                f"the module has no input `{name}`",
                subject=name,
                hint=near_matches(name, ports) or (f"it takes {', '.join(ports)}" if ports else "it takes nothing"),
            )
    if is_detached(request):
        missing = [p.name for p in ports.values() if p.required and not p.variadic and p.name not in given]
        if missing:
            raise BadInput(
                f"the input `{missing[0]}` is not given",
                subject=missing[0],
                hint=f"give --set {missing[0]}=VALUE or --input {missing[0]}=DATASET",
            )


def resolve_datasets(ledger: Ledger, bundle: Bundle, wanted: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Parameter -> what a worker needs to open the dataset itself, as `wire.task.Task.datasets`.

    Raises:
        NotFound: No such dataset or version; the hint has near matches.
    """
    ports = ports_by_name(bundle)
    return {name: ledger.read(lambda c, text=text, name=name: _dataset(c, text, ports.get(name))) for name, text in wanted.items()}  # type: ignore[misc]


def find_dataset(c: Connection, text: str) -> datasets.DatasetRow:
    """The dataset version a text names: `ns/name`, `ns/name@v3` or `ns/name@<digest>`.

    Raises:
        NotFound: There is none; the hint has near matches.
    """
    ref = Ref.parse(text)
    wanted = ref.number or ref.digest or None
    row = None if ref.tag not in ("", "latest") else datasets.get_dataset(c, str(ref.name), wanted)
    if row is None:
        known = datasets.dataset_names(c)
        if str(ref.name) in known:
            raise NotFound(
                f"the dataset {ref.name} has no version {text.partition('@')[2]}", subject=text, hint=f"mlstudio dataset show {ref.name}"
            )
        raise NotFound(
            f"no dataset {ref.name}", subject=str(ref.name), hint=near_matches(str(ref.name), known) or "mlstudio dataset list shows them"
        )
    return row


def _dataset(c: Connection, text: str, port: Port | None) -> dict[str, Any]:
    row = find_dataset(c, text)
    value = ((row.payload or {}).get("values") or {}).get("value") or {}
    stored = "pandas" if str(value.get("type", "")).startswith("pandas") else "polars"
    annotation = port.type if port else ""
    form = stored
    if "LazyFrame" in annotation:
        form = "lazy"
    elif "pandas" in annotation or annotation.startswith("pd."):
        form = "pandas"
    elif "polars" in annotation or annotation.startswith("pl."):
        form = "polars"
    return {
        "name": row.name,
        "version": row.content,
        "number": row.number,
        "payload": row.payload,
        "reference": row.reference,
        "as": form,
        "stored": stored,
        "value": value,
    }


def _parts(plan: Plan) -> None:
    """Sets parts and key, or says what stands against them."""
    request, code = plan.request, plan.code
    args: dict[str, str] = {}
    for name, value in (request.get("values") or {}).items():
        if value.get("digest"):
            args[name] = value["digest"]
        else:
            said = value.get("summary") or value.get("type") or "value"
            plan.obstacles.append({"what": "undigestible", "detail": f"`{name.removeprefix(GLOBAL)}` has no digest ({said})", "line": 0})
    plain = dict(request.get("parameters") or {})
    if is_detached(request) and code.bundle.kind == "function":
        plain = {**_literal_defaults(code.bundle, {**args, **request["_datasets"]}), **plain}
    ports = ports_by_name(code.bundle)
    for name, known in digest_values(plain, NoCode()).items() if plain else ():
        args[_as_stored(name, ports, args)] = known.digest
    for name, found in request["_datasets"].items():
        content = found["version"]
        args[_as_stored(name, ports, args)] = content if found["as"] == found["stored"] else f"{content}:{found['as']}"
    plan.obstacles += [dict(i) for i in request.get("impurities") or ()]
    plan.parts = MemoParts(
        code=code.digest,
        args=args,
        lock=code.lock,
        ambient=dict(request.get("ambient_key") or {}),
        # Digests are the caller's word, so what they lead to is for the caller alone.
        zone=f"user:{plan.caller.actor}",
        seed=request.get("seed"),
        env=dict(request.get("env") or {}),
        outputs=None if request.get("outputs") is None else tuple(request["outputs"]),
    )
    plan.key = plan.parts.key


def _as_stored(name: str, ports: Mapping[str, Port], args: Mapping[str, str]) -> str:
    """The key under which a notebook sends the same input: free data carries a prefix."""
    if name in args:
        return name
    port = ports.get(name)
    return GLOBAL + name if GLOBAL + name in args or (port is not None and port.implicit) else name


def _literal_defaults(bundle: Bundle, given: Mapping[str, Any]) -> dict[str, Any]:
    """The defaults that are plain literals, which a notebook binds and digests before it asks."""
    found: dict[str, Any] = {}
    for port in bundle.interface.inputs:
        if port.default and port.name not in given and not port.implicit:
            try:
                found[port.name] = ast.literal_eval(port.default)
            except (ValueError, SyntaxError):
                continue
    return found
