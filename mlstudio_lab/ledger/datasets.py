"""Datasets: names whose versions are stored frames, or references to data elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, func, insert, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from mlstudio_lab.core.digest import digest
from mlstudio_lab.core.errors import BadInput
from mlstudio_lab.core.names import Name
from mlstudio_lab.ledger import audit
from mlstudio_lab.ledger.connection import Connection, Row, Statement, from_micros, from_text, listed, to_micros, to_text
from mlstudio_lab.ledger.contents import put_contents
from mlstudio_lab.ledger.labels import LabelRow, put_label_set
from mlstudio_lab.ledger.tables import dataset_versions, datasets, schemas


@dataclass(frozen=True, slots=True)
class DatasetRow:
    """One version of a dataset.

    Attributes:
        name: The dataset's `namespace/name`.
        number: 1, 2, 3, … within the dataset.
        content: Content digest, or the digest of a reference's snapshot.
        payload: Payload json of a stored frame; None for a reference.
        reference: {"uri", "snapshot", …}; None for a stored frame.
        schema: Column -> dtype text; None where that is not known.
        rows: Row count; None where that is not known.
        actor: Who added it.
        at: When.
        run: Id of the run that made it, None for what a person added.
        latest: Whether the bare name means this version.
    """

    name: str
    number: int
    content: str
    payload: dict[str, Any] | None
    reference: dict[str, Any] | None
    schema: dict[str, str] | None
    rows: int | None
    actor: str
    at: datetime
    run: str | None
    latest: bool


_V = dataset_versions.c
_ALL = (
    datasets.c.name, _V.number, _V.content, _V.payload, _V.reference, schemas.c.body, _V.rows, _V.actor, _V.at, _V.run,
    (_V.number == datasets.c.latest).label("is_latest"),
)  # fmt: skip


def _select() -> Any:
    joined = dataset_versions.join(datasets, datasets.c.id == _V.dataset).outerjoin(schemas, schemas.c.id == _V.schema)
    return select(*_ALL).select_from(joined)


_DATASET = Statement(lambda: select(datasets.c.id, datasets.c.latest).where(datasets.c.name == bindparam("name")))
_HIGHEST = Statement(lambda: select(func.max(_V.number)).where(_V.dataset == bindparam("dataset_id")))
_ADD_DATASET = Statement(lambda: insert(datasets).values({n: bindparam(n) for n in ("name", "latest", "created_by", "created_at")}))
_SET_LATEST = Statement(lambda: update(datasets).where(datasets.c.id == bindparam("dataset_id")).values(latest=bindparam("number")))
_ADD_VERSION = Statement(
    lambda: insert(dataset_versions).values(
        {n: bindparam(n) for n in ("dataset", "number", "content", "schema", "rows", "actor", "at", "run", "reference", "payload")}
    )
)
_ADD_SCHEMA = Statement(lambda: upsert(schemas).values(digest=bindparam("digest"), body=bindparam("body")).on_conflict_do_nothing())
_SCHEMA = Statement(lambda: select(schemas.c.id).where(schemas.c.digest == bindparam("digest")))
_LATEST = Statement(lambda: _select().where(datasets.c.name == bindparam("name"), _V.number == datasets.c.latest))
_BY_NUMBER = Statement(lambda: _select().where(datasets.c.name == bindparam("name"), _V.number == bindparam("number")))
_BY_CONTENT = Statement(lambda: _select().where(datasets.c.name == bindparam("name"), _V.content == bindparam("content")))
_BY_PREFIX = Statement(
    lambda: _select().where(datasets.c.name == bindparam("name"), _V.content >= bindparam("low"), _V.content < bindparam("high")).limit(2)
)
_VERSIONS = Statement(
    lambda: (
        _select()
        .where(datasets.c.name == bindparam("name"), _V.number < bindparam("below"))
        .order_by(_V.number.desc())
        .limit(bindparam("most"))
    )
)
_NAMED = Statement(
    lambda: (
        select(_V.content, datasets.c.name, _V.number)
        .select_from(dataset_versions.join(datasets, datasets.c.id == _V.dataset))
        .where(_V.content.in_(listed("wanted")))
        .order_by(datasets.c.name, _V.number)
    )
)
_NAMES = Statement(lambda: select(datasets.c.name).order_by(datasets.c.name))


def put_dataset_version(
    c: Connection,
    name: str,
    *,
    content: str,
    payload: Mapping[str, Any] | None = None,
    reference: Mapping[str, Any] | None = None,
    schema: Mapping[str, str] | None,
    rows: int | None,
    labels: Mapping[str, Any] | None = None,
    actor: str,
    at: datetime,
    made_by: str | None = None,
) -> tuple[DatasetRow, bool]:
    """The version of a dataset with this content, numbered when it is new, and whether it is; the bare name then means it.

    Args:
        c: The connection.
        name: The dataset's `namespace/name`, made with its first version.
        content: Content digest, or the digest of a reference's snapshot.
        payload: Payload json of a stored frame.
        reference: Where the data is, with its snapshot; exactly one of payload and reference is given.
        schema: Column -> dtype text.
        rows: Row count.
        labels: Column -> label json that the person asserts.
        actor: Who.
        at: When.
        made_by: Id of the run that made it.

    Raises:
        BadName: The name is malformed.
        BadInput: Both or neither of payload and reference were given, or the content has no digest.

    Example:
        `row, new = put_dataset_version(c, "flights/flights", content=d, payload=p, schema=s, rows=9, actor="ada", at=now)`
    """
    Name.parse(name)
    if (payload is None) == (reference is None):
        raise BadInput("a dataset version is either a stored frame or a reference", subject=name)
    if not content:
        raise BadInput(f"the value for {name} has no content digest, so it cannot be a dataset", subject=name, hint="add a frame or a file")
    micros = to_micros(at)
    dataset = c.one(_DATASET, name=name)
    if dataset is None:
        dataset_id, latest = c.run(_ADD_DATASET, name=name, latest=1, created_by=actor, created_at=micros).lastrowid or 0, 0
    else:
        dataset_id, latest = dataset
    found = c.one(_BY_CONTENT, name=name, content=content) if dataset is not None else None
    new = found is None
    if found is not None:
        number = int(found[1])
    else:
        highest = c.one(_HIGHEST, dataset_id=dataset_id)
        number = (highest[0] or 0) + 1 if highest else 1
        c.run(
            _ADD_VERSION,
            dataset=dataset_id,
            number=number,
            content=content,
            schema=None if schema is None else _put_schema(c, schema),
            rows=rows,
            actor=actor,
            at=micros,
            run=made_by,
            reference=to_text(None if reference is None else dict(reference)),
            payload=to_text(None if payload is None else dict(payload)),
        )
        put_contents(c, [content])
    if number != latest:
        c.run(_SET_LATEST, dataset_id=dataset_id, number=number)
        audit.append(c, actor, "dataset.add", f"{name}@v{number}", {"content": content, "run": made_by}, at)
    if labels:
        put_label_set(c, content, {column: LabelRow(label, None) for column, label in labels.items()}, actor=actor, at=at)
    row = get_dataset(c, name)
    assert row is not None
    return row, new


def get_dataset(c: Connection, name: str, version: str | int | None = None) -> DatasetRow | None:
    """One version of a dataset; None when there is none.

    Args:
        c: The connection.
        name: The dataset's `namespace/name`.
        version: A number (3, "3", "v3"), a content digest or 12 and more digits of one; None for the latest.

    Raises:
        BadInput: Several versions begin with those digits.
    """
    if version is None or version in ("", "latest"):
        row = c.one(_LATEST, name=name)
    elif isinstance(version, int) or (len(version) < 12 and version.removeprefix("v").isdecimal()):
        row = c.one(_BY_NUMBER, name=name, number=version if isinstance(version, int) else int(version.removeprefix("v")))
    elif len(version) == 64:
        row = c.one(_BY_CONTENT, name=name, content=version)
    elif len(version) < 12:
        return None
    else:
        rows = c.all(_BY_PREFIX, name=name, low=version, high=version + "g")
        if len(rows) > 1:
            raise BadInput(f"several versions of {name} begin with {version}", subject=f"{name}@{version}", hint="write more digits")
        row = rows[0] if rows else None
    return None if row is None else _dataset(row)


def versions(c: Connection, name: str, *, below: int = 1 << 62, limit: int = 200) -> list[DatasetRow]:
    """A dataset's versions, newest first.

    Args:
        c: The connection.
        name: The dataset's `namespace/name`.
        below: Only versions with a lower number, to page on.
        limit: At most so many.
    """
    return [_dataset(row) for row in c.all(_VERSIONS, name=name, below=below, most=limit)]


def _list(namespace: bool, match: bool) -> Statement:
    def make() -> Any:
        query = _select().where(_V.number == datasets.c.latest, datasets.c.name > bindparam("after"))
        if namespace:
            query = query.where(datasets.c.name < bindparam("end"))
        if match:
            query = query.where(func.instr(datasets.c.name, bindparam("part")) > 0)
        return query.order_by(datasets.c.name).limit(bindparam("most"))

    return Statement(make)


_LISTS = {(n, m): _list(n, m) for n in (False, True) for m in (False, True)}


def list_datasets(c: Connection, namespace: str | None = None, *, match: str = "", after: str = "", limit: int = 200) -> list[DatasetRow]:
    """The latest version of each dataset, in the order of their names.

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
    return [_dataset(row) for row in c.all(_LISTS[namespace is not None, bool(match)], **given)]


def dataset_names(c: Connection) -> list[str]:
    """Every dataset's name, in order; for near matches of a misspelt one."""
    return [row[0] for row in c.all(_NAMES)]


def named_by_content(c: Connection, content_digests: Iterable[str]) -> dict[str, list[tuple[str, int]]]:
    """Content digest -> the dataset versions that are it, as (name, number); digests that are none are left out."""
    named: dict[str, list[tuple[str, int]]] = {}
    for content, name, number in c.all(_NAMED, wanted=json.dumps(sorted(set(content_digests)))):
        named.setdefault(content, []).append((name, number))
    return named


def _put_schema(c: Connection, schema: Mapping[str, str]) -> int:
    body = json.dumps(dict(schema), separators=(",", ":"))
    name = digest("schema", body)
    c.run(_ADD_SCHEMA, digest=name, body=body)
    found = c.one(_SCHEMA, digest=name)
    assert found is not None
    return int(found[0])


def _dataset(row: Row) -> DatasetRow:
    payload, reference, schema = from_text(row[3]), from_text(row[4]), from_text(row[5])
    return DatasetRow(row[0], row[1], row[2], payload, reference, schema, row[6], row[7], from_micros(row[8]), row[9], bool(row[10]))
