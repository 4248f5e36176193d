"""What people do with datasets: add, list, show, look at the first rows."""

from __future__ import annotations

from typing import Any, Final

from mlstudio_lab.core.digest import digest
from mlstudio_lab.core.errors import BadInput, NotFound, near_matches
from mlstudio_lab.core.labels import Label
from mlstudio_lab.core.names import Name
from mlstudio_lab.engine.memory import blobs_of
from mlstudio_lab.engine.model import Caller
from mlstudio_lab.engine.plan import find_dataset
from mlstudio_lab.engine.views import moment
from mlstudio_lab.ledger import datasets, events, runs
from mlstudio_lab.ledger.connection import Connection
from mlstudio_lab.ledger.labels import labels_of
from mlstudio_lab.studio.context import Studio
from mlstudio_lab.studio.preview import first_rows

MOST_ROWS: Final = 200


async def add(studio: Studio, caller: Caller, body: dict[str, Any]) -> dict[str, Any]:
    """Keeps a dataset version, stored or as a reference, with the labels a person asserts.

    Args:
        studio: The home.
        caller: Who.
        body: A DatasetRequest as JSON; its payload has one value named `value`.

    Raises:
        BadName: The name is malformed.
        BadInput: Not a frame, an unknown label or column, or neither payload nor reference.
        NotFound: A blob of the payload is not stored here.
    """
    name = str(Name.parse(str(body.get("name", ""))))
    payload, reference = body.get("payload"), body.get("reference")
    if (payload is None) == (reference is None):
        raise BadInput("a dataset is either a stored frame or a reference", subject=name, hint="hand in a frame, a file or a URI")
    if payload is not None:
        value = (payload.get("values") or {}).get("value") or (body.get("values") or {}).get("value") or {}
        payload = {**payload, "values": {"value": value}}
        content, columns, rows = value.get("content") or value.get("digest") or "", value.get("schema"), value.get("rows")
        if not content or columns is None:
            raise BadInput("the value is not a table with a content digest", subject=name, hint="hand in a polars, pandas or Arrow table")
        if missing := studio.engine.blobs.missing(blobs_of(payload)):
            raise NotFound(f"blob {missing[0][:12]} of the dataset is not stored here", subject=missing[0], hint="upload it first")
    else:
        if not isinstance(reference, dict) or "://" not in str(reference.get("uri", "")):
            raise BadInput("a reference needs a URI", subject=name, hint="write scheme://place, such as s3://bucket/table")
        content, columns, rows = (
            digest("reference", str(reference["uri"]), str(reference.get("snapshot", ""))),
            reference.get("schema"),
            None,
        )
    asserted = _asserted(name, body.get("labels") or {}, columns)
    at = studio.engine.clock.now()

    def work(c: Connection) -> dict[str, Any]:
        row, _ = datasets.put_dataset_version(
            c, name, content=content, payload=payload, reference=reference, schema=columns, rows=rows, labels=asserted,
            actor=caller.actor, at=at, made_by=_maker(c, content),
        )  # fmt: skip
        events.append(c, "dataset", name, {"state": "added", "number": row.number}, at)
        return _view(c, row)

    view = await studio.write(work)
    if asserted:
        studio.engine.labels_changed()
    return view


def list_datasets(studio: Studio, query: str = "", after: str = "", limit: int = 200) -> dict[str, Any]:
    """The newest version of each dataset, in the order of their names."""

    def read(c: Connection) -> list[dict[str, Any]]:
        return [_view(c, row) | {"payload": None} for row in datasets.list_datasets(c, match=query, after=after, limit=limit)]

    return {"datasets": studio.read(read)}


def show(studio: Studio, name: str, version: str = "") -> dict[str, Any]:
    """One version of a dataset, and a list of all.

    Raises:
        NotFound: There is none; the hint has near matches.
    """

    def read(c: Connection) -> dict[str, Any]:
        row = find_dataset(c, f"{name}@{version}" if version else name)
        listed = [
            {"number": v.number, "version": v.content, "created_at": moment(v.at), "rows": v.rows} for v in datasets.versions(c, row.name)
        ]
        return _view(c, row) | {"versions": listed}

    return studio.read(read)


async def head(studio: Studio, name: str, version: str = "", n: int = 5) -> dict[str, Any]:
    """The first rows as text, read by a worker.

    Raises:
        NotFound: No such dataset.
        BadInput: A reference, or a number of rows that is not one.
    """
    if not 1 <= n <= MOST_ROWS:
        raise BadInput(f"n is {n}", subject="n", hint=f"choose 1 to {MOST_ROWS}")
    row = studio.read(lambda c: find_dataset(c, f"{name}@{version}" if version else name))
    if row.payload is None:
        raise BadInput(f"{row.name} is a reference; its rows are not stored here", subject=row.name, hint="run a module that reads it")
    shown = await first_rows(studio, row.payload, n)
    return {"name": row.name, "columns": shown["columns"], "dtypes": shown["dtypes"], "rows": shown["rows"], "total": row.rows}


def _asserted(name: str, labels: dict[str, Any], columns: dict[str, str] | None) -> dict[str, Any]:
    found = {}
    for column, words in labels.items():
        if columns is not None and column not in columns:
            raise BadInput(f"{name} has no column {column!r} to label", subject=column, hint=near_matches(column, columns))
        found[column] = Label.parse([words] if isinstance(words, str) else list(words)).to_json()
    return found


def _maker(c: Connection, content: str) -> str | None:
    """The run whose output this content is, when one of the newest made it."""
    for row in runs.list_runs(c, state="succeeded", limit=50):
        values = (row.outputs or {}).get("values") or {}
        if any(content in (v.get("content"), v.get("digest")) for v in values.values()):
            return row.id
    return None


def _view(c: Connection, row: datasets.DatasetRow) -> dict[str, Any]:
    value = ((row.payload or {}).get("values") or {}).get("value") or {}
    made_by = runs.get_run(c, row.run) if row.run else None
    labels = {column: {"asserted": r.asserted, "propagated": r.propagated} for (_, column), r in labels_of(c, [row.content]).items()}
    return {
        "name": row.name,
        "version": row.content,
        "number": row.number,
        "kind": "reference" if row.payload is None else "stored",
        "type": value.get("type", ""),
        "columns": row.schema or {},
        "rows": row.rows,
        "bytes": sum(leaf.get("bytes", 0) for leaf in (row.payload or {}).get("leaves") or ()),
        "labels": labels,
        "payload": row.payload,
        "reference": row.reference,
        "created_by": row.actor,
        "created_at": moment(row.at),
        "made_by": made_by.number if made_by else None,
    }
