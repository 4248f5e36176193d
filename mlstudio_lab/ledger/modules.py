"""Modules and their immutable versions."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, func, insert, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from mlstudio_lab.core.bundle import Bundle, Kind
from mlstudio_lab.core.errors import BadInput, Conflict
from mlstudio_lab.core.names import Name
from mlstudio_lab.ledger import audit
from mlstudio_lab.ledger.connection import Connection, Row, Statement, from_micros, listed, maybe_moment, to_micros
from mlstudio_lab.ledger.tables import bundles, locks, modules, runs, tags, versions
from mlstudio_lab.ledger.tags import ANY, TagRow, get_tag, list_tags, move_tag, remove_tag

__all__ = [
    "ANY",
    "ModuleRow",
    "TagRow",
    "VersionRow",
    "get_tag",
    "get_version",
    "list_modules",
    "list_tags",
    "list_versions",
    "module_names",
    "move_tag",
    "put_version",
    "remove_tag",
]


@dataclass(frozen=True, slots=True)
class VersionRow:
    """One version of a module.

    Attributes:
        id: The bundle's digest.
        name: The module's `namespace/name`.
        number: 1, 2, 3, … within the module.
        kind: "function", "cell" or "sql".
        entry: The public function's name, "" for a cell.
        code_digest: Semantic digest of its code.
        bundle: Its source; None where a list leaves it out.
        created_by: Who made it first.
        created_at: When.
    """

    id: str
    name: str
    number: int
    kind: Kind
    entry: str
    code_digest: str
    bundle: Bundle | None
    created_by: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class ModuleRow:
    """One module in a list.

    Attributes:
        name: Its `namespace/name`.
        kind: "function", "cell" or "sql".
        latest: Number of its newest version.
        versions: How many there are.
        tags: Tag -> version number, shared ones.
        dev: Person -> version number.
        created_by: Who made it.
        created_at: When.
        last_run: Its newest run: {"id", "number", "state", "actor", "at"}; None when it never ran.
    """

    name: str
    kind: Kind
    latest: int
    versions: int
    tags: dict[str, int]
    dev: dict[str, int]
    created_by: str
    created_at: datetime
    last_run: dict[str, Any] | None


_MODULE = Statement(lambda: select(modules.c.id, modules.c.kind, modules.c.latest).where(modules.c.name == bindparam("name")))
_ADD_MODULE = Statement(lambda: insert(modules).values({n: bindparam(n) for n in ("name", "kind", "latest", "created_by", "created_at")}))
_SET_LATEST = Statement(lambda: update(modules).where(modules.c.id == bindparam("module")).values(latest=bindparam("number")))
_ADD_LOCK = Statement(lambda: upsert(locks).values(digest=bindparam("digest"), body=bindparam("body")).on_conflict_do_nothing())
_LOCK = Statement(lambda: select(locks.c.id).where(locks.c.digest == bindparam("digest")))
_ADD_BUNDLE = Statement(
    lambda: upsert(bundles).values(id=bindparam("id"), lock=bindparam("lock"), body=bindparam("body")).on_conflict_do_nothing()
)
_HAS_BUNDLE = Statement(lambda: select(bundles.c.seq).where(bundles.c.id == bindparam("id")))
_ADD_VERSION = Statement(lambda: insert(versions))
_HEAD = (
    versions.c.id,
    modules.c.name,
    versions.c.number,
    modules.c.kind,
    versions.c.entry,
    versions.c.code_digest,
    versions.c.created_by,
    versions.c.created_at,
)
_FULL = (*_HEAD, bundles.c.body, locks.c.body.label("lock_body"))


def _full() -> Any:
    joined = versions.join(modules, modules.c.id == versions.c.module).join(bundles, bundles.c.id == versions.c.id)
    return select(*_FULL).select_from(joined.join(locks, locks.c.id == bundles.c.lock))


_BY_ID = Statement(lambda: _full().where(modules.c.name == bindparam("name"), versions.c.id == bindparam("id")))
_BY_NUMBER = Statement(lambda: _full().where(modules.c.name == bindparam("name"), versions.c.number == bindparam("number")))
_BY_PREFIX = Statement(
    lambda: (
        _full()
        .where(modules.c.name == bindparam("name"), versions.c.id >= bindparam("low"), versions.c.id < bindparam("high"))
        .order_by(versions.c.id)
        .limit(2)
    )
)
_LIST = Statement(
    lambda: (
        select(*_HEAD)
        .select_from(versions.join(modules, modules.c.id == versions.c.module))
        .where(modules.c.name == bindparam("name"), versions.c.number < bindparam("below"))
        .order_by(versions.c.number.desc())
        .limit(bindparam("most"))
    )
)


def put_version(
    c: Connection, *, name: str, bundle: Bundle, code_digest: str, actor: str, at: datetime, bundle_id: str = ""
) -> tuple[VersionRow, bool]:
    """The version of a module with this source, numbered when it is new, and whether it is.

    Args:
        c: The connection.
        name: The module's `namespace/name`; the module is made with its first version.
        bundle: The source.
        code_digest: Semantic digest of the code.
        actor: Who.
        at: When.
        bundle_id: `bundle.id` where the caller has it already.

    Raises:
        BadName: The name is malformed.
        Conflict: The module is of another kind.

    Example:
        `version, new = put_version(c, name="flights/delay", bundle=b, code_digest=d, actor="ada", at=clock.now())`
    """
    Name.parse(name)
    version_id = bundle_id or bundle.id
    micros = to_micros(at)
    module = c.one(_MODULE, name=name)
    if module is None:
        module_id, number = c.run(_ADD_MODULE, name=name, kind=bundle.kind, latest=0, created_by=actor, created_at=micros).lastrowid or 0, 1
    else:
        module_id, kind, latest = module
        if kind != bundle.kind:
            raise Conflict(
                f"{name} is a {kind} module and this source is a {bundle.kind}",
                subject=name,
                hint=f"make the source a {kind} again, or give it another name",
            )
        found = get_version(c, name, id=version_id)
        if found is not None:
            return found, False
        number = latest + 1
    if c.one(_HAS_BUNDLE, id=version_id) is None:
        _put_bundle(c, version_id, bundle)
    c.run(
        _ADD_VERSION,
        module=module_id,
        number=number,
        id=version_id,
        entry=bundle.entry,
        code_digest=code_digest,
        created_by=actor,
        created_at=micros,
    )
    c.run(_SET_LATEST, module=module_id, number=number)
    audit.append(c, actor, "version.add", f"{name}@v{number}", {"id": version_id, "code": code_digest}, at)
    return VersionRow(version_id, name, number, bundle.kind, bundle.entry, code_digest, bundle, actor, at), True


def get_version(c: Connection, name: str, *, id: str = "", number: int = 0, prefix: str = "") -> VersionRow | None:
    """One version of a module by exactly one of id, number and the beginning of its id; None when there is none.

    Args:
        c: The connection.
        name: The module's `namespace/name`.
        id: The whole version id.
        number: Its number, from 1.
        prefix: At least 12 hex digits of its id.

    Raises:
        BadInput: Several versions begin with that prefix, or not exactly one of the three was given.
    """
    if (bool(id), bool(number), bool(prefix)).count(True) != 1:
        raise BadInput("a version is asked for by id, number or prefix, one of them", subject=name)
    if id:
        row = c.one(_BY_ID, name=name, id=id)
        return None if row is None else _version(row)
    if number:
        row = c.one(_BY_NUMBER, name=name, number=number)
        return None if row is None else _version(row)
    rows = c.all(_BY_PREFIX, name=name, low=prefix, high=prefix + "g")
    if len(rows) > 1:
        raise BadInput(f"several versions of {name} begin with {prefix}", subject=f"{name}@{prefix}", hint="write more digits")
    return _version(rows[0]) if rows else None


def list_versions(c: Connection, name: str, *, below: int = 1 << 62, limit: int = 200) -> list[VersionRow]:
    """The versions of a module, newest first, without their bundles.

    Args:
        c: The connection.
        name: The module's `namespace/name`.
        below: Only versions with a lower number, to page on.
        limit: At most so many.
    """
    rows = c.all(_LIST, name=name, below=below, most=limit)
    return [VersionRow(r[0], r[1], r[2], r[3], r[4], r[5], None, r[6], from_micros(r[7])) for r in rows]


def _list_modules(namespace: bool, match: bool) -> Statement:
    def make() -> Any:
        newest = select(func.max(runs.c.number)).where(runs.c.module == modules.c.name).scalar_subquery()
        m = modules.c
        query = select(m.id, m.name, m.kind, m.latest, m.created_by, m.created_at, newest.label("newest"))
        query = query.where(m.name > bindparam("after"))
        if namespace:
            query = query.where(modules.c.name < bindparam("end"))
        if match:
            query = query.where(func.instr(modules.c.name, bindparam("part")) > 0)
        return query.order_by(modules.c.name).limit(bindparam("most"))

    return Statement(make)


_LISTS = {(n, m): _list_modules(n, m) for n in (False, True) for m in (False, True)}
_RUNS = Statement(
    lambda: select(runs.c.module, runs.c.id, runs.c.number, runs.c.state, runs.c.actor, runs.c.created_at).where(
        runs.c.number.in_(listed("numbers"))
    )
)
_TAGS = Statement(lambda: select(tags.c.module, tags.c.tag, tags.c.owner, tags.c.number).where(tags.c.module.in_(listed("modules"))))
_NAMES = Statement(lambda: select(modules.c.name).order_by(modules.c.name))


def list_modules(c: Connection, namespace: str | None = None, *, match: str = "", after: str = "", limit: int = 200) -> list[ModuleRow]:
    """Modules in the order of their names, each with its tags and newest run.

    Args:
        c: The connection.
        namespace: Only of this namespace.
        match: Only names that contain this text.
        after: Only names after this one, to page on.
        limit: At most so many.
    """
    given: dict[str, Any] = {"after": after, "most": limit}
    if namespace is not None:
        # "0" is the character after "/": every name in the namespace lies between the two.
        given |= {"after": max(after, f"{namespace}/"), "end": f"{namespace}0"}
    if match:
        given["part"] = match
    rows = c.all(_LISTS[namespace is not None, bool(match)], **given)
    shared: dict[int, dict[str, int]] = {row[0]: {} for row in rows}
    dev: dict[int, dict[str, int]] = {row[0]: {} for row in rows}
    for module, tag, owner, number in c.all(_TAGS, modules=json.dumps([row[0] for row in rows])):
        if owner:
            dev[module][owner] = number
        else:
            shared[module][tag] = number
    last = {
        name: {"id": run, "number": number, "state": state, "actor": actor, "at": maybe_moment(at)}
        for name, run, number, state, actor, at in c.all(_RUNS, numbers=json.dumps([row[6] for row in rows if row[6]]))
    }
    return [ModuleRow(r[1], r[2], r[3], r[3], shared[r[0]], dev[r[0]], r[4], from_micros(r[5]), last.get(r[1])) for r in rows]


def module_names(c: Connection) -> list[str]:
    """Every module's name, in order; for near matches of a misspelt one."""
    return [row[0] for row in c.all(_NAMES)]


def _put_bundle(c: Connection, version_id: str, bundle: Bundle) -> None:
    body = bundle.to_json()
    # A lock names a hundred distributions and is the same for all versions of a day: kept once.
    lock = json.dumps(body.pop("lock"), separators=(",", ":")).encode()
    digest = bundle.lock.digest
    c.run(_ADD_LOCK, digest=digest, body=zlib.compress(lock, 6))
    found = c.one(_LOCK, digest=digest)
    assert found is not None
    c.run(_ADD_BUNDLE, id=version_id, lock=found[0], body=zlib.compress(json.dumps(body, separators=(",", ":")).encode(), 1))


def _version(row: Row) -> VersionRow:
    body = json.loads(zlib.decompress(row[8]))
    body["lock"] = json.loads(zlib.decompress(row[9]))
    return VersionRow(row[0], row[1], row[2], row[3], row[4], row[5], Bundle.from_json(body), row[6], from_micros(row[7]))
