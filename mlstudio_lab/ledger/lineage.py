"""Which columns came from which, through which run, up and down."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import ColumnElement, Table, bindparam, func, literal_column, select
from sqlalchemy.dialects.sqlite import insert as upsert

from mlstudio_lab.core.digest import digest
from mlstudio_lab.core.edges import Edge, EdgeKind
from mlstudio_lab.core.errors import NotFound
from mlstudio_lab.ledger import datasets, edges
from mlstudio_lab.ledger.connection import Connection, Statement, from_text, listed, to_text
from mlstudio_lab.ledger.contents import put_contents
from mlstudio_lab.ledger.labels import LabelRow, labels_of, put_label_set, put_labels
from mlstudio_lab.ledger.tables import block_inputs, block_outputs, contents, edge_blocks, flows, run_edges, runs, words

__all__ = [
    "End",
    "LabelRow",
    "Link",
    "Reach",
    "ResolvedEdge",
    "count_edges",
    "downstream",
    "edges_of_run",
    "labels_of",
    "put_edges",
    "put_label_set",
    "put_labels",
    "upstream",
]

Direction = Literal["up", "down"]


@dataclass(frozen=True, slots=True)
class End:
    """What a run's input or output name stood for.

    Attributes:
        content: Content digest, "" for a value that has none.
        dataset: The dataset's name it was opened as, "" for an unnamed value.
    """

    content: str
    dataset: str = ""


@dataclass(frozen=True, slots=True)
class ResolvedEdge:
    """One edge of one run, with what its names stood for.

    Attributes:
        edge: With the run's own names.
        input: What `edge.input` stood for.
        output: What `edge.output` stood for.
    """

    edge: Edge
    input: End
    output: End


@dataclass(frozen=True, slots=True)
class Link:
    """One step of lineage between columns of contents.

    Attributes:
        depth: 1 next to where the question began.
        source: Content digest it came from.
        source_name: The run's name for it.
        source_column: Its column.
        target: Content digest it went into.
        target_name: The run's name for it.
        target_column: Its column.
        kind: "direct", "indirect" or "opaque".
        subtype: See `core.edges.Edge`.
        run: The first run it went through.
    """

    depth: int
    source: str
    source_name: str
    source_column: str
    target: str
    target_name: str
    target_column: str
    kind: EdgeKind
    subtype: str
    run: str


@dataclass(frozen=True, slots=True)
class Reach:
    """The answer to an up or down question.

    Attributes:
        links: Nearest first.
        truncated: Whether there was more than the limit.
    """

    links: list[Link]
    truncated: bool


_RUN = Statement(lambda: select(runs.c.number, runs.c.id, runs.c.reused_from).where(runs.c.id == bindparam("run_id")))


def _put_run_edges() -> Any:
    statement = upsert(run_edges).values({name: bindparam(name) for name in ("run", "edge_set", "ends")})
    return statement.on_conflict_do_update(set_={"edge_set": statement.excluded.edge_set, "ends": statement.excluded.ends})


_PUT_RUN = Statement(_put_run_edges)
_OF_RUN = Statement(lambda: select(run_edges.c.edge_set, run_edges.c.ends).where(run_edges.c.run == bindparam("number")))
_PUT_FLOW = Statement(
    lambda: (
        upsert(flows)
        .values({name: bindparam(name) for name in ("source", "source_name", "edge_set", "target", "target_name", "run")})
        .on_conflict_do_nothing()
    )
)


def put_edges(c: Connection, run_id: str, found: Iterable[Edge], *, inputs: Mapping[str, End], outputs: Mapping[str, End]) -> int:
    """Stores a run's edges and what its names stood for; returns how many edges there are.

    Args:
        c: The connection.
        run_id: The run's ULID.
        found: Its edges with its own names.
        inputs: Input name -> what it stood for; edges from names that are not in it end at that run.
        outputs: Output name -> likewise.

    Raises:
        NotFound: There is no such run.

    Example:
        `put_edges(c, run.id, edges, inputs={"flights": End(digest, "flights/flights")}, outputs={"return": End(other)})`
    """
    row = c.one(_RUN, run_id=run_id)
    if row is None:
        raise NotFound(f"no run {run_id}", subject=run_id)
    distinct = set(found)
    edge_set = edges.put_set(c, distinct)
    ends = {side: {n: [e.content, e.dataset] for n, e in sorted(of.items())} for side, of in (("inputs", inputs), ("outputs", outputs))}
    c.run(_PUT_RUN, run=row[0], edge_set=edge_set, ends=to_text(ends))
    pairs = sorted({(edge.input, edge.output) for edge in distinct})
    name = edges.put_words(c, {word for pair in pairs for word in pair})
    sources = {n: _content(inputs.get(n), run_id, "in", n) for n, _ in pairs}
    targets = {n: _content(outputs.get(n), run_id, "out", n) for _, n in pairs}
    content = put_contents(c, [*sources.values(), *targets.values()])
    for source, target in pairs:
        # A value handed back unchanged does not flow into itself.
        if sources[source] != targets[target]:
            c.run(
                _PUT_FLOW,
                source=content[sources[source]],
                source_name=name[source],
                edge_set=edge_set,
                target=content[targets[target]],
                target_name=name[target],
                run=row[0],
            )
    return len(distinct)


def edges_of_run(c: Connection, run_id: str) -> list[ResolvedEdge]:
    """A run's edges; those of the run it was reused from when it has none of its own."""
    number = _lineage_of(c, run_id)
    row = None if number is None else c.one(_OF_RUN, number=number)
    if row is None:
        return []
    ends = from_text(row[1])
    inputs = {name: End(*end) for name, end in ends["inputs"].items()}
    outputs = {name: End(*end) for name, end in ends["outputs"].items()}
    nothing = End("")
    return [ResolvedEdge(e, inputs.get(e.input, nothing), outputs.get(e.output, nothing)) for e in edges.get_set(c, row[0])]


