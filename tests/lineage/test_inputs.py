"""Inputs and outputs of every kind: which are recognised, which stay apart, and what untraceable ones depend on."""

from __future__ import annotations

import pickle
import warnings
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from mlstudio_lab.core.edges import Edge
from mlstudio_lab.data.lineage import Tracker, edges_all_to_all
from mlstudio_lab.wire.task import Value

c = pl.col


def traced(code: Any, **inputs: Any) -> tuple[set[tuple[str, ...]], list[str]]:
    """(output column, input, input column, kind) of what `code` makes of its inputs, and why some are wide."""
    tracker = Tracker()
    handed = {name: tracker.track(name, value) for name, value in inputs.items()}
    with tracker:
        made = code(**handed)
    edges, why = tracker.edges({"return": made}, {name: Value("", type(value).__name__) for name, value in inputs.items()})
    return {(e.output_column, e.input, e.input_column, e.kind) for e in edges}, why


@pytest.mark.parametrize(
    "name", ["", " ", "a b", "a.b", "^x.*$", "*", "été", "__mls", "literal", "x\ny", "<b>", "日本", "file:x", "len", "\0", "'", "a" * 300]
)
@pytest.mark.parametrize("lazy", [True, False])
def test_dirty_names_are_only_names(name: str, lazy: bool) -> None:
    frame = pl.DataFrame({name: [1, 2], "other": [3, 4]})
    edges, why = traced(lambda f: f.filter(c("other") > 3).with_columns(z=pl.nth(0) + 1), f=frame.lazy() if lazy else frame)
    assert edges == {
        (name, "f", name, "direct"), ("z", "f", name, "direct"), ("other", "f", "other", "direct"),
        (name, "f", "other", "indirect"), ("z", "f", "other", "indirect"), ("other", "f", "other", "indirect"),
    }  # fmt: skip
    assert why == []


@pytest.mark.parametrize("lazy", [True, False])
def test_frames_without_rows_are_told_apart(lazy: bool) -> None:
    empty = pl.DataFrame(schema={"k": pl.Int64, "x": pl.Float64})
    one, two = empty.clone(), empty.clone()
    edges, _ = traced(lambda a, b: a.join(b, on="k").select("x", "x_right"), a=one.lazy() if lazy else one, b=two.lazy() if lazy else two)
    assert {edge for edge in edges if edge[3] == "direct"} == {("x", "a", "x", "direct"), ("x_right", "b", "x", "direct")}


def test_a_frame_without_columns_depends_on_nothing() -> None:
    assert traced(lambda a: a, a=pl.DataFrame()) == (set(), [])
    assert traced(lambda a: a.with_columns(x=pl.lit(1)), a=pl.LazyFrame()) == (set(), [])


@pytest.mark.parametrize("lazy", [True, False])
def test_equal_inputs_and_views_of_one_frame_are_told_apart(lazy: bool) -> None:
    table = pl.DataFrame({"k": [1, 2], "x": [3, 4]})
    for one, two in (
        (table, table.clone()),
        (table, table.head(2)),
        (table, pl.from_arrow(table.to_arrow())),
        (table, table.select("k", "x")),
    ):
        a, b = (one.lazy(), two.lazy()) if lazy else (one, two)
        edges, _ = traced(lambda a, b: pl.concat([a.select("k"), b.select(k="x")]), a=a, b=b)
        assert edges == {("k", "a", "k", "direct"), ("k", "b", "x", "direct")}
        assert traced(lambda a, b: b.select("x"), a=a, b=b)[0] == {("x", "b", "x", "direct")}


@pytest.mark.parametrize("lazy", [True, False])
def test_one_object_under_two_names_counts_for_both(lazy: bool) -> None:
    table = pl.DataFrame({"k": [1, 2], "x": [3, 4]})
    same = table.lazy() if lazy else table
    assert traced(lambda a, b: a.select("x"), a=same, b=same)[0] == {("x", "a", "x", "direct"), ("x", "b", "x", "direct")}


def test_a_filter_that_keeps_every_row_still_counts() -> None:
    table = pl.DataFrame({"k": [1, 2], "x": [3, 4]})
    edges, _ = traced(lambda a: a.filter(c("k") > 0).sort("k").drop_nulls("k").select("x"), a=table)
    assert {(kind, column) for _, _, column, kind in edges} == {("direct", "x"), ("indirect", "k")}


def test_the_persons_plan_is_given_back_as_it_was() -> None:
    plan = pl.LazyFrame({"k": [1, 2]}).filter(c("k") > 1)
    native = plan._ldf
    tracker = Tracker()
    assert tracker.track("plan", plan) is plan
    with tracker:
        made = plan
        more = plan.select(q="k")
    assert plan._ldf is native
    edges, _ = tracker.edges({"made": made, "more": more}, {})
    assert [(e.output, e.output_column, e.input_column) for e in edges] == [("made", "k", "k"), ("more", "q", "k")]
    assert pickle.loads(pickle.dumps(more)).collect().to_dict(as_series=False) == {"q": [2]}
    assert more.collect().to_dict(as_series=False) == {"q": [2]}


