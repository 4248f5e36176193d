"""Sets of column edges, each distinct set kept once, as blocks in which every input reaches every output.

A filter on one column reaches all output columns, and opaque code lets all inputs reach all outputs: as blocks these are
1 + n and m + n rows where plain edges would be n and m * n.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence

from sqlalchemy import bindparam, insert, select
from sqlalchemy.dialects.sqlite import insert as upsert

from mlstudio_lab.core.digest import digest
from mlstudio_lab.core.edges import Edge
from mlstudio_lab.ledger.connection import Connection, Statement, listed
from mlstudio_lab.ledger.tables import block_inputs, block_outputs, edge_blocks, edge_sets, words

_SET = Statement(lambda: select(edge_sets.c.id).where(edge_sets.c.digest == bindparam("digest")))
_SIZE = Statement(lambda: select(edge_sets.c.edges).where(edge_sets.c.id == bindparam("edge_set")))
_ADD_SET = Statement(lambda: insert(edge_sets).values(digest=bindparam("digest"), edges=bindparam("edges")))
_ADD_BLOCK = Statement(
    lambda: insert(edge_blocks).values(edge_set=bindparam("edge_set"), kind=bindparam("kind"), subtype=bindparam("subtype"))
)
_ADD_INPUT = Statement(lambda: insert(block_inputs))
_ADD_OUTPUT = Statement(lambda: insert(block_outputs))
_ADD_WORD = Statement(lambda: upsert(words).values(text=bindparam("word")).on_conflict_do_nothing())
_WORDS = Statement(lambda: select(words.c.text, words.c.id).where(words.c.text.in_(listed("wanted"))))


def _members(table: object) -> Statement:
    side = block_inputs if table is block_inputs else block_outputs
    name, column = words.alias(), words.alias()
    return Statement(
        lambda: (
            select(side.c.block, name.c.text, column.c.text)
            .select_from(side.join(name, name.c.id == side.c.name).join(column, column.c.id == side.c.column))
            .where(side.c.edge_set == bindparam("edge_set"))
        )
    )


_INPUTS = _members(block_inputs)
_OUTPUTS = _members(block_outputs)
_BLOCKS = Statement(
    lambda: select(edge_blocks.c.id, edge_blocks.c.kind, edge_blocks.c.subtype).where(edge_blocks.c.edge_set == bindparam("edge_set"))
)


def put_set(c: Connection, edges: Iterable[Edge]) -> int:
    """The number of a set of edges, stored when it is new; order and repetition do not count.

    Example:
        `put_set(c, [Edge("return", "a", "flights", "b", "direct", "IDENTITY")])`
    """
    distinct = sorted(set(edges))
    name = digest("edges", [[e.output, e.output_column, e.input, e.input_column, e.kind, e.subtype] for e in distinct])
    found = c.one(_SET, digest=name)
    if found is not None:
        return int(found[0])
    edge_set = c.run(_ADD_SET, digest=name, edges=len(distinct)).lastrowid or 0
    number = put_words(c, {text for e in distinct for text in (e.output, e.output_column, e.input, e.input_column)})
    for kind, subtype, inputs, outputs in _blocks(distinct):
        block = c.run(_ADD_BLOCK, edge_set=edge_set, kind=kind, subtype=subtype).lastrowid or 0
        for statement, ends in ((_ADD_INPUT, inputs), (_ADD_OUTPUT, outputs)):
            for end, column in ends:
                c.run(statement, edge_set=edge_set, name=number[end], column=number[column], block=block)
    return edge_set


def get_set(c: Connection, edge_set: int) -> list[Edge]:
    """The edges of a set, in order."""
    inputs: dict[int, list[tuple[str, str]]] = defaultdict(list)
    outputs: dict[int, list[tuple[str, str]]] = defaultdict(list)
    for side, statement in ((inputs, _INPUTS), (outputs, _OUTPUTS)):
        for block, name, column in c.all(statement, edge_set=edge_set):
            side[block].append((name, column))
    return sorted(
        Edge(output, output_column, name, column, kind, subtype)
        for block, kind, subtype in c.all(_BLOCKS, edge_set=edge_set)
        for output, output_column in outputs[block]
        for name, column in inputs[block]
    )


def set_size(c: Connection, edge_set: int) -> int:
    """How many edges a set has."""
    row = c.one(_SIZE, edge_set=edge_set)
    return int(row[0]) if row else 0


def put_words(c: Connection, texts: Iterable[str]) -> dict[str, int]:
    """The number of each text, given when it is new."""
    wanted = sorted(set(texts))
    for word in wanted:
        c.run(_ADD_WORD, word=word)
    return dict(c.all(_WORDS, wanted=json.dumps(wanted)))


def _blocks(edges: Sequence[Edge]) -> list[tuple[str, str, list[tuple[str, str]], list[tuple[str, str]]]]:
    """Inputs that reach the same outputs in the same way, together with those outputs."""
    reach: dict[tuple[str, str, str, str], list[tuple[str, str]]] = defaultdict(list)
    for e in edges:
        reach[e.kind, e.subtype, e.input, e.input_column].append((e.output, e.output_column))
    together: dict[tuple[str, str, tuple[tuple[str, str], ...]], list[tuple[str, str]]] = defaultdict(list)
    for (kind, subtype, name, column), outputs in reach.items():
        together[kind, subtype, tuple(outputs)].append((name, column))
    return [(kind, subtype, inputs, list(outputs)) for (kind, subtype, outputs), inputs in together.items()]
