"""Lineage as people ask for it: of a run, of one output column, of a dataset up and down."""

from __future__ import annotations

from typing import Any, Final

from mlstudio_lab.core.errors import BadInput, NotFound, near_matches
from mlstudio_lab.engine.lineage import name_of
from mlstudio_lab.engine.plan import find_dataset
from mlstudio_lab.ledger import datasets, lineage, runs
from mlstudio_lab.ledger.connection import Connection
from mlstudio_lab.ledger.labels import labels_of
from mlstudio_lab.studio.context import Studio

MOST_DEPTH: Final = 32


def of_run(studio: Studio, run: str, output: str = "", column: str = "") -> dict[str, Any]:
    """The column edges of one run, with the labels of both ends.

    Args:
        studio: The home.
        run: ULID or number.
        output: Only this output.
        column: Only this output column.

    Raises:
        NotFound: No such run, output or column; the hint has near matches.
    """

    def read(c: Connection) -> dict[str, Any]:
        row = studio.engine.row(c, run)
        found = lineage.edges_of_run(c, row.id)
        made = (runs.get_run(c, row.reused_from) if row.reused_from else None) or row
        outputs = {e.edge.output for e in found}
        if output and output not in outputs:
            raise NotFound(f"run {row.number} has no output `{output}`", subject=output, hint=near_matches(output, outputs))
        found = [e for e in found if not output or e.edge.output == output]
        columns = {e.edge.output_column for e in found}
        if column and column not in columns:
            raise NotFound(f"run {row.number} has no output column `{column}`", subject=column, hint=near_matches(column, columns))
        found = [e for e in found if not column or e.edge.output_column == column]
        named = datasets.named_by_content(c, {e.input.content for e in found if e.input.content})
        own = {n: lineage.End(d["version"], d["name"]) for n, d in ((row.request or {}).get("_datasets") or {}).items()}
        ends = {e.edge.input: own.get(e.edge.input) or e.input for e in found}
        names = {n: name_of(end, n, named) for n, end in ends.items()}
        edges = [e.edge.to_json() | {"input": names[e.edge.input], "run": row.number, "module": row.module, "depth": 1} for e in found]
        content = {names[n]: end.content for n, end in ends.items()} | {e.edge.output: e.output.content for e in found}
        return {
            "subject": f"run {row.number}",
            "column": column,
            "direction": "up",
            "edges": edges,
            "labels": _labels(c, content),
            "widened": list((made.usage or {}).get("widened") or ()),
            "truncated": False,
        }

    return studio.read(read)


def of_dataset(studio: Studio, name: str, *, version: str = "", column: str = "", direction: str = "up", depth: int = 8) -> dict[str, Any]:
    """What a dataset's column, or all its columns, came from or feed.

    Raises:
        NotFound: No such dataset or column; the hint has near matches.
        BadInput: Neither up nor down, or a depth that is not one.
    """
    if direction not in ("up", "down"):
        raise BadInput(f"direction is {direction!r}", subject="direction", hint="choose up or down")
    if not 1 <= depth <= MOST_DEPTH:
        raise BadInput(f"depth is {depth}", subject="depth", hint=f"choose 1 to {MOST_DEPTH}")

    def read(c: Connection) -> dict[str, Any]:
        row = find_dataset(c, f"{name}@{version}" if version else name)
        if column and row.schema is not None and column not in row.schema:
            raise NotFound(f"{row.name} has no column `{column}`", subject=column, hint=near_matches(column, row.schema))
        walk = lineage.upstream if direction == "up" else lineage.downstream
        reach = walk(c, row.content, column or None, depth)
        contents = {d for link in reach.links for d in (link.source, link.target)} | {row.content}
        named = datasets.named_by_content(c, contents)
        numbers = {link.run: r for link in reach.links if (r := runs.get_run(c, link.run)) is not None}

        def shown(content: str, said: str) -> str:
            return row.name if content == row.content else name_of(lineage.End(content), said, named)

        edges = [
            {
                "output": shown(link.target, link.target_name),
                "output_column": link.target_column,
                "input": shown(link.source, link.source_name),
                "input_column": link.source_column,
                "kind": link.kind,
                "subtype": link.subtype,
                "run": numbers[link.run].number if link.run in numbers else 0,
                "module": numbers[link.run].module if link.run in numbers else "",
                "depth": link.depth,
            }
            for link in reach.links
        ]
        content = {shown(link.source, link.source_name): link.source for link in reach.links}
        content |= {shown(link.target, link.target_name): link.target for link in reach.links}
        return {
            "subject": row.name,
            "column": column,
            "direction": direction,
            "edges": edges,
            "labels": _labels(c, content | {row.name: row.content}),
            "widened": [],
            "truncated": reach.truncated,
        }

    return studio.read(read)


def _labels(c: Connection, content: dict[str, str]) -> dict[str, Any]:
    """Both labels of every named thing's columns, by `name.column`."""
    names: dict[str, list[str]] = {}
    for name, digest in content.items():
        if digest:
            names.setdefault(digest, []).append(name)
    return {
        f"{name}.{column}" if column else name: {"asserted": row.asserted, "propagated": row.propagated}
        for (digest, column), row in labels_of(c, names).items()
        for name in names[digest]
    }