def test_the_same_input_can_be_followed_again() -> None:
    plan, table = pl.LazyFrame({"k": [1]}), pl.DataFrame({"k": [1]})
    for _ in range(3):
        assert traced(lambda plan, table: plan.join(table.lazy(), on="k"), plan=plan, table=table)[0] == {
            ("k", "plan", "k", "direct"), ("k", "plan", "k", "indirect"), ("k", "table", "k", "indirect"),
        }  # fmt: skip


def test_inputs_that_are_no_frames_count_for_every_output() -> None:
    edges, _ = traced(lambda a, days, label: a.select("x"), a=pl.LazyFrame({"x": [1], "y": [2]}), days=7, label=["p"])
    assert edges == {("x", "a", "x", "direct"), ("x", "days", "", "opaque"), ("x", "label", "", "opaque")}


def test_a_pandas_input_counts_whole_for_every_output() -> None:
    tracker = Tracker()
    table = tracker.track("t", pd.DataFrame({"p": [1], "q": [2]}))
    kept = tracker.track("a", pl.DataFrame({"x": [1]}))
    with tracker:
        out = kept.with_columns(z=pl.lit(int(table["p"].sum())))
    edges, _ = tracker.edges({"return": out}, {"t": Value("", "pandas.DataFrame", {"p": "int64", "q": "int64"})})
    assert {(e.output_column, e.input_column) for e in edges if e.kind == "opaque"} == {(o, i) for o in "xz" for i in "pq"}


@pytest.mark.parametrize(
    ("make", "columns"),
    [
        (lambda a: a.select("x").to_pandas(), {"x"}),
        (lambda a: pd.DataFrame({"n": [a["x"].sum()], "s": ["text"]}), {"n", "s"}),
        (lambda a: a.select("x").to_numpy(), {""}),
        (lambda a: a.select("x").to_arrow(), {"x"}),
        (lambda a: a["x"], {""}),
        (lambda a: a["x"].sum(), {""}),
        (lambda a: str(a["x"].sum()), {""}),
    ],
)
def test_what_python_made_depends_on_what_python_read(make: Any, columns: set[str]) -> None:
    edges, _ = traced(make, a=pl.DataFrame({"x": [1], "y": [2]}))
    assert edges == {(column, "a", "x", "opaque") for column in columns}


@pytest.mark.parametrize(
    "make",
    [
        lambda a: {"frame": a},
        lambda a: [a],
        lambda a: lambda: a,
        lambda a: pd.DataFrame({"frames": [a]}),
        lambda a: np.array([a, None], dtype=object),
        lambda a: pl.Series([a], dtype=pl.Object),
        lambda a: pl.DataFrame({"o": pl.Series([a], dtype=pl.Object)}),
        lambda a: type("Model", (), {"seen": a})(),
    ],
)
def test_what_may_hold_a_frame_unread_depends_on_all_of_it(make: Any) -> None:
    edges, _ = traced(make, a=pl.DataFrame({"x": [1], "y": [2]}))
    assert {(column, kind) for _, _, column, kind in edges} == {("x", "opaque"), ("y", "opaque")}


def test_frames_made_of_constants_depend_on_nothing() -> None:
    edges, why = traced(lambda a: pl.DataFrame({"c": [1]}).join(pl.DataFrame({"c": [1], "d": [2]}), on="c"), a=pl.DataFrame({"x": [1]}))
    assert (edges, why) == (set(), [])


def test_sql_is_read_like_any_plan() -> None:
    a = pl.DataFrame({"k": [1, 2], "x": [3, 4], "g": ["p", "q"]})
    b = pl.DataFrame({"k": [1, 2], "n": ["one", "two"]})
    query = "select b.n, avg(a.x) as m from a join b on a.k = b.k where a.g <> 'z' group by b.n"
    for one, two in ((a, b), (a.lazy(), b.lazy())):
        edges, _ = traced(lambda a, b: pl.SQLContext(a=a, b=b).execute(query), a=one, b=two)
        assert {edge for edge in edges if edge[3] == "direct"} == {("n", "b", "n", "direct"), ("m", "a", "x", "direct")}
        assert {(source, column) for _, source, column, kind in edges if kind == "indirect"} >= {
            ("a", "k"),
            ("b", "k"),
            ("a", "g"),
            ("b", "n"),
        }
        assert {kind for *_, kind in edges} == {"direct", "indirect"}


def test_files_scanned_by_a_plan_are_inputs_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "b.parquet"
    pl.DataFrame({"k": [1], "n": ["one"]}).write_parquet(path)
    edges, _ = traced(lambda a: a.join(pl.scan_parquet(path), on="k").collect(), a=pl.LazyFrame({"k": [1], "x": [2]}))
    assert ("n", f"file:{path}", "n", "direct") in edges
    assert {column for output, source, column, kind in edges if source == "a" and output == "x"} == {"x", "k"}