def count_edges(c: Connection, run_id: str) -> int:
    """How many edges `edges_of_run` has, without reading them."""
    number = _lineage_of(c, run_id)
    row = None if number is None else c.one(_OF_RUN, number=number)
    return 0 if row is None else edges.set_size(c, row[0])


def upstream(c: Connection, what: str, column: str | None = None, depth: int = 8, *, limit: int = 1000) -> Reach:
    """What a content's column, or all its columns, came from.

    Args:
        c: The connection.
        what: A content digest, or a dataset as `ns/name`, `ns/name@v3`.
        column: One column; None for all.
        depth: Steps at most.
        limit: Links at most.

    Raises:
        NotFound: No such dataset.
    """
    return _walk(c, "up", what, column, depth, limit)


def downstream(c: Connection, what: str, column: str | None = None, depth: int = 8, *, limit: int = 1000) -> Reach:
    """What a content's column, or any of its columns, went into; see `upstream`.

    Args:
        c: The connection.
        what: A content digest, or a dataset as `ns/name`, `ns/name@v3`.
        column: One column; None for all.
        depth: Steps at most.
        limit: Links at most.

    Raises:
        NotFound: No such dataset.
    """
    return _walk(c, "down", what, column, depth, limit)


def _step(direction: Direction, whole: bool) -> Statement:
    """One step from a list of (content, column) numbers; breadth first, so nothing is visited twice."""

    def make() -> Any:
        near: Table
        far: Table
        near, far = (block_inputs, block_outputs) if direction == "down" else (block_outputs, block_inputs)
        here, here_name = (flows.c.source, flows.c.source_name) if direction == "down" else (flows.c.target, flows.c.target_name)
        far_name = flows.c.target_name if direction == "down" else flows.c.source_name
        there = flows.c.target if direction == "down" else flows.c.source
        start = func.json_each(bindparam("start")).table_valued("value").alias("start")
        content: ColumnElement[Any] = literal_column("json_extract(start.value, '$[0]')")
        at_near = (near.c.edge_set == flows.c.edge_set) & (near.c.name == here_name)
        if not whole:
            at_near &= near.c.column == literal_column("json_extract(start.value, '$[1]')")
        names, how = (flows.c.source_name, flows.c.target_name), (edge_blocks.c.kind, edge_blocks.c.subtype)
        return (
            select(here, near.c.column, there, far.c.column, *names, *how, flows.c.run)
            .select_from(
                start.join(flows, here == content)
                .join(near, at_near)
                .join(far, (far.c.block == near.c.block) & (far.c.edge_set == flows.c.edge_set) & (far.c.name == far_name))
                .join(edge_blocks, edge_blocks.c.id == near.c.block)
            )
            .limit(bindparam("most"))
        )

    return Statement(make)


