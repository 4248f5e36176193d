"""No output column changes when an input column changes that it does not claim, whatever the plan."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlstudio_lab.data.lineage import Tracker

c = pl.col
NUMBERS = ("k", "x", "y")

values = st.lists(st.integers(-2, 3), min_size=6, max_size=6)
numbers = st.sampled_from(NUMBERS)


def expressions() -> st.SearchStrategy[pl.Expr]:
    leaf = numbers.map(lambda n: c(n)) | st.integers(-1, 2).map(lambda n: pl.lit(n))

    def grow(inner: st.SearchStrategy[pl.Expr]) -> st.SearchStrategy[pl.Expr]:
        return st.one_of(
            st.tuples(inner, inner).map(lambda p: p[0] + p[1]),
            st.tuples(inner, inner).map(lambda p: pl.max_horizontal(p[0], p[1])),
            st.tuples(inner, inner, inner).map(lambda p: pl.when(p[0] > 0).then(p[1]).otherwise(p[2])),
            st.tuples(numbers, inner).map(lambda p: c(p[0]).sum().over(p[1])),
            st.tuples(numbers, numbers, numbers).map(lambda p: c(p[0]).max().over(p[1], c(p[2]) % 2)),
            st.tuples(numbers, numbers).map(lambda p: c(p[0]).sort_by(p[1], maintain_order=True)),
            st.tuples(numbers, numbers).map(lambda p: c(p[0]).filter(c(p[1]) > 0).sum()),
            st.tuples(numbers, numbers).map(lambda p: c(p[0]).min_by(p[1])),
            numbers.map(lambda n: c(n).rank("ordinal").cast(pl.Int64)),
            numbers.map(lambda n: c(n).cum_sum()),
            numbers.map(lambda n: c(n).is_first_distinct().cast(pl.Int64)),
            st.tuples(numbers, numbers).map(lambda p: pl.struct(p[0], p[1]).struct.field(p[1])),
            st.tuples(numbers, numbers).map(lambda p: pl.concat_list(p[0], p[1]).list.max()),
            inner.map(lambda e: (e % 2).fill_null(0)),
            inner.map(lambda e: e.map_batches(lambda s: s, return_dtype=pl.Int64)),
        )

    return st.recursive(leaf, grow, max_leaves=4)


def cast(frame: Any) -> Any:
    return frame.select(c(name).cast(pl.Int64) for name in NUMBERS)


steps = st.one_of(
    st.tuples(numbers, expressions()).map(lambda p: lambda f, b: f.with_columns(p[1].alias(p[0]))),
    expressions().map(lambda e: lambda f, b: f.filter(e > 0)),
    numbers.map(lambda n: lambda f, b: f.sort(n, maintain_order=True)),
    numbers.map(lambda n: lambda f, b: f.unique(n, keep="first", maintain_order=True)),
    numbers.map(lambda n: lambda f, b: f.drop_nulls(n)),
    st.tuples(numbers, numbers).map(lambda p: lambda f, b: f.rename({p[0]: p[1], p[1]: p[0]}) if p[0] != p[1] else f),
    st.integers(1, 4).map(lambda n: lambda f, b: f.slice(1, n)),
    st.just(lambda f, b: f.reverse()),
    st.tuples(numbers, st.sampled_from(("inner", "left", "full", "semi", "anti", "right"))).map(
        lambda p: (
            lambda f, b: cast(
                f.join(b, on=p[0], how=p[1], maintain_order="left_right", **({} if p[1] in ("semi", "anti") else {"coalesce": True}))
            )
        )
    ),
    st.tuples(numbers, expressions()).map(
        lambda p: (
            lambda f, b: cast(
                f.group_by(g=c(p[0]), maintain_order=True)
                .agg(k=p[1].sum(), x=c("x").first(), y=c("y").max())
                .select("k", "x", y=c("y") + c("g"))
            )
        )
    ),
    numbers.map(
        lambda n: (
            lambda f, b: f.group_by(n, maintain_order=True).agg(pl.all().exclude(n)).explode([m for m in NUMBERS if m != n]).select(NUMBERS)
        )
    ),
    st.just(lambda f, b: pl.concat([f, b.select(NUMBERS)])),
    st.just(lambda f, b: f.with_columns(s=pl.struct("x", y=c("y") + c("k"))).drop("x", "y").unnest("s").select(NUMBERS)),
    st.just(lambda f, b: f.unpivot(["x", "y"], index="k").select("k", x="value", y=c("variable").str.len_chars().cast(pl.Int64))),
    st.tuples(expressions(), expressions()).map(
        lambda p: lambda f, b: f.select(k=p[0], x=p[1].filter(c("y") > 0), y=pl.lit(1)).select(cast_all())
    ),
    st.just(lambda f, b: f.collect().lazy() if isinstance(f, pl.LazyFrame) else f.lazy().collect()),
    st.just(lambda f, b: f.filter(c("x") > (f.lazy().select(c("y").max()).collect().item() or 0))),
)


def cast_all() -> list[pl.Expr]:
    return [c(name).cast(pl.Int64) for name in NUMBERS]


def result(plan: list[Any], a: pl.DataFrame, b: pl.DataFrame, lazy: bool, tracker: Tracker | None) -> Any:
    left, right = (a.lazy(), b.lazy()) if lazy else (a.clone(), b.clone())
    if tracker is not None:
        left, right = tracker.track("a", left), tracker.track("b", right)
    frame = left
    for step in plan:
        frame = step(frame, right)
        right = right.lazy() if isinstance(frame, pl.LazyFrame) else right.lazy().collect()
    return frame


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(steps, min_size=1, max_size=5), st.tuples(values, values, values), st.tuples(values, values, values), st.booleans(),
    st.tuples(values, values),
)  # fmt: skip
def test_every_change_was_claimed(plan: list[Any], a: tuple[Any, ...], b: tuple[Any, ...], lazy: bool, changes: tuple[Any, ...]) -> None:
    inputs = {name: pl.DataFrame(dict(zip(NUMBERS, data, strict=True))) for name, data in (("a", a), ("b", b))}
    tracker = Tracker()
    try:
        with tracker:
            traced = result(plan, inputs["a"], inputs["b"], lazy, tracker)
            before = traced.lazy().collect()
    except pl.exceptions.PolarsError:
        return
    edges, _ = tracker.edges({"return": traced}, {})
    native = result(plan, inputs["a"], inputs["b"], lazy, None).lazy().collect()
    assert before.equals(native)
    claimed = {(edge.output_column, edge.input, edge.input_column) for edge in edges}
    assert {column for column, *_ in claimed} <= set(before.columns)
    for source in inputs:
        for column in NUMBERS:
            for change in changes:
                changed = {**inputs, source: inputs[source].with_columns(pl.Series(column, change))}
                try:
                    after = result(plan, changed["a"], changed["b"], lazy, None).lazy().collect()
                except pl.exceptions.PolarsError:
                    continue
                for name in before.columns:
                    if not before[name].equals(after[name]):
                        assert (name, source, column) in claimed
