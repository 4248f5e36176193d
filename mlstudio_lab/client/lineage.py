"""Column lineage as people hold it: edges one can iterate, and a picture of them that survives export."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, overload

from mlstudio_lab.client import markup
from mlstudio_lab.client.listeners import widget_factory
from mlstudio_lab.core.edges import Edge
from mlstudio_lab.core.errors import BadInput

LINEAGE_MIME: Final = "application/vnd.mlstudio.lineage.v1+json"
"""The vendor type under which JupyterLab draws lineage."""

MOST_EDGES: Final = 2_000
"""Edges written into a notebook's output; the rest stays in the studio."""

_MOST_ROWS: Final = 80
_KINDS: Final = ("direct", "indirect", "opaque")


class Lineage(Sequence[Edge]):
    """The column edges around one thing: a sequence of `Edge`, shown as a table.

    Args:
        view: The service's LineageView as JSON.

    Example:
        >>> len(Lineage({"subject": "a/b", "edges": []}))
        0
    """

    def __init__(self, view: Mapping[str, Any]) -> None:
        self.subject = str(view.get("subject", ""))
        self.column = str(view.get("column", ""))
        self.direction = str(view.get("direction", "up"))
        self.labels: dict[str, Any] = dict(view.get("labels") or {})
        self.widened: list[str] = list(view.get("widened") or ())
        self.is_truncated = bool(view.get("truncated"))
        self._edges = [Edge.from_json(edge) for edge in view.get("edges", ())]

    @overload
    def __getitem__(self, index: int) -> Edge: ...
    @overload
    def __getitem__(self, index: slice) -> list[Edge]: ...
    def __getitem__(self, index: int | slice) -> Edge | list[Edge]:
        return self._edges[index]

    def __len__(self) -> int:
        return len(self._edges)

    def __iter__(self) -> Iterator[Edge]:
        return iter(self._edges)

    def counts(self) -> dict[str, int]:
        """How many edges of each kind: direct, indirect, opaque.

        Example:
            >>> Lineage({"edges": []}).counts()
            {'direct': 0, 'indirect': 0, 'opaque': 0}
        """
        return {kind: sum(edge.kind == kind for edge in self._edges) for kind in _KINDS}

    def sources(self, output_column: str, output: str | None = None) -> list[tuple[str, str]]:
        """The (input, column) pairs an output column's values or rows came from, in name order.

        Example:
            >>> Lineage({"edges": []}).sources("delay")
            []
        """
        return sorted({(e.input, e.input_column) for e in self._edges if e.output_column == output_column and output in (None, e.output)})

    def widget(self) -> Any:
        """A live view with search, folding and keyboard, for a running kernel.

        Raises:
            BadInput: The notebook extension is not loaded.
        """
        if not widget_factory:
            raise BadInput("widgets need the notebook extension", subject="lineage", hint="run %load_ext mlstudio_lab first")
        return widget_factory[0](self)

    def grouped(self) -> list[tuple[str, list[str], dict[str, dict[str, list[str]]]]]:
        """(output, its columns, kind -> input -> columns), output columns with the same sources together.

        Example:
            >>> Lineage({"edges": []}).grouped()
            []
        """
        by_column: dict[tuple[str, str], dict[str, dict[str, list[str]]]] = {}
        for edge in self._edges:
            inputs = by_column.setdefault((edge.output, edge.output_column), {}).setdefault(edge.kind, {})
            columns = inputs.setdefault(edge.input, [])
            if edge.input_column not in columns:
                columns.append(edge.input_column)
        groups: dict[tuple[str, str], tuple[str, list[str], dict[str, dict[str, list[str]]]]] = {}
        for (output, column), kinds in by_column.items():
            key = (output, repr([(k, sorted((i, tuple(sorted(c))) for i, c in kinds[k].items())) for k in _KINDS if k in kinds]))
            groups.setdefault(key, (output, [], kinds))[1].append(column)
        return list(groups.values())

    def to_json(self) -> dict[str, Any]:
        """The view as JSON, at most `MOST_EDGES` edges."""
        return {
            "subject": self.subject,
            "column": self.column,
            "direction": self.direction,
            "edges": [edge.to_json() for edge in self._edges[:MOST_EDGES]],
            "labels": self.labels,
            "widened": self.widened,
            "counts": self.counts(),
            "truncated": self.is_truncated or len(self) > MOST_EDGES,
        }

    def html(self, *, with_title: bool = True) -> str:
        """The lineage as HTML without script: one row for each group of output columns with the same sources."""
        rows = []
        groups = self.grouped()
        for output, columns, kinds in groups[:_MOST_ROWS]:
            cells = [self._names(output, columns)]
            for kind in ("direct", "indirect", "opaque"):
                cells.append("<br>".join(self._source(name, found) for name, found in kinds.get(kind, {}).items()))
            rows.append(cells)
        kept = [0, *(i for i in (1, 2, 3) if any(row[i] for row in rows))]
        heads = ("column", "made from", "rows, groups and order from", "may have read")
        parts = [f"<div>{self._title_html()}</div>"] if with_title else []
        if rows:
            parts.append(markup.table([heads[i] for i in kept], ([row[i] for i in kept] for row in rows)))
        else:
            parts.append(markup.muted("no columns involved"))
        if len(groups) > _MOST_ROWS:
            parts.append(markup.muted(f"and {len(groups) - _MOST_ROWS:,} more; ask for one column: lineage(column=...)"))
        if self.widened:
            parts.append(markup.fold(markup.muted("why some are not exact"), "<br>".join(markup.text(w) for w in self.widened)))
        return "".join(parts)

    def _title_html(self) -> str:
        whole = f"{self.subject}.{self.column}" if self.column else self.subject
        word = "what it feeds" if self.direction == "down" else "where it came from"
        counts = ", ".join(f"{n:,} {kind}" for kind, n in self.counts().items() if n) or "no edges"
        return f"<b>{markup.text(whole)}</b> {markup.muted(f'{word}: {counts}')}"

    def _source(self, name: str, columns: list[str]) -> str:
        named = self._names(name, [c for c in columns if c])
        return f"{markup.text(short_name(name))}: {named}" if named else markup.text(short_name(name))

    def _names(self, owner: str, columns: list[str]) -> str:
        if not any(columns):
            return markup.text(short_name(owner))
        labelled = [c for c in columns if label_texts(self.labels.get(f"{owner}.{c}"))]
        chips = "".join(
            f" {markup.chip(', '.join(label_texts(self.labels[f'{owner}.{c}'])), 'warn')}" if len(columns) == 1 else "" for c in labelled
        )
        return markup.names(columns) + chips

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        html = markup.box([self.html()], f"Lineage of {self.subject}")
        return {LINEAGE_MIME: self.to_json(), "text/html": html, "text/plain": repr(self)}

    def __repr__(self) -> str:
        whole = f"{self.subject}.{self.column}" if self.column else self.subject
        counts = ", ".join(f"{n} {kind}" for kind, n in self.counts().items() if n) or "no edges"
        lines = [f"lineage of {whole}: {counts}"]
        for output, columns, kinds in self.grouped()[:_MOST_ROWS]:
            shown = ", ".join(columns[:8]) + (f" and {len(columns) - 8} more" if len(columns) > 8 else "") if any(columns) else output
            for kind in _KINDS:
                for name, found in kinds.get(kind, {}).items():
                    sources = ", ".join(found[:12]) + (f" and {len(found) - 12} more" if len(found) > 12 else "")
                    lines.append(f"  {shown} <- {short_name(name)}{': ' + sources if sources else ''} ({kind})")
        return "\n".join(lines)


def short_name(name: str) -> str:
    """An unnamed value's `name@digest` with eight digits of its digest; other names as they are.

    Example:
        >>> short_name("flights/flights"), short_name("x@" + "ab" * 32)
        ('flights/flights', 'x@abababab')
    """
    head, at, tail = name.partition("@")
    return f"{head}@{tail[:8]}" if at else name


def label_texts(entry: object) -> list[str]:
    """The words of a label as people write them, asserted and propagated together, without "public".

    Args:
        entry: A Label as JSON (`{"sensitivity", "tags"}`), or `{"asserted": …, "propagated": …}` of two.

    Example:
        >>> label_texts({"asserted": {"sensitivity": "confidential", "tags": ["pii.email"]}, "propagated": None})
        ['confidential', 'pii.email']
    """
    if not isinstance(entry, Mapping):
        return []
    found: list[str] = []
    parts = [entry.get("asserted"), entry.get("propagated")] if "asserted" in entry or "propagated" in entry else [entry]
    for part in parts:
        if isinstance(part, Mapping):
            found += [w for w in (part.get("sensitivity", ""), *part.get("tags", ())) if w and w != "public" and w not in found]
    return found