_STEPS = {(direction, whole): _step(direction, whole) for direction in ("up", "down") for whole in (False, True)}
_CONTENT = Statement(lambda: select(contents.c.id).where(contents.c.digest == bindparam("digest")))
_WORD = Statement(lambda: select(words.c.id).where(words.c.text == bindparam("word")))


def _list(table: Any, key: Any, value: Any) -> Statement:
    return Statement(lambda: select(key, value).where(key.in_(listed("wanted"))))


_CONTENT_TEXTS = _list(contents, contents.c.id, contents.c.digest)
_WORD_TEXTS = _list(words, words.c.id, words.c.text)
_RUN_TEXTS = _list(runs, runs.c.number, runs.c.id)


def _walk(c: Connection, direction: Direction, what: str, column: str | None, depth: int, limit: int) -> Reach:
    start = c.one(_CONTENT, digest=_content_of(c, what))
    column_id = None if column is None else c.one(_WORD, word=column)
    if start is None or (column is not None and column_id is None):
        return Reach([], False)
    whole = column_id is None
    frontier = [[start[0], column_id[0] if column_id else None]]
    seen = {(start[0], column_id[0])} if column_id else set()
    found: dict[tuple[int, ...], tuple[int, tuple[Any, ...]]] = {}
    truncated = False
    for step in range(1, depth + 1):
        rows = c.all(_STEPS[direction, whole], start=json.dumps(frontier), most=limit + 1 - len(found))
        frontier, whole = [], False
        for row in rows:
            if len(found) >= limit:
                truncated = True
                break
            found.setdefault((*row[:6], hash(row[6:8])), (step, row))
            if (row[2], row[3]) not in seen:
                seen.add((row[2], row[3]))
                frontier.append([row[2], row[3]])
        if truncated or not frontier:
            break
    return Reach(_links(c, direction, list(found.values())), truncated)


def _links(c: Connection, direction: Direction, found: list[tuple[int, tuple[Any, ...]]]) -> list[Link]:
    def texts(statement: Statement, *places: int) -> dict[int, str]:
        return dict(c.all(statement, wanted=json.dumps(sorted({row[place] for _, row in found for place in places}))))

    content, word, run = texts(_CONTENT_TEXTS, 0, 2), texts(_WORD_TEXTS, 1, 3, 4, 5), texts(_RUN_TEXTS, 8)
    links = []
    for depth, row in found:
        near, far = (row[0], row[1]), (row[2], row[3])
        source, target = (near, far) if direction == "down" else (far, near)
        links.append(
            Link(
                depth=depth,
                source=content[source[0]],
                source_name=word[row[4]],
                source_column=word[source[1]],
                target=content[target[0]],
                target_name=word[row[5]],
                target_column=word[target[1]],
                kind=row[6],
                subtype=row[7],
                run=run[row[8]],
            )
        )
    return links


def _content_of(c: Connection, what: str) -> str:
    if "/" not in what:
        return what
    name, _, version = what.partition("@")
    row = datasets.get_dataset(c, name, version or None)
    if row is None:
        raise NotFound(f"no dataset {what}", subject=what, hint="mlstudio dataset list shows them")
    return row.content


def _content(end: End | None, run_id: str, side: str, name: str) -> str:
    """The content a name stood for, or one of its own for a value that has no digest."""
    return end.content if end is not None and end.content else digest("undigested", run_id, side, name)


def _lineage_of(c: Connection, run_id: str) -> int | None:
    """The number of the run that has this one's edges: itself, or the one its result was taken from."""
    for _ in range(100):
        row = c.one(_RUN, run_id=run_id)
        if row is None:
            return None
        if row[2] is None or c.one(_OF_RUN, number=row[0]) is not None:
            return int(row[0])
        run_id = row[2]
    return None
