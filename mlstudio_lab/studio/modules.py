"""What people do with modules: publish, list, show, compare, tag, take as a wheel."""

from __future__ import annotations

import asyncio
import dataclasses
import difflib
import re
from typing import Any, Final

from mlstudio_lab.core.bundle import Bundle, Unit
from mlstudio_lab.core.code_digest import code_digest
from mlstudio_lab.core.errors import BadInput, BadName, NotFound
from mlstudio_lab.core.names import Name, Ref
from mlstudio_lab.engine.model import Caller, Code
from mlstudio_lab.engine.versions import DEV
from mlstudio_lab.engine.views import moment
from mlstudio_lab.ledger import events, modules, tags
from mlstudio_lab.ledger.connection import Connection
from mlstudio_lab.ledger.tags import ANY
from mlstudio_lab.studio.context import Studio
from mlstudio_lab.studio.wheels import build_wheel

_TAG: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")
_DEFAULT: Final = "default"
"""As a version: whatever the bare name means to the caller."""


async def publish(studio: Studio, caller: Caller, body: dict[str, Any]) -> dict[str, Any]:
    """Keeps a version and points a tag at it; the same source is the same version.

    Args:
        studio: The home.
        caller: Who.
        body: A PublishRequest as JSON.

    Raises:
        BadName, BadInput: The name, tag or bundle is malformed.
        Conflict: The module is of another kind, or the tag is not where `expect` says.
    """
    name, tag = Name.parse(str(body.get("name", ""))), str(body.get("tag", "latestAlpha") or "")
    if tag:
        _check_tag(tag)
    bundle = Bundle.from_json(body.get("bundle") or {})
    if body.get("tests"):
        tests = tuple(Unit("test", f"test_{n}", str(source)) for n, source in enumerate(body["tests"], 1))
        bundle = dataclasses.replace(bundle, units=(*(u for u in bundle.units if u.role != "test"), *tests))
    try:
        digest = await asyncio.to_thread(code_digest, bundle)
    except SyntaxError as error:
        raise BadInput(
            f"the source is not Python: {error.msg} at line {error.lineno}", subject=str(name), hint="correct the line"
        ) from error
    at, expect = studio.engine.clock.now(), body.get("expect", "*")

    def work(c: Connection) -> tuple[modules.VersionRow, bool]:
        row, new = modules.put_version(c, name=str(name), bundle=bundle, code_digest=digest, actor=caller.actor, at=at)
        if tag:
            owner = caller.actor if tag == DEV else ""
            tags.move_tag(c, str(name), tag, owner, row.id, ANY if expect == "*" else expect, caller.actor, at)
        events.append(c, "module", str(name), {"state": "published", "number": row.number, "tag": tag}, at)
        return row, new

    row, new = await studio.write(work)
    studio.engine.versions.forget_dev(str(name), caller.actor)
    return studio.read(lambda c: _version(c, row, caller)) | {"new": new}


def list_modules(studio: Studio, caller: Caller, query: str = "", after: str = "", limit: int = 200) -> dict[str, Any]:
    """Modules whose name contains a text, in the order of their names."""
    rows = studio.read(lambda c: modules.list_modules(c, match=query, after=after, limit=limit))
    return {"modules": [_module(row, caller) for row in rows]}


def show(studio: Studio, caller: Caller, name: str) -> dict[str, Any]:
    """One module with its versions, newest first.

    Raises:
        NotFound: There is none; the hint has near matches.
    """
    parsed = Name.parse(name)
    studio.engine.versions.check_known(parsed)

    def read(c: Connection) -> dict[str, Any]:
        row = next(r for r in modules.list_modules(c, parsed.namespace, match=str(parsed)) if r.name == str(parsed))
        versions = modules.list_versions(c, str(parsed))
        newest = modules.get_version(c, str(parsed), number=row.latest)
        interface = newest.bundle.interface.to_json() if newest and newest.bundle else {}
        by_number = _tags_by_number(c, str(parsed), caller)
        shown = [_head(v) | {"tags": by_number.get(v.number, [])} for v in versions]
        return _module(row, caller) | {"versions": shown, "interface": interface}

    return studio.read(read)


def version(studio: Studio, caller: Caller, name: str, ref: str) -> dict[str, Any]:
    """One version with its source.

    Args:
        studio: The home.
        caller: Whose `dev` counts.
        name: The module's name.
        ref: A tag, vN, a digest, or "default".

    Raises:
        NotFound: There is none; the hint has near matches.
    """
    number, _ = find(studio, caller, name, ref)

    def read(c: Connection) -> dict[str, Any]:
        row = modules.get_version(c, name, number=number)
        if row is None:
            raise NotFound(f"{name} has no version v{number}", subject=name)
        return _version(c, row, caller)

    return studio.read(read)