def test_a_leaf_that_cannot_be_read_depends_on_everything(tmp_path: Path) -> None:
    path = tmp_path / "b.arrow"
    pl.DataFrame({"k": [1], "n": ["one"]}).write_ipc(path)
    edges, why = traced(lambda a: pl.scan_ipc(path), a=pl.LazyFrame({"x": [1], "y": [2]}))
    assert edges == {(output, "a", column, "opaque") for output in "kn" for column in "xy"}
    assert len(why) == 1 and why[0].startswith("not readable: ")


def test_a_polars_that_was_not_tested_gives_all_to_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pl, "__version__", "3.0.0")
    tracker = Tracker()
    table = tracker.track("a", pl.DataFrame({"x": [1], "y": [2]}))
    with tracker:
        out = table.select("x")
    edges, why = tracker.edges({"return": out}, {"a": Value("", "polars.DataFrame", {"x": "Int64", "y": "Int64"})})
    assert [(e.input_column, e.kind) for e in edges] == [("x", "opaque"), ("y", "opaque")]
    assert why == ["polars 3.0.0 is not among the versions whose plans were tested"]


def test_a_plan_version_that_was_not_tested_gives_all_to_all(monkeypatch: pytest.MonkeyPatch) -> None:
    from mlstudio_lab.data.lineage import plan

    monkeypatch.setattr(plan, "TESTED", frozenset({(99, 0)}))
    edges, why = traced(lambda a: a.select("x").collect(), a=pl.LazyFrame({"x": [1], "y": [2]}))
    assert edges == {("x", "a", "x", "opaque"), ("x", "a", "y", "opaque")}
    assert len(why) == 1 and "untested" in why[0]


def test_a_failing_plan_raises_what_it_would_raise() -> None:
    table = pl.DataFrame({"x": [1]})
    with pytest.raises(pl.exceptions.ColumnNotFoundError) as native:
        table.lazy().select("nope").collect()
    tracker = Tracker()
    followed = tracker.track("a", table)
    with tracker, pytest.raises(pl.exceptions.ColumnNotFoundError) as seen:
        followed.lazy().select("nope").collect()
    assert str(seen.value) == str(native.value)
    with tracker, pytest.raises(AttributeError):
        followed.nope()


def test_a_warning_comes_once_and_points_at_the_persons_line() -> None:
    table = pl.DataFrame({"k": [1, 2], "t": [date(2024, 1, 1), date(2024, 1, 2)]})
    tracker = Tracker()
    followed = tracker.track("a", table.lazy())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with tracker:
            out = followed.join_asof(followed, on="t", by="k").collect()
        tracker.edges({"return": out}, {})
    assert [Path(warning.filename) for warning in caught] == [Path(__file__)]


def test_deep_plans_and_long_expressions_are_read() -> None:
    def deep(a: Any) -> Any:
        for _ in range(400):
            a = a.with_columns(x=c("x") + 1)
        return a.select(s=pl.sum_horizontal("x"), t=sum((c("x") for _ in range(700)), pl.lit(0)))

    edges, why = traced(deep, a=pl.LazyFrame({"x": [1], "y": [2]}))
    assert edges == {("s", "a", "x", "direct"), ("t", "a", "x", "direct")}
    assert why == []


def test_a_callback_that_collects_while_a_plan_is_resolved_is_seen() -> None:
    def code(a: Any, far: Any) -> Any:
        return a.pipe_with_schema(lambda plan, schema: plan.head(far.select(c("x").max()).collect().item()))

    edges, _ = traced(code, a=pl.LazyFrame({"k": [1]}), far=pl.LazyFrame({"x": [1], "y": [2]}))
    assert edges == {("k", "a", "k", "direct"), ("k", "far", "x", "opaque")}
    edges, _ = traced(lambda a, far: code(a, far).collect(), a=pl.LazyFrame({"k": [1]}), far=pl.LazyFrame({"x": [1], "y": [2]}))
    assert edges == {("k", "a", "k", "direct"), ("k", "far", "x", "opaque")}


def test_all_to_all() -> None:
    assert edges_all_to_all({"out": ["p", "q"], "model": None}, {"a": ["x"], "n": None}) == [
        Edge("out", "p", "a", "x", "opaque"), Edge("out", "p", "n", "", "opaque"),
        Edge("out", "q", "a", "x", "opaque"), Edge("out", "q", "n", "", "opaque"),
        Edge("model", "", "a", "x", "opaque"), Edge("model", "", "n", "", "opaque"),
    ]  # fmt: skip


def test_arrow_tables_keep_their_columns() -> None:
    edges, _ = traced(lambda a: pa.table({"n": a["x"].to_arrow()}), a=pl.DataFrame({"x": [1], "y": [2]}))
    assert edges == {("n", "a", "x", "opaque")}
