"""Every plan shape gives exactly its true edges, lazily, collected, and in memory."""

from __future__ import annotations

import re
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from mlstudio_lab.data.lineage import Tracker

from .shapes import SHAPES, expected, frame_a, frame_b


def without_ids(plan: str) -> str:
    """polars makes up the ids of caches and dynamic predicates anew each time."""
    return re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "ID", plan)


def run(shape: Any, a: Any, b: Any, after: Any = lambda value: value) -> tuple[Any, set[tuple[str, str, str, str, str]], list[str]]:
    tracker = Tracker()
    left, right = tracker.track("a", a), tracker.track("b", b)
    with tracker:
        value = after(shape(left, right))
    edges, why = tracker.edges({"return": value}, {})
    found = {(e.output_column, e.input, e.input_column, e.kind, e.subtype) for e in edges}
    assert len(found) == len(edges)
    return value, found, why


@pytest.mark.parametrize("name", SHAPES)
def test_a_returned_plan_has_exactly_its_true_edges(name: str) -> None:
    shape, table = SHAPES[name]
    value, found, why = run(shape, frame_a().lazy(), frame_b().lazy())
    assert found == expected(table)
    assert why == []
    native = shape(frame_a().lazy(), frame_b().lazy())
    assert_frame_equal(value.collect(), native.collect(), check_row_order=False)
    assert without_ids(value.explain()) == without_ids(native.explain())


@pytest.mark.parametrize("name", SHAPES)
def test_collecting_inside_the_code_keeps_the_edges(name: str) -> None:
    shape, table = SHAPES[name]
    value, found, why = run(shape, frame_a().lazy(), frame_b().lazy(), lambda lazy: lazy.collect())
    assert isinstance(value, pl.DataFrame)
    assert found == expected(table)
    assert why == []


@pytest.mark.parametrize("name", SHAPES)
def test_frames_in_memory_have_the_same_edges(name: str) -> None:
    shape, table = SHAPES[name]
    try:
        native = shape(frame_a(), frame_b())
    except (AttributeError, TypeError) as missing:
        pytest.skip(f"polars offers this on plans only: {missing}")
    value, found, _ = run(shape, frame_a(), frame_b())
    assert type(value) is type(native)
    assert found == expected(table)