def find(studio: Studio, caller: Caller, name: str, ref: str) -> tuple[int, Code]:
    """Number and code of the version a text names.

    Raises:
        NotFound: There is none; the hint has near matches.
    """
    return studio.engine.versions.resolve(Ref.parse(name if ref in ("", _DEFAULT) else f"{name}@{ref}"), caller.actor)


def diff(studio: Studio, caller: Caller, name: str, a: str, b: str) -> dict[str, Any]:
    """What differs between two versions, unit by unit.

    Raises:
        NotFound: One of them is not there.
    """
    (first, old), (second, new) = find(studio, caller, name, a), find(studio, caller, name, b)
    units = []
    before = {(u.role, u.name): u.source for u in old.bundle.units}
    after = {(u.role, u.name): u.source for u in new.bundle.units}
    for key in [*after, *(k for k in before if k not in after)]:
        if before.get(key) != after.get(key):
            change = "added" if key not in before else "removed" if key not in after else "changed"
            lines = difflib.unified_diff(
                before.get(key, "").splitlines(), after.get(key, "").splitlines(), f"v{first}/{key[1]}", f"v{second}/{key[1]}", lineterm=""
            )
            units.append({"role": key[0], "name": key[1], "change": change, "text": "\n".join(lines)})
    was, now = dict(old.bundle.lock.distributions), dict(new.bundle.lock.distributions)
    lock = {d: [was.get(d, ""), now.get(d, "")] for d in sorted({*was, *now}) if was.get(d) != now.get(d)}
    if old.bundle.lock.python != new.bundle.lock.python:
        lock = {"python": [old.bundle.lock.python, new.bundle.lock.python], **lock}
    return {"name": name, "a": first, "b": second, "same_code": old.digest == new.digest, "units": units, "lock": lock}


async def move_tag(studio: Studio, caller: Caller, name: str, tag: str, body: dict[str, Any]) -> dict[str, Any]:
    """Points a tag at a version by compare-and-set.

    Raises:
        NotFound: No such version.
        Conflict: The tag is not where `expect` says.
    """
    _check_tag(tag)
    number, code = find(studio, caller, name, str(body.get("version", "")))
    at, expect = studio.engine.clock.now(), body.get("expect", "*")
    owner = caller.actor if tag == DEV else ""

    def work(c: Connection) -> None:
        tags.move_tag(c, name, tag, owner, code.id, ANY if expect == "*" else expect, caller.actor, at)
        events.append(c, "tag", f"{name}@{tag}", {"state": "moved", "number": number}, at)

    await studio.write(work)
    studio.engine.versions.forget_dev(name, caller.actor)
    return {"name": name, "tag": tag, "version": code.id, "number": number}


def wheel(studio: Studio, caller: Caller, name: str, ref: str) -> tuple[str, bytes]:
    """File name and bytes of a version's wheel; the same version gives the same bytes everywhere.

    Raises:
        NotFound: No such version.
        BadInput: A cell module, which has no wheel.
    """
    number, code = find(studio, caller, name, ref)
    return build_wheel(Name.parse(name), number, code.bundle)


def _check_tag(tag: str) -> None:
    if not _TAG.fullmatch(tag) or re.fullmatch(r"v[0-9]+", tag) or tag == _DEFAULT:
        shown = tag.encode("unicode_escape").decode()[:80]
        raise BadName(f"{shown!r} cannot be a tag", subject=shown, hint="letters, digits, -, _ and . after a letter, such as latest")


def _module(row: modules.ModuleRow, caller: Caller) -> dict[str, Any]:
    last = dict(row.last_run) if row.last_run else None
    if last is not None:
        last["at"] = moment(last.get("at"))
    return {
        "name": row.name,
        "kind": row.kind,
        "latest_number": row.latest,
        "tags": row.tags,
        "dev": row.dev.get(caller.actor),
        "last_run": last,
        "created_at": moment(row.created_at),
    }


def _head(row: modules.VersionRow) -> dict[str, Any]:
    return {
        "name": row.name,
        "number": row.number,
        "id": row.id,
        "ref": f"{row.name}@v{row.number}",
        "kind": row.kind,
        "entry": row.entry,
        "code_digest": row.code_digest,
        "created_by": row.created_by,
        "created_at": moment(row.created_at),
    }


def _version(c: Connection, row: modules.VersionRow, caller: Caller) -> dict[str, Any]:
    assert row.bundle is not None
    wheel_name = f"{Name.parse(row.name).import_name}-{row.number}-py3-none-any.whl" if row.kind == "function" else ""
    return _head(row) | {
        "wheel": wheel_name,
        "tags": _tags_by_number(c, row.name, caller).get(row.number, []),
        "interface": row.bundle.interface.to_json(),
        "source": row.bundle.main.source,
        "bundle": row.bundle.to_json(),
    }


def _tags_by_number(c: Connection, name: str, caller: Caller) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for row in tags.list_tags(c, name):
        if row.owner in ("", caller.actor):
            found.setdefault(row.number, []).append(row.tag)
    return found
