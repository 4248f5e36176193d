"""Edges come back exactly as they went in, however they are packed, and up and down walk them as a plain search would."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlstudio_lab.core.edges import Edge
from mlstudio_lab.core.errors import NotFound
from mlstudio_lab.ledger import datasets, edges, lineage
from mlstudio_lab.ledger.connection import Connection
from mlstudio_lab.ledger.ledger import Ledger
from mlstudio_lab.ledger.lineage import End
from mlstudio_lab.testing import FakeClock

Do = Callable[[Callable[[Connection], Any]], Any]

columns = st.sampled_from(("", "a", "b", "c", "Ünïcode %", "'; DROP"))
some_edges = st.builds(
    lambda o, oc, i, ic, how: Edge(o, oc, i, ic, *how),
    st.sampled_from(("return", "y")),
    columns,
    st.sampled_from(("flights", "planes", "x")),
    columns,
    st.sampled_from((("direct", "IDENTITY"), ("direct", "AGGREGATION"), ("indirect", "FILTER"), ("opaque", ""))),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(found=st.lists(some_edges, max_size=40))
def test_a_set_is_read_back_as_it_was(ledger: Ledger, found: list[Edge]) -> None:
    number = ledger.write(lambda c: edges.put_set(c, found)).result(timeout=20)
    assert ledger.read(lambda c: edges.get_set(c, number)) == sorted(set(found))
    assert ledger.read(lambda c: edges.set_size(c, number)) == len(set(found))
    assert ledger.write(lambda c: edges.put_set(c, reversed(found + found))).result(timeout=20) == number


def test_all_to_all_is_kept_small(write: Do, read: Do) -> None:
    opaque = [Edge("return", f"o{o}", "x", f"i{i}", "opaque") for o in range(60) for i in range(60)]
    number = write(lambda c: edges.put_set(c, opaque))
    rows = read(
        lambda c: sum(c.raw.execute(f"SELECT count(*) FROM {t}").fetchone()[0] for t in ("edge_blocks", "block_inputs", "block_outputs"))
    )
    assert rows == 121 and read(lambda c: edges.set_size(c, number)) == 3600


graphs = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 4), st.lists(st.tuples(columns, columns), min_size=1, max_size=4)), min_size=1, max_size=10
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(graph=graphs, start=st.integers(0, 4), column=st.one_of(st.none(), columns), depth=st.integers(1, 6), down=st.booleans())
def test_up_and_down_as_a_plain_search(
    tmp_path_factory: pytest.TempPathFactory, scene_of: Any, graph: Any, start: int, column: str | None, depth: int, down: bool
) -> None:
    clock = FakeClock()
    with Ledger.open(tmp_path_factory.mktemp("l"), clock) as ledger:
        scene = scene_of(ledger, clock)
        arrows: set[tuple[tuple[str, str], tuple[str, str]]] = set()
        for source, target, pairs in graph:
            run = scene.add_run()
            found = [Edge("return", to, "x", at, "direct", "IDENTITY") for at, to in pairs]
            ledger.write(
                lambda c, r=run, f=found, s=source, t=target: lineage.put_edges(
                    c, r, f, inputs={"x": End(f"d{s}")}, outputs={"return": End(f"d{t}")}
                )
            ).result(timeout=20)
            if source != target:
                arrows |= {((f"d{source}", at), (f"d{target}", to)) for at, to in pairs}
        walk = lineage.downstream if down else lineage.upstream
        got = ledger.read(lambda c: walk(c, f"d{start}", column, depth))
    steps = arrows if down else {(to, at) for at, to in arrows}
    frontier = {at for at, _ in steps if at[0] == f"d{start}" and column in (None, at[1])}
    seen, expected = set(frontier), {}
    for step in range(1, depth + 1):
        for arrow in [a for a in steps if a[0] in frontier]:
            expected.setdefault(arrow, step)
        frontier = {to for at, to in steps if at in frontier} - seen
        seen |= frontier
    ends = [((link.source, link.source_column), (link.target, link.target_column), link.depth) for link in got.links]
    assert {(a, b) if down else (b, a): n for a, b, n in ends} == expected
    assert not got.truncated


def test_a_run_and_what_its_names_stood_for(write: Do, read: Do, scene: Any) -> None:
    run, quiet = scene.add_run(), scene.add_run()
    found = [Edge("return", "a", "flights", "b", "direct", "IDENTITY"), Edge("log", "", "seed", "", "opaque")]
    n = write(
        lambda c: lineage.put_edges(c, run, found, inputs={"flights": End("f" * 64, "flights/flights")}, outputs={"return": End("e" * 64)})
    )
    assert n == 2 == read(lambda c: lineage.count_edges(c, run))
    assert read(lambda c: lineage.edges_of_run(c, run)) == [
        lineage.ResolvedEdge(found[1], End(""), End("")),
        lineage.ResolvedEdge(found[0], End("f" * 64, "flights/flights"), End("e" * 64)),
    ]
    assert read(lambda c: lineage.edges_of_run(c, quiet)) == [] and read(lambda c: lineage.edges_of_run(c, "nosuch")) == []
    with pytest.raises(NotFound):
        write(lambda c: lineage.put_edges(c, "nosuch", found, inputs={}, outputs={}))


def test_a_reused_run_has_the_edges_of_the_first(write: Do, read: Do, scene: Any) -> None:
    first = scene.add_run()
    found = [Edge("return", "a", "x", "b", "direct", "IDENTITY")]
    write(lambda c: lineage.put_edges(c, first, found, inputs={"x": End("1")}, outputs={"return": End("2")}))
    second = scene.add_run(state="succeeded", reused_from=first)
    third = scene.add_run(state="succeeded", reused_from=second)
    assert read(lambda c: lineage.edges_of_run(c, third)) == read(lambda c: lineage.edges_of_run(c, first)) != []
    assert read(lambda c: lineage.count_edges(c, third)) == 1


def test_through_values_without_a_digest(write: Do, read: Do, scene: Any) -> None:
    """They connect nothing to anything else, and what reached them is still seen."""
    one, two = scene.add_run(), scene.add_run()
    found = [Edge("return", "", "x", "a", "opaque")]
    for run in (one, two):
        write(lambda c, r=run: lineage.put_edges(c, r, found, inputs={"x": End("d")}, outputs={"return": End("")}))
    links = read(lambda c: lineage.downstream(c, "d")).links
    assert {link.run for link in links} == {one, two} and len({link.target for link in links}) == 2


def test_asked_by_dataset(write: Do, read: Do, scene: Any, clock: FakeClock) -> None:
    run = scene.add_run()
    write(
        lambda c: datasets.put_dataset_version(c, "a/x", content="7" * 64, payload={}, schema=None, rows=None, actor="ada", at=clock.now())
    )
    found = [Edge("return", "b", "x", "a", "direct", "IDENTITY")]
    write(lambda c: lineage.put_edges(c, run, found, inputs={"x": End("7" * 64, "a/x")}, outputs={"return": End("8" * 64)}))
    for what in ("a/x", "a/x@v1", "7" * 64):
        assert [link.target for link in read(lambda c, w=what: lineage.downstream(c, w, "a")).links] == ["8" * 64]
    assert read(lambda c: lineage.downstream(c, "a/x", "nosuch")).links == []
    assert read(lambda c: lineage.upstream(c, "0" * 64)).links == []
    with pytest.raises(NotFound):
        read(lambda c: lineage.downstream(c, "a/nosuch"))


def test_more_than_the_limit_is_said(write: Do, read: Do, scene: Any) -> None:
    run = scene.add_run()
    found = [Edge("return", f"o{n}", "x", "a", "indirect", "FILTER") for n in range(50)]
    write(lambda c: lineage.put_edges(c, run, found, inputs={"x": End("1")}, outputs={"return": End("2")}))
    reach = read(lambda c: lineage.downstream(c, "1", "a", limit=20))
    assert len(reach.links) == 20 and reach.truncated
    whole = read(lambda c: lineage.downstream(c, "1", "a", limit=50))
    assert len(whole.links) == 50 and not whole.truncated
