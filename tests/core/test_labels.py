"""Labels join as a semilattice and only grow along edges."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlstudio_lab.core.edges import Edge
from mlstudio_lab.core.errors import BadInput
from mlstudio_lab.core.labels import (
    DEFAULT_TAXONOMY,
    PUBLIC,
    SENSITIVITIES,
    UNCLASSIFIED,
    Entry,
    Label,
    Taxonomy,
    grown,
    join_over,
)

TAGS = ("pii", "pii.email", "phi", "financial", "protected", "unheard_of")
labels = st.builds(Label, st.sampled_from(SENSITIVITIES), st.frozensets(st.sampled_from(TAGS)))
taxonomies = st.dictionaries(st.sampled_from(SENSITIVITIES + TAGS[:-1]), st.builds(Entry, st.sampled_from(("direct", "indirect")))).map(
    Taxonomy
)
kinds = st.sampled_from((("direct", "IDENTITY"), ("indirect", "FILTER"), ("opaque", "")))
edges = st.lists(
    st.builds(
        lambda output, column, source, kind: Edge(output, column, "in", source, *kind),
        st.sampled_from(("a", "b")),
        st.sampled_from(("x", "y")),
        st.sampled_from(("p", "q", "r")),
        kinds,
    ),
    max_size=12,
)
inputs = st.dictionaries(st.sampled_from([("in", name) for name in ("p", "q", "r")]), st.none() | labels)


@given(labels, labels)
def test_join_commutes(a: Label, b: Label) -> None:
    assert a.join(b) == b.join(a)


@given(labels, labels, labels)
def test_join_associates(a: Label, b: Label, c: Label) -> None:
    assert a.join(b).join(c) == a.join(b.join(c))


@given(labels)
def test_join_is_idempotent_with_public_at_the_bottom_and_unclassified_on_top(a: Label) -> None:
    assert a.join(a) == a
    assert a.join(PUBLIC) == a
    assert a.join(UNCLASSIFIED) == Label("unclassified", a.tags)


@given(labels, labels)
def test_a_join_covers_both_and_nothing_smaller_does(a: Label, b: Label) -> None:
    joined = a.join(b)
    assert joined.covers(a) and joined.covers(b)
    assert joined.sensitivity in (a.sensitivity, b.sensitivity)
    assert a.covers(b) == (joined == a)


@given(labels, labels, taxonomies)
def test_what_an_indirect_edge_carries_is_monotone_and_never_more_than_the_label(a: Label, b: Label, taxonomy: Taxonomy) -> None:
    assert a.covers(taxonomy.carried(a))
    assert taxonomy.carried(a.join(b)).covers(taxonomy.carried(a))


@given(edges, inputs, st.sampled_from([("in", name) for name in ("p", "q", "r")]), labels, taxonomies)
def test_labels_only_grow_when_an_input_label_grows(
    run: list[Edge], known: dict[tuple[str, str], Label | None], source: tuple[str, str], more: Label, taxonomy: Taxonomy
) -> None:
    before = join_over(run, known, taxonomy)
    after = join_over(run, {**known, source: (known.get(source) or UNCLASSIFIED).join(more)}, taxonomy)
    assert before.keys() == after.keys()
    assert all(after[column].covers(label) for column, label in before.items())


@given(st.lists(labels, min_size=1, max_size=6))
def test_what_is_stored_of_a_column_only_grows_however_its_labels_arrive(arriving: list[Label]) -> None:
    stored = None
    for label in arriving:
        stored = grown(stored, label)
    assert stored is not None
    found = Label.from_json(stored)
    assert found.tags == frozenset().union(*(label.tags for label in arriving))
    if arriving[-1].is_unclassified:
        assert found.is_unclassified
    decided = Label.from_json(grown(stored, PUBLIC))
    assert all(decided.covers(Label(label.sensitivity)) for label in arriving if not label.is_unclassified)


@given(edges, edges, inputs, taxonomies)
def test_labels_only_grow_when_an_edge_is_added(
    run: list[Edge], more: list[Edge], known: dict[tuple[str, str], Label | None], taxonomy: Taxonomy
) -> None:
    before, after = join_over(run, known, taxonomy), join_over(run + more, known, taxonomy)
    assert all(after[column].covers(label) for column, label in before.items())
    assert join_over(list(reversed(run)), known, taxonomy) == before


@given(edges, inputs, taxonomies)
def test_direct_and_opaque_edges_carry_the_whole_label(
    run: list[Edge], known: dict[tuple[str, str], Label | None], taxonomy: Taxonomy
) -> None:
    joined = join_over(run, known, taxonomy)
    for edge in run:
        label = known.get((edge.input, edge.input_column)) or UNCLASSIFIED
        if edge.kind != "indirect":
            assert joined[edge.output, edge.output_column].covers(label)


def test_an_unknown_input_is_unclassified_even_over_an_indirect_edge() -> None:
    run = [Edge("return", "n", "people", "x", "indirect", "FILTER")]
    assert join_over(run, {})["return", "n"] == UNCLASSIFIED
    assert join_over(run, {("people", "x"): None})["return", "n"] == UNCLASSIFIED


def test_indirect_edges_carry_only_what_follows_them() -> None:
    run = [Edge("return", "n", "people", "x", "indirect", "GROUP_BY")]
    label = Label.parse(["restricted", "pii.email", "phi"])
    assert join_over(run, {("people", "x"): label})["return", "n"] == Label("public", frozenset({"phi"}))


def test_a_tag_the_taxonomy_does_not_know_follows_every_edge() -> None:
    assert DEFAULT_TAXONOMY.carried(Label("internal", frozenset({"unheard_of"}))).tags == {"unheard_of"}


def test_a_written_label_is_read() -> None:
    assert Label.parse(["Confidential", "pii.email", "pii.email"]) == Label("confidential", frozenset({"pii.email"}))
    assert Label.parse([]) == UNCLASSIFIED
    assert Label.parse(["pii"]).is_unclassified
    assert Label.parse(["pii.passport"]).has("pii")
    assert not Label.parse(["pii"]).has("pii.email")


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["public", "internal"], "keep internal"),
        (["confidental"], "did you mean confidential"),
        (["internal", "finacial"], "did you mean financial"),
        (["internal", "<script>"], "add it to the taxonomy"),
    ],
)
def test_a_label_that_cannot_be_is_refused_with_the_fix(words: list[str], hint: str) -> None:
    with pytest.raises(BadInput) as refused:
        Label.parse(words)
    assert hint in refused.value.hint


@given(labels)
def test_a_label_survives_json_and_words(label: Label) -> None:
    assert Label.from_json(label.to_json()) == label
    known = Taxonomy({**DEFAULT_TAXONOMY.entries, "unheard_of": Entry()})
    assert Label.parse(label.words(), known) == label


def test_json_that_is_no_label_is_refused() -> None:
    assert Label.from_json(None) == UNCLASSIFIED
    with pytest.raises(BadInput):
        Label.from_json({"sensitivity": "secret", "tags": []})
    with pytest.raises(BadInput):
        Label.from_json({"tags": []})


def test_a_taxonomy_file_adds_to_the_built_in_one() -> None:
    own = Taxonomy.from_json({"trade": {"follows": "indirect"}, "pii": {"follows": "indirect"}})
    assert own.follows("trade.secret") == "indirect"
    assert own.follows("pii.email") == "direct"
    assert own.follows("pii.passport") == "indirect"
    assert Taxonomy.from_json(own.to_json()) == own
    for wrong in ({"X Y": {}}, {"trade": "indirect"}, {"trade": {"follows": "sideways"}}):
        with pytest.raises(BadInput):
            Taxonomy.from_json(wrong)
