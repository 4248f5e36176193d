"""Movable names for versions, moved by compare-and-set."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import bindparam, delete, select
from sqlalchemy.dialects.sqlite import insert as upsert

from mlstudio_lab.core.errors import Conflict, NotFound
from mlstudio_lab.ledger import audit
from mlstudio_lab.ledger.connection import Connection, Row, Statement, from_micros, to_micros
from mlstudio_lab.ledger.tables import modules, tags, versions


@dataclass(frozen=True, slots=True)
class TagRow:
    """Where a tag points.

    Attributes:
        module: The module's `namespace/name`.
        tag: "latest", "latestAlpha", "dev", …
        owner: "" for a shared tag, else the person whose `dev` it is.
        number: The version's number.
        version_id: The version's id.
        moved_by: Who moved it last.
        moved_at: When.
    """

    module: str
    tag: str
    owner: str
    number: int
    version_id: str
    moved_by: str
    moved_at: datetime


class _Any:
    """The type of ANY."""

    def __repr__(self) -> str:
        return "ANY"


ANY: Final = _Any()
"""For `expect`: move the tag wherever it points."""
Expect = str | None | _Any

_COLUMNS = (modules.c.name, tags.c.tag, tags.c.owner, tags.c.number, tags.c.version_id, tags.c.moved_by, tags.c.moved_at)
_VERSION = Statement(
    lambda: (
        select(versions.c.module, versions.c.number)
        .select_from(versions.join(modules, modules.c.id == versions.c.module))
        .where(modules.c.name == bindparam("name"), versions.c.id == bindparam("id"))
    )
)
_GET = Statement(
    lambda: (
        select(*_COLUMNS)
        .select_from(tags.join(modules, modules.c.id == tags.c.module))
        .where(modules.c.name == bindparam("name"), tags.c.tag == bindparam("tag"), tags.c.owner == bindparam("owner"))
    )
)
_OF_MODULE = Statement(
    lambda: (
        select(*_COLUMNS)
        .select_from(tags.join(modules, modules.c.id == tags.c.module))
        .where(modules.c.name == bindparam("name"))
        .order_by(tags.c.tag, tags.c.owner)
    )
)


_GIVEN = ("module", "tag", "owner", "number", "version_id", "moved_by", "moved_at")


def _put() -> Any:
    statement = upsert(tags).values({name: bindparam(name) for name in _GIVEN})
    changed = ("number", "version_id", "moved_by", "moved_at")
    return statement.on_conflict_do_update(set_={name: statement.excluded[name] for name in changed})


_PUT = Statement(_put)
_REMOVE = Statement(
    lambda: delete(tags).where(
        tags.c.module == select(modules.c.id).where(modules.c.name == bindparam("name")).scalar_subquery(),
        tags.c.tag == bindparam("tag_"),
        tags.c.owner == bindparam("owner_"),
    )
)


def move_tag(c: Connection, name: str, tag: str, owner: str, version_id: str, expect: Expect, actor: str, at: datetime) -> TagRow:
    """Points a tag at a version, if it points where the caller thinks it does.

    Args:
        c: The connection.
        name: The module's `namespace/name`.
        tag: The tag.
        owner: "" for a shared tag, a person for their own `dev`.
        version_id: Where it shall point.
        expect: The version id it points to now, None when it must not exist yet, `ANY` to move it regardless.
        actor: Who moves it.
        at: When.

    Raises:
        Conflict: It points elsewhere; somebody was faster.
        NotFound: The module has no such version.

    Example:
        `move_tag(c, "flights/delay", "latest", "", new.id, old.id, "ada", clock.now())`
    """
    shown = f"{name}@{tag}"
    version = c.one(_VERSION, name=name, id=version_id)
    if version is None:
        raise NotFound(f"{name} has no version {version_id[:12]}", subject=shown, hint=f"mlstudio module show {name} lists them")
    before = get_tag(c, name, tag, owner)
    if not isinstance(expect, _Any) and expect != (before.version_id if before else None):
        now = f"v{before.number}, moved by {before.moved_by}" if before else "nothing"
        raise Conflict(f"{shown} points to {now}", subject=shown, hint="look at the difference, then move it again")
    row = TagRow(name, tag, owner, version[1], version_id, actor, at)
    if before is not None and before.version_id == version_id:
        return before
    c.run(
        _PUT,
        module=version[0],
        tag=tag,
        owner=owner,
        number=version[1],
        version_id=version_id,
        moved_by=actor,
        moved_at=to_micros(at),
    )
    audit.append(c, actor, "tag.move", shown, {"owner": owner, "from": before.version_id if before else None, "to": version_id}, at)
    return row


def remove_tag(c: Connection, name: str, tag: str, owner: str, expect: Expect, actor: str, at: datetime) -> bool:
    """Takes a tag away, if it points where the caller thinks it does; False when there was none.

    Raises:
        Conflict: It points elsewhere.
    """
    before = get_tag(c, name, tag, owner)
    if before is None:
        return False
    if not isinstance(expect, _Any) and expect != before.version_id:
        raise Conflict(f"{name}@{tag} points to v{before.number}", subject=f"{name}@{tag}", hint="look again, then remove it")
    c.run(_REMOVE, name=name, tag_=tag, owner_=owner)
    audit.append(c, actor, "tag.remove", f"{name}@{tag}", {"owner": owner, "from": before.version_id}, at)
    return True


def get_tag(c: Connection, name: str, tag: str, owner: str = "") -> TagRow | None:
    """Where a tag points; None when it does not exist."""
    row = c.one(_GET, name=name, tag=tag, owner=owner)
    return None if row is None else _tag(row)


def list_tags(c: Connection, name: str) -> list[TagRow]:
    """A module's tags, everybody's `dev` included."""
    return [_tag(row) for row in c.all(_OF_MODULE, name=name)]


def _tag(row: Row) -> TagRow:
    return TagRow(row[0], row[1], row[2], row[3], row[4], row[5], from_micros(row[6]))
