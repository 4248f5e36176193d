"""Plan shapes with their true column edges.

An edge is written as a mark and a column of `a` or `b`: `=` identity, `~` transformation, `+` aggregation, `?` opaque,
`f:` filter, `j:` join, `g:` group by, `s:` sort, `w:` window, `c:` conditional. `*` lists what every column also depends on.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

import polars as pl
import polars.selectors as cs

c = pl.col


def frame_a() -> pl.DataFrame:
    return pl.DataFrame(
        {
            "k": [1, 2, 3, 4, 5],
            "x": [1.0, 2.0, 3.0, None, 5.0],
            "y": [3, 2, 1, 5, 4],
            "g": ["p", "q", "p", "q", "p"],
            "t": [date(2024, 1, day) for day in (1, 2, 3, 4, 5)],
        }
    )


def frame_b() -> pl.DataFrame:
    return pl.DataFrame({"k": [1, 2, 9], "x": [1.5, 2.5, 9.5], "z": [7, 8, 9], "t": [date(2024, 1, day) for day in (1, 3, 5)]})


Shape = Callable[[Any, Any], Any]
KXYGT = {"k": "=a.k", "x": "=a.x", "y": "=a.y", "g": "=a.g", "t": "=a.t"}
B_AFTER_A = {"x_right": "=b.x", "z": "=b.z", "t_right": "=b.t"}

SHAPES: dict[str, tuple[Shape, dict[str, str]]] = {
    "select": (lambda a, b: a.select("x", c("y").alias("q")), {"x": "=a.x", "q": "=a.y"}),
    "literal": (lambda a, b: a.select("k", one=pl.lit(1)), {"k": "=a.k", "one": ""}),
    "with_columns": (lambda a, b: a.select("k").with_columns(c("k") * 2, d=c("k") + 1), {"k": "~a.k", "d": "~a.k"}),
    "overwrite": (lambda a, b: a.select("x", "y").with_columns(x=c("y")), {"x": "=a.y", "y": "=a.y"}),
    "swap": (lambda a, b: a.select("x", "y").rename({"x": "y", "y": "x"}), {"y": "=a.x", "x": "=a.y"}),
    "cast": (lambda a, b: a.select(c("k").cast(pl.Float64)), {"k": "~a.k"}),
    "selector": (lambda a, b: a.select(cs.numeric() + 1), {"k": "~a.k", "x": "~a.x", "y": "~a.y"}),
    "regex": (lambda a, b: a.select(c("^[xy]$")), {"x": "=a.x", "y": "=a.y"}),
    "nth": (lambda a, b: a.select(pl.nth(1)), {"x": "=a.x"}),
    "drop": (lambda a, b: a.drop("t", "g"), {"k": "=a.k", "x": "=a.x", "y": "=a.y"}),
    "filter": (lambda a, b: a.filter(c("y") > 1).select("k"), {"k": "=a.k", "*": "f:a.y"}),
    "filter_two": (lambda a, b: a.filter(c("y") > 1, c("g") == "p").select("k"), {"k": "=a.k", "*": "f:a.y f:a.g"}),
    "filter_aggregate": (lambda a, b: a.filter(c("y") > c("x").mean()).select("k"), {"k": "=a.k", "*": "f:a.x f:a.y"}),
    "filter_derived": (lambda a, b: a.with_columns(h=c("x") + c("y")).filter(c("h") > 3).select("k"), {"k": "=a.k", "*": "f:a.x f:a.y"}),
    "drop_nulls": (lambda a, b: a.select("k", "x").drop_nulls("x"), {"k": "=a.k", "x": "=a.x", "*": "f:a.x"}),
    "slice": (lambda a, b: a.slice(1, 2).select("k"), {"k": "=a.k"}),
    "head_tail": (lambda a, b: a.head(4).tail(2).select("k"), {"k": "=a.k"}),
    "sort": (lambda a, b: a.sort("y", c("x") * -1).select("k"), {"k": "=a.k", "*": "s:a.x s:a.y"}),
    "top_k": (lambda a, b: a.top_k(2, by="y").select("k"), {"k": "=a.k", "*": "s:a.y"}),
    "reverse": (lambda a, b: a.select("k").reverse(), {"k": "=a.k"}),
    "shift": (lambda a, b: a.select("k").shift(1), {"k": "~a.k"}),
    "unique": (lambda a, b: a.unique("g", keep="first", maintain_order=True).select("k"), {"k": "=a.k", "*": "g:a.g"}),
    "unique_all": (lambda a, b: a.select("g", "k").unique(), {"g": "=a.g", "k": "=a.k", "*": "g:a.g g:a.k"}),
    "row_index": (lambda a, b: a.select("k").with_row_index("i"), {"i": "", "k": "=a.k"}),
    "set_sorted": (lambda a, b: a.select("k").set_sorted("k"), {"k": "=a.k"}),
    "aggregate": (lambda a, b: a.select(c("x").sum(), n=pl.len()), {"x": "+a.x", "n": ""}),
    "aggregate_filtered": (lambda a, b: a.filter(c("y") > 1).select(n=pl.len()), {"n": "", "*": "f:a.y"}),
    "quantile": (lambda a, b: a.select(c("x").quantile(0.5)), {"x": "+a.x"}),
    "corr": (lambda a, b: a.select(r=pl.corr("x", "y")), {"r": "+a.x +a.y"}),
    "min_by": (lambda a, b: a.select(c("x").min_by("y")), {"x": "+a.x s:a.y"}),
    "group_by": (
        lambda a, b: a.group_by("g").agg(c("x").sum(), c("y").max().alias("m"), n=pl.len()),
        {"g": "=a.g", "x": "+a.x", "m": "+a.y", "n": "", "*": "g:a.g"},
    ),
    "group_by_expression": (
        lambda a, b: a.group_by(h=c("k") % 2).agg(c("x").mean()),
        {"h": "~a.k", "x": "+a.x", "*": "g:a.k"},
    ),
    "group_by_inside": (
        lambda a, b: a.group_by("g").agg(
            f=c("x").filter(c("y") > 1).sum(), s=c("x").sort_by("y").first(), w=pl.when(c("y") > 2).then("x").sum()
        ),
        {"g": "=a.g", "f": "+a.x f:a.y", "s": "+a.x s:a.y", "w": "+a.x c:a.y", "*": "g:a.g"},
    ),
    "group_by_lists": (lambda a, b: a.group_by("g").agg("x").explode("x"), {"g": "=a.g", "x": "=a.x", "*": "g:a.g"}),
    "group_by_head": (lambda a, b: a.select("g", "x").group_by("g").head(1), {"g": "=a.g", "x": "=a.x", "*": "g:a.g"}),
    "having": (
        lambda a, b: a.group_by("g").having(c("y").sum() > 1).agg(c("x").sum()),
        {"g": "=a.g", "x": "+a.x", "*": "g:a.g f:a.y"},
    ),
    "group_by_dynamic": (
        lambda a, b: a.sort("t").group_by_dynamic("t", every="2d", group_by="g").agg(c("x").sum()),
        {"g": "=a.g", "t": "~a.t", "x": "+a.x", "*": "s:a.t g:a.t g:a.g"},
    ),
    "rolling": (lambda a, b: a.rolling("t", period="2d").agg(c("x").sum()), {"t": "=a.t", "x": "+a.x", "*": "g:a.t"}),
    "rolling_expression": (
        lambda a, b: a.select(c("x").rolling_mean(2), r=c("x").sum().rolling("t", period="2d"), m=c("x").rolling_mean_by("t", "2d")),
        {"x": "~a.x", "r": "+a.x w:a.t", "m": "~a.x w:a.t"},
    ),
    "pivot": (
        lambda a, b: a.pivot("g", on_columns=["p", "q"], index="k", values="x"),
        {"k": "=a.k", "p": "+a.x f:a.g", "q": "+a.x f:a.g", "*": "g:a.k"},
    ),
    "over": (lambda a, b: a.select("k", s=c("x").sum().over("g")), {"k": "=a.k", "s": "+a.x w:a.g"}),
    "over_ordered": (
        lambda a, b: a.select(r=c("x").rank().over("g", order_by="y"), l=c("x").shift(1).over(c("k") % 2)),
        {"r": "~a.x w:a.g w:a.y", "l": "~a.x w:a.k"},
    ),
    "over_then_filter": (
        lambda a, b: a.with_columns(r=c("x").rank().over("g")).filter(c("r") == 1).select("k"),
        {"k": "=a.k", "*": "f:a.x f:a.g w:a.g"},
    ),
    "when": (
        lambda a, b: a.select(w=pl.when(c("x") > 1).then("y").otherwise("k")),
        {"w": "~a.y ~a.k c:a.x"},
    ),
    "when_chain": (
        lambda a, b: a.select(w=pl.when(c("x") > 1).then(1).when(c("g") == "p").then("k").otherwise(None)),
        {"w": "~a.k c:a.x c:a.g"},
    ),
    "list_sum": (lambda a, b: a.select("k", s=pl.concat_list("x", "y").list.sum()), {"k": "=a.k", "s": "~a.x ~a.y"}),
    "coalesce": (lambda a, b: a.select(q=pl.coalesce("x", "y")), {"q": "~a.x ~a.y"}),
    "horizontal": (lambda a, b: a.select(q=pl.sum_horizontal("x", "y", "k")), {"q": "~a.x ~a.y ~a.k"}),
    "is_in": (lambda a, b: a.filter(c("k").is_in([1, 2])).select("x"), {"x": "=a.x", "*": "f:a.k"}),
    "replace": (lambda a, b: a.select(c("g").replace_strict({"p": 1, "q": 2})), {"g": "~a.g"}),
    "strings": (lambda a, b: a.select(s=pl.concat_str(c("g").str.to_uppercase(), "k")), {"s": "~a.g ~a.k"}),
    "dates": (lambda a, b: a.select(m=c("t").dt.month()), {"m": "~a.t"}),
    "filter_in_select": (lambda a, b: a.select(c("x").filter(c("y") > 2)), {"x": "=a.x f:a.y"}),
    "length_from_a_filter": (
        lambda a, b: a.select(pl.lit(1).alias("one"), c("x").filter(c("y") > 2)),
        {"one": "", "x": "=a.x", "*": "f:a.y"},
    ),
    "sort_by_in_select": (lambda a, b: a.select("g", c("x").sort_by("y")), {"g": "=a.g", "x": "=a.x s:a.y"}),
    "gather_in_select": (lambda a, b: a.select(c("x").gather(c("y") % 2)), {"x": "=a.x f:a.y"}),
    "struct": (lambda a, b: a.select(s=pl.struct("x", "y")), {"s": "~a.x ~a.y"}),
    "struct_field": (
        lambda a, b: a.select(s=pl.struct(c("x").alias("p"), c("y") + 1)).select(c("s").struct.field("p"), q=c("s").struct.field("y")),
        {"p": "=a.x", "q": "~a.y"},
    ),
    "struct_unnest": (lambda a, b: a.select("k", s=pl.struct("x", "y")).unnest("s"), {"k": "=a.k", "x": "=a.x", "y": "=a.y"}),
    "struct_rename": (
        lambda a, b: a.select(s=pl.struct("x", "y").struct.rename_fields(["m", "n"])).unnest("s"),
        {"m": "=a.x", "n": "=a.y"},
    ),
    "unpivot": (
        lambda a, b: a.unpivot(["x", "y"], index="k"),
        {"k": "=a.k", "variable": "", "value": "~a.x ~a.y"},
    ),
    "explode": (
        lambda a, b: a.select("k", l=pl.concat_list("x", "y")).explode("l"),
        {"k": "=a.k", "l": "~a.x ~a.y", "*": "f:a.x f:a.y"},
    ),
    "implode_explode": (lambda a, b: a.select(c("x").implode()).explode("x"), {"x": "=a.x"}),
    "join_inner": (
        lambda a, b: a.join(b, on="k").select("x", "x_right", "k", "z"),
        {"x": "=a.x", "x_right": "=b.x", "k": "=a.k", "z": "=b.z", "*": "j:a.k j:b.k"},
    ),
    "join_left": (lambda a, b: a.join(b, on="k", how="left"), {**KXYGT, **B_AFTER_A, "*": "j:a.k j:b.k"}),
    "join_right": (
        lambda a, b: a.join(b, on="k", how="right"),
        {**{n: e for n, e in KXYGT.items() if n != "k"}, **B_AFTER_A, "k": "=b.k", "*": "j:a.k j:b.k"},
    ),
    "join_full": (lambda a, b: a.join(b, on="k", how="full"), {**KXYGT, **B_AFTER_A, "k_right": "=b.k", "*": "j:a.k j:b.k"}),
    "join_full_coalesce": (
        lambda a, b: a.join(b, on="k", how="full", coalesce=True).select("k", "z"),
        {"k": "~a.k ~b.k", "z": "=b.z", "*": "j:a.k j:b.k"},
    ),
    "join_semi": (lambda a, b: a.join(b, on="k", how="semi").select("x"), {"x": "=a.x", "*": "j:a.k j:b.k"}),
    "join_anti": (lambda a, b: a.join(b, on="k", how="anti").select("x"), {"x": "=a.x", "*": "j:a.k j:b.k"}),
    "join_cross": (lambda a, b: a.join(b, how="cross").select("x", "z"), {"x": "=a.x", "z": "=b.z"}),
    "join_different_keys": (
        lambda a, b: a.join(b, left_on="y", right_on=c("z") - 4).select("k", "z", "k_right"),
        {"k": "=a.k", "z": "=b.z", "k_right": "=b.k", "*": "j:a.y j:b.z"},
    ),
    "join_suffix": (lambda a, b: a.join(b, on="k", suffix="_b").select("x_b"), {"x_b": "=b.x", "*": "j:a.k j:b.k"}),
    "join_keep_keys": (
        lambda a, b: a.join(b, on="k", coalesce=False).select("k", "k_right"),
        {"k": "=a.k", "k_right": "=b.k", "*": "j:a.k j:b.k"},
    ),
    "join_asof": (
        lambda a, b: a.join_asof(b, on="t", by="k").select("k", "t", "z"),
        {"k": "=a.k", "t": "=a.t", "z": "=b.z", "*": "j:a.k j:a.t j:b.k j:b.t"},
    ),
    "join_where": (
        lambda a, b: a.join_where(b, c("y") < c("z")).select("x", "z"),
        {"x": "=a.x", "z": "=b.z", "*": "f:a.y f:b.z"},
    ),
    "join_self": (
        lambda a, b: a.join(a.group_by("g").agg(m=c("x").mean()), on="g").select("k", "m"),
        {"k": "=a.k", "m": "+a.x", "*": "j:a.g g:a.g"},
    ),
    "concat": (lambda a, b: pl.concat([a.select("k", "x"), b.select("k", "x")]), {"k": "=a.k =b.k", "x": "=a.x =b.x"}),
    "concat_horizontal": (
        lambda a, b: pl.concat([a.select("k"), b.head(5).select("z")], how="horizontal_extend"),
        {"k": "=a.k", "z": "=b.z"},
    ),
    "concat_diagonal": (
        lambda a, b: pl.concat([a.select("k", "g"), b.select("k", "z")], how="diagonal"),
        {"k": "=a.k =b.k", "g": "=a.g", "z": "=b.z"},
    ),
    "concat_filtered": (
        lambda a, b: pl.concat([a.filter(c("y") > 1).select("k"), b.select("k")]),
        {"k": "=a.k =b.k", "*": "f:a.y"},
    ),
    "merge_sorted": (
        lambda a, b: a.select("k", "x").merge_sorted(b.select("k", "x"), "k"),
        {"k": "=a.k =b.k", "x": "=a.x =b.x", "*": "s:a.k s:b.k"},
    ),
    "fill_null": (lambda a, b: a.select(c("x").fill_null(c("y"))), {"x": "~a.x ~a.y"}),
    "cumulative": (lambda a, b: a.sort("t").select(c("x").cum_sum()), {"x": "~a.x", "*": "s:a.t"}),
    "constant_frame": (
        lambda a, b: a.lazy().join(pl.LazyFrame({"k": [1], "n": ["one"]}), on="k").select("n", "x"),
        {"n": "", "x": "=a.x", "*": "j:a.k"},
    ),
}


def _mark(text: str) -> tuple[str, str, str, str]:
    kinds = {
        "=": ("direct", "IDENTITY"), "~": ("direct", "TRANSFORMATION"), "+": ("direct", "AGGREGATION"), "?": ("opaque", ""),
        "f:": ("indirect", "FILTER"), "j:": ("indirect", "JOIN"), "g:": ("indirect", "GROUP_BY"), "s:": ("indirect", "SORT"),
        "w:": ("indirect", "WINDOW"), "c:": ("indirect", "CONDITIONAL"),
    }  # fmt: skip
    sign = text[:2] if text[1] == ":" else text[0]
    source, _, column = text[len(sign) :].partition(".")
    return (source, column, *kinds[sign])


def expected(edges: dict[str, str]) -> set[tuple[str, str, str, str, str]]:
    """(output column, input, input column, kind, subtype) of a shape's table."""
    rows = edges.get("*", "")
    return {(column, *_mark(text)) for column, own in edges.items() if column != "*" for text in f"{own} {rows}".split()}
