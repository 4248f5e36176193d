"""Datasets as people hold them: named, versioned frames with labels and lineage."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mlstudio_lab.client import markup
from mlstudio_lab.client.lineage import Lineage, label_texts
from mlstudio_lab.client.session import Session
from mlstudio_lab.core.errors import BadInput, CannotCross, NotFound, near_matches
from mlstudio_lab.core.names import Name, Ref

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

_READERS: Final = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".arrow": "ipc",
    ".feather": "ipc",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
}


class Dataset:
    """One version of a named dataset.

    Args:
        session: The connection it was found through.
        view: The service's DatasetView as JSON.

    Attributes:
        name: Its `namespace/name`.
        version: The content digest that names this version.
        number: The version's short number.
        rows: Row count, None when not known.
    """

    def __init__(self, session: Session, view: Mapping[str, Any]) -> None:
        self._session = session
        self._view = dict(view)
        self.name = str(view["name"])
        self.version = str(view["version"])
        self.number = int(view.get("number") or 0)
        self.rows: int | None = view.get("rows")

    @property
    def ref(self) -> str:
        """The name with this very version, as a module input or on a command line."""
        return f"{self.name}@{self.version}"

    @property
    def schema(self) -> dict[str, str]:
        """Column -> dtype, in order."""
        return dict(self._view.get("columns") or {})

    @property
    def labels(self) -> dict[str, list[str]]:
        """Column -> its label in words, asserted and propagated together; `unclassified` where nobody said.

        Example:
            >>> Dataset(None, {"name": "a/b", "version": "0", "columns": {"x": "Int64"}}).labels
            {'x': ['unclassified']}
        """
        stored = self._view.get("labels") or {}
        return {column: _words(stored.get(column)) for column in self.schema}

    def collect(self) -> pl.DataFrame:
        """The whole dataset as a polars frame.

        Raises:
            NotFound: The stored bytes are gone.
            Corrupt: The stored bytes are not what was written.
        """
        value = self.stored()
        import polars as pl

        if isinstance(value, pl.LazyFrame):
            return value.collect()
        return value if isinstance(value, pl.DataFrame) else pl.DataFrame(value)

    def lazy(self) -> pl.LazyFrame:
        """The dataset as a lazy polars frame."""
        return self.collect().lazy()

    def to_pandas(self) -> pd.DataFrame:
        """The whole dataset as a pandas frame."""
        value = self.stored()
        if type(value).__module__.partition(".")[0] == "pandas":
            frame: pd.DataFrame = value
            return frame
        return self.collect().to_pandas()

    def lineage(self, column: str = "", *, direction: str = "up", depth: int = 1) -> Lineage:
        """What this dataset's columns came from, or feed.

        Args:
            column: One column, "" for all.
            direction: `up` for where it came from, `down` for what it feeds.
            depth: How many runs to follow.

        Raises:
            BadInput: No such column or direction.
        """
        if column and column not in self.schema:
            raise BadInput(f"{self.name} has no column {column!r}", subject=column, hint=near_matches(column, self.schema))
        if direction not in ("up", "down"):
            raise BadInput(f"direction is {direction!r}, expected up or down", subject="direction")
        asked = {"version": self.version, "column": column, "direction": direction, "depth": depth}
        return Lineage(self._session.transport.get(f"/datasets/{self.name}/lineage", **asked))

    def head(self, n: int = 5) -> dict[str, Any]:
        """The first rows as text: `columns`, `dtypes`, `rows`, `total`."""
        return dict(self._session.transport.get(f"/datasets/{self.name}/head", version=self.version, n=n))

    def to_json(self) -> dict[str, Any]:
        """What is known about it, without its values."""
        return {k: v for k, v in self._view.items() if k != "payload"}

    def stored(self) -> Any:
        """The values as the kind of table that was added.

        Raises:
            BadInput: A reference, whose values are elsewhere.
            NotFound: The stored bytes are gone.
            Corrupt: The stored bytes are not what was written.
        """
        from mlstudio_lab.data.code_refs import NoCode
        from mlstudio_lab.data.graph import unpack
        from mlstudio_lab.wire.task import Payload

        payload = self._view.get("payload")
        if payload is None:
            self._view = dict(self._session.transport.get(f"/datasets/{self.name}", version=self.version))
            payload = self._view.get("payload")
        if payload is None:
            raise BadInput(
                f"{self.name} is a reference; its values are not stored here", subject=self.name, hint="hand it to a module, which reads it"
            )
        return unpack(Payload.from_json(payload), self._session.blobs, NoCode()).values["value"]

    def __reduce__(self) -> tuple[Any, ...]:
        raise CannotCross(
            f"the dataset {self.name} is inside another value",
            subject=self.name,
            hint="hand it in as an argument or name of its own, or use .collect()",
        )

    def __repr__(self) -> str:
        rows = f", {self.rows:,} rows" if self.rows is not None else ""
        return f"Dataset({self.name} v{self.number}{rows}, {len(self.schema)} columns)"

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        rows = f"{self.rows:,} rows, " if self.rows is not None else ""
        labels = self.labels
        title = f"<b>{markup.text(self.name)}</b> {markup.chip(f'v{self.number}')} {markup.muted(f'{rows}{len(self.schema)} columns')}"
        said = sorted({word for words in labels.values() for word in words if word != "public"})
        body = markup.table(
            ("column", "type", "label"),
            (
                [markup.code(c), markup.code(t), " ".join(markup.chip(w, "plain" if w == "public" else "warn") for w in labels[c])]
                for c, t in self.schema.items()
            ),
        )
        summary = f"columns{': ' + markup.text(', '.join(said)) + ' among them' if said else ''}"
        return {"text/html": markup.box([title, markup.fold(summary, body)], f"Dataset {self.name}"), "text/plain": repr(self)}


class Datasets:
    """A studio's datasets.

    Args:
        session: The connection to use.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, name: str, data: Any, labels: Mapping[str, str | Sequence[str]] | None = None) -> Dataset:
        """Keeps a frame, a file or a reference as the newest version of a dataset; the same content is the same version.

        Args:
            name: Its `namespace/name`.
            data: A polars, pandas or Arrow table; a path of a CSV, Parquet, Arrow or NDJSON file, which is read now; or
                a URI such as s3://bucket/table, which is kept as a reference.
            labels: Column -> label words, such as `["confidential", "pii.email"]`; "*" stands for every column not named.

        Raises:
            BadName: The name is malformed.
            BadInput: Not a frame, an unreadable file, a column that is not there, or an unknown label.

        Example:
            >>> studio.datasets.add("flights/planes", planes, labels={"tailnum": ["confidential"]})  # doctest: +SKIP
        """
        Name.parse(name)
        body: dict[str, Any] = {"name": name}
        if isinstance(data, str) and "://" in data:
            body["reference"] = {"uri": data}
            body["labels"] = {column: _as_list(words) for column, words in (labels or {}).items()}
        else:
            from mlstudio_lab.data.code_refs import NoCode
            from mlstudio_lab.data.content import digest_values
            from mlstudio_lab.data.graph import pack

            frame = _frame(data, name)
            value = digest_values({"value": frame}, NoCode())["value"]
            if value.schema is None:
                raise BadInput(
                    f"a {type(data).__name__} is not a table", subject=name, hint="hand in a polars, pandas or Arrow table, a file or a URI"
                )
            payload = pack({"value": frame}, self._session.blobs, NoCode())
            payload.values = {"value": value}
            body |= {
                "payload": payload.to_json(),
                "values": {"value": value.to_json()},
                "labels": _labels(name, labels or {}, list(value.schema)),
            }
        return Dataset(self._session, self._session.transport.post("/datasets", body))

    def get(self, ref: str) -> Dataset:
        """The dataset a reference names: `ns/name`, `ns/name@v3` or `ns/name@<digest>`.

        Raises:
            NotFound: There is none; the hint has near matches.
            BadName: The reference is malformed.
        """
        parsed = Ref.parse(ref)
        version = f"v{parsed.number}" if parsed.number else parsed.digest or parsed.tag
        return Dataset(self._session, self._session.transport.get(f"/datasets/{parsed.name}", version=version))

    def list(self) -> list[Dataset]:
        """The newest version of every dataset, by name."""
        return [Dataset(self._session, view) for view in self._session.transport.get("/datasets")["datasets"]]

    def __repr__(self) -> str:
        return "Datasets(add, get, list)"


def _words(entry: object) -> list[str]:
    if not isinstance(entry, Mapping) or not any(entry.values()):
        return ["unclassified"]
    return label_texts(entry) or ["public"]


def _as_list(words: str | Sequence[str]) -> list[str]:
    return [w.strip() for w in words.split(",")] if isinstance(words, str) else [str(w) for w in words]


def _labels(name: str, labels: Mapping[str, str | Sequence[str]], columns: list[str]) -> dict[str, list[str]]:
    for column in labels:
        if column != "*" and column not in columns:
            raise BadInput(f"{name} has no column {column!r} to label", subject=column, hint=near_matches(column, columns))
    rest = {column: _as_list(labels["*"]) for column in columns} if "*" in labels else {}
    return rest | {column: _as_list(words) for column, words in labels.items() if column != "*"}


def _frame(data: Any, name: str) -> Any:
    if not isinstance(data, (str, os.PathLike)):
        return data
    import polars as pl

    path = Path(data)
    kind = _READERS.get(path.suffix.lower())
    if path.is_dir():
        raise BadInput(f"{path} is a folder", subject=str(path), hint="name one file in it")
    if not path.is_file():
        raise NotFound(
            f"there is no file {path.name or path}", subject=str(path), hint=near_matches(path.name, _siblings(path)) or "check the path"
        )
    if kind is None:
        raise BadInput(f"{path.name} is of no kind that can be read", subject=name, hint=f"known are {', '.join(_READERS)}")
    try:
        if kind in ("csv", "tsv"):
            return pl.read_csv(path, separator="\t" if kind == "tsv" else ",", infer_schema_length=None)
        if kind == "parquet":
            return pl.read_parquet(path)
        return pl.read_ipc(path) if kind == "ipc" else pl.read_ndjson(path)
    except pl.exceptions.PolarsError as error:
        # Its message may quote values of the file.
        raise BadInput(
            f"{path.name} cannot be read as {kind} ({type(error).__name__})",
            subject=str(path),
            hint="read it yourself and hand in the frame",
        ) from None


def _siblings(path: Path) -> list[str]:
    try:
        return [p.name for p in path.parent.iterdir()]
    except OSError:
        return []
