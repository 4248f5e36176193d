"""Content digests: different things differ, equal things agree in every process."""

from __future__ import annotations

import collections
import datetime as dt
import functools
import itertools
import json
import math
import os
import re
import subprocess
import sys
import threading
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse
from data_made import frames, values
from data_people import Bag, Colour, Fixed, Guarded, Pair, People, Point, Shelf, Slotted, double, make
from hypothesis import given, settings
from sklearn.linear_model import LinearRegression
from sklearn.tree import DecisionTreeRegressor

from mlstudio_lab.core.errors import CannotCross
from mlstudio_lab.data.code_refs import NoCode
from mlstudio_lab.data.content import digest_value, digest_values
from mlstudio_lab.data.moment import one_moment

CODE = NoCode()
GOLDEN = Path(__file__).parents[1] / "golden" / "content.json"


def digest(value: object) -> str:
    return digest_value(value, CODE)


def shared() -> list[list[int]]:
    inner = [1, "a"]
    return [inner, inner]


def frame(**columns: object) -> pd.DataFrame:
    return pd.DataFrame(columns)


FAMILIES = {
    "one": [1, 1.0, True, "1", b"1", np.int64(1), np.int32(1), np.float64(1), Decimal(1), 1 + 0j, [1], (1,), {1}, frozenset({1}), {1: 1}],
    "zero": [0, 0.0, -0.0, False, None, "", b"", [], (), {}, set(), frozenset(), bytearray(), ...],
    "big integers": [2**31 - 1, 2**31, 2**63, 2**64, -(2**64), 10**100],
    "text": ["ab", "a\0b", "b", "ä", "a\u0308", "\ud800"],
    "framing": [["ab", "c"], ["a", "bc"], ["abc"], [["ab"], "c"], ["ab", ["c"]], [["ab", "c"]]],
    "tuples": [(1, 2), Pair(1, 2), [1, 2], Point(1, 2)],
    "dict order": [{"a": 1, "b": 2}, {"b": 2, "a": 1}, {"a": 1, "b": 2, "c": None}],
    "dict kinds": [{"a": 1}, collections.OrderedDict(a=1), collections.defaultdict(int, a=1), collections.Counter(a=1), Bag(a=1)],
    "sharing": [shared(), [[1, "a"], [1, "a"]]],
    "depth": [[[[[[[1]]]]]], [[[[[[2]]]]]], [[[[[1]]]]]],
    "dtype": [np.array([1, 2], t) for t in ("i1", "i2", "i4", "i8", "u8", "f4", "f8", "c16", ">i8", "M8[s]", "M8[ns]", "m8[s]", "U1", "S1", "O", "?")],
    "shape": [np.zeros(s) for s in ((6,), (2, 3), (3, 2), (1, 6), (6, 1), (0,), (0, 3), (3, 0), ())],
    "layout": [np.ones((2, 3)), np.asfortranarray(np.ones((2, 3))), np.ones((2, 3, 4)), np.ones((4, 2, 3)).transpose(1, 2, 0)],
    "array values": [np.array([0.0]), np.array([-0.0]), np.array([math.nan]), np.array([1.0])],
    "object arrays": [np.array(x, dtype=object) for x in (["a", 1], ["a", 1.0], ["a", True], [1, "a"], ["a", [1]], ["a", None])],
    "structured": [np.zeros(2, [("a", "i4"), ("b", "f8")]), np.zeros(2, [("b", "i4"), ("a", "f8")]), np.zeros(2, np.dtype([("a", "i4"), ("b", "f8")], align=True))],
    "pandas values": [frame(a=[1, 2]), frame(a=[2, 1]), frame(a=[1.0, 2.0]), frame(b=[1, 2]), frame(a=["1", "2"]), frame(a=[True, False])],
    "pandas index": [pd.DataFrame({"a": [1, 2]}, index=i) for i in ([0, 1], [1, 0], ["0", "1"], pd.RangeIndex(2, name="i"), [0.0, 1.0])] + [frame(a=[1, 2])],
    "pandas columns": [frame(a=[1], b=[1]), frame(b=[1], a=[1]), frame(a=[1]), pd.DataFrame([[1, 1]], columns=["a", "a"]), pd.DataFrame({0: [1], "b": [1]})],
    "pandas categories": [
        pd.Series(pd.Categorical(["a", "b"], categories=c, ordered=o)) for c in (["a", "b"], ["b", "a"], ["a", "b", "c"]) for o in (True, False)
    ],
    "pandas strings": [pd.Series(["a", None], dtype=t) for t in ("str", "object", "string", pd.ArrowDtype(pa.string()), "category")],
    "pandas names": [pd.Series([1], name=n) for n in ("a", "b", None, 0, ("a", 1))],
    "pandas attributes": [frame(a=[1]), frame(a=[1]).assign().pipe(lambda d: d.attrs.update(x=1) or d), frame(a=[1]).set_flags(allows_duplicate_labels=False)],
    "pandas zones": [pd.Series(pd.to_datetime(["2020-01-01"]).tz_localize(z)) for z in (None, "UTC", "Europe/Oslo")],
    "masked": [pd.Series([1, None], dtype="Int64"), pd.Series([1, 0], dtype="Int64"), pd.Series([1, None], dtype="float64")],
    "polars": [
        pl.DataFrame({"a": [1, 2]}), pl.DataFrame({"a": [2, 1]}), pl.DataFrame({"b": [1, 2]}), pl.DataFrame({"a": [1.0, 2.0]}), pl.DataFrame({"a": ["1", "2"]}),
        pl.DataFrame({"a": [1, None]}), pl.DataFrame({"a": [None, 1]}), pl.DataFrame({"a": [1, 0]}), pl.DataFrame({"a": [None, None]}),
        pl.DataFrame({"a": [1, 2]}).lazy(), pl.Series("a", [1, 2]), pl.Series("b", [1, 2]),
    ],
    "polars empty": [
        pl.DataFrame(), pl.DataFrame({"a": []}), pl.DataFrame(schema={"a": pl.Int8}), pl.DataFrame(schema={"b": pl.Int8}), pl.DataFrame(schema={"a": pl.Int16}),
        pl.DataFrame(schema={"a": pl.List(pl.Int8)}), pl.DataFrame(schema={"a": pl.List(pl.Int16)}), pl.DataFrame(schema={"a": pl.Struct({"x": pl.Int8})}),
    ],
    "polars kinds": [pl.Series(["a", "b"], dtype=t) for t in (pl.String, pl.Categorical, pl.Enum(["a", "b"]), pl.Enum(["b", "a"]), pl.Enum(["a", "b", "c"]))],
    "polars nested": [pl.Series("x", v) for v in ([[1], [2]], [[1, 2], []], [[], [1, 2]], [[1, 2], None], [[1], [None]], [None, [1, 2]])],
    "polars units": [pl.Series([dt.datetime(2020, 1, 1)]).cast(pl.Datetime(u, z)) for u in ("ms", "us") for z in (None, "UTC")],
    "arrow": [pa.table({"a": [1]}), pa.table({"a": pa.array([1], pa.int8())}), pa.table({"a": [1]}, metadata={"k": "v"}), pa.array([1]), pa.chunked_array([[1]]), pa.scalar(1)],
    "sparse": [scipy.sparse.csr_array([[1, 0]]), scipy.sparse.csc_array([[1, 0]]), scipy.sparse.csr_matrix([[1, 0]]), scipy.sparse.csr_array([[0, 1]]), scipy.sparse.coo_array([[1, 0]])],
    "times": [dt.date(2020, 1, 1), dt.datetime(2020, 1, 1), dt.datetime(2020, 1, 1, tzinfo=dt.UTC), pd.Timestamp("2020-01-01"), np.datetime64("2020-01-01")],
    "folds": [dt.datetime(2020, 10, 25, 2, 30, fold=f) for f in (0, 1)],
    "odds": [range(3), range(0, 3, 2), slice(3), slice(0, 3), re.compile("a"), re.compile("a", re.I), Path("a"), functools.partial(int, "1"), functools.partial(int, "2")],
    "objects": [Point(1), Point(2), Point(1, 1), Fixed(1), Slotted(1), Slotted(2), Colour.RED, Colour.BLUE, Shelf([1]), [1]],
    "code": [double, int, float, len, np.mean, np.add, np.subtract, np.linalg.norm, json, math, [].append],
    "estimators": [LinearRegression(), LinearRegression(fit_intercept=False), LinearRegression().fit([[1], [2]], [1, 2]), LinearRegression().fit([[1], [2]], [1, 3])],
    "random states": [np.random.default_rng(1), np.random.default_rng(2), np.random.RandomState(1)],
}  # fmt: skip


@pytest.mark.parametrize("family", FAMILIES)
def test_different_things_differ(family: str) -> None:
    digests = [digest(value) for value in FAMILIES[family]]
    clashes = [(a, b) for (a, x), (b, y) in itertools.combinations(enumerate(digests), 2) if x == y]
    assert not clashes, clashes


def test_nothing_clashes_between_families() -> None:
    of_one = {digest(value) for value in FAMILIES["one"]}
    assert not of_one & {digest(value) for name in ("zero", "tuples", "dtype", "polars", "objects") for value in FAMILIES[name]} - {
        digest([1])
    }


@given(values)
@settings(max_examples=150, deadline=None)
def test_a_digest_is_repeatable(value: object) -> None:
    assert digest(value) == digest(value)


def test_nan_equals_itself() -> None:
    assert digest([math.nan, 1]) == digest([float("nan"), 1])
    assert digest(pd.Series([math.nan])) == digest(pd.Series([np.nan]))


def test_sets_have_no_order() -> None:
    words = [f"w{i}" for i in range(50)] + [("t", i) for i in range(50)]
    assert digest(set(words)) == digest({*words[50:], *words[:50]})
    assert digest(frozenset(words)) == digest(frozenset(reversed(words)))


def test_two_alike_objects_in_a_set_are_refused_not_guessed() -> None:
    class_free = {Slotted(1), Slotted(2)}
    assert digest(class_free)
    with pytest.raises(CannotCross):
        digest({Slotted(1), Slotted(1)})


@pytest.mark.parametrize(("rows", "cut"), [(10, 3), (1000, 77)])
def test_memory_layout_of_frames_does_not_count(rows: int, cut: int) -> None:
    whole = pl.DataFrame({
        "n": [None if i % 7 == 0 else i for i in range(rows)], "s": [f"text {i} of some length" for i in range(rows)], "b": [i % 3 == 0 for i in range(rows)],
        "l": [[i] * (i % 3) for i in range(rows)], "c": pl.Series([f"k{i % 5}" for i in range(rows)], dtype=pl.Categorical), "z": [None] * rows,
        "st": [{"x": i, "y": None if i % 2 else "y"} for i in range(rows)],
    })  # fmt: skip
    tail = whole[cut:]
    rebuilt = pl.DataFrame({name: tail[name].to_list() for name in tail.columns}, schema=tail.schema)
    chunked = pl.concat([tail[:5], tail[5:]], rechunk=False)
    assert digest(tail) == digest(rebuilt) == digest(chunked) == digest(tail.rechunk())
    table = pa.table({"n": tail["n"].to_arrow(), "s": tail["s"].to_list(), "b": tail["b"].to_list()})
    assert digest(table) == digest(pa.concat_tables([table[:4], table[4:]])) == digest(table.combine_chunks())


def test_what_lies_under_a_null_does_not_count() -> None:
    a = pl.DataFrame({"x": [1, 5, 3]}).with_columns(pl.when(pl.col("x") < 5).then(pl.col("x")))
    assert digest(a) == digest(pl.DataFrame({"x": [1, None, 3]}))
    one, two = pd.array([1, 5], dtype="Int64"), pd.array([1, 6], dtype="Int64")
    one[1] = two[1] = pd.NA
    assert digest(pd.Series(one)) == digest(pd.Series(two))


def test_block_layout_of_pandas_does_not_count() -> None:
    pieces = pd.DataFrame({"a": [1.0, 2.0]})
    pieces["b"] = [3.0, 4.0]
    assert digest(pieces) == digest(pd.DataFrame(np.array([[1.0, 3.0], [2.0, 4.0]]), columns=["a", "b"])) == digest(pieces.copy())


def test_reading_does_not_change_a_digest() -> None:
    sparse = scipy.sparse.csr_array(np.eye(3))
    frame = pd.DataFrame({"a": [1, 2, 3]}, index=["x", "y", "z"])
    before = digest(sparse), digest(frame)
    sparse.has_sorted_indices, sparse.has_canonical_format
    frame.loc["y"], frame.index.is_unique, frame.dtypes
    assert before == (digest(sparse), digest(frame))


def test_padding_of_structured_arrays_does_not_count() -> None:
    dtype = np.dtype([("a", "u1"), ("b", "f8")], align=True)
    one, two = (np.frombuffer(bytes([fill]) * dtype.itemsize, dtype).copy() for fill in (1, 2))
    for array in (one, two):
        array["a"], array["b"] = 1, 2.0
    assert digest(one) == digest(two)


def test_a_tree_is_stable() -> None:
    def fit() -> DecisionTreeRegressor:
        return DecisionTreeRegressor(random_state=0).fit([[1], [2], [3]], [1, 2, 3])

    assert digest(fit()) == digest(fit())


def test_deep_structures_do_not_crash() -> None:
    deep: object = []
    for _ in range(100_000):
        deep = [deep]
    lean: object = ()
    for _ in range(100_000):
        lean = (lean, None)
    knot: dict[int, object] = {}
    chain = Point(0)
    for _ in range(20_000):
        chain = Point(0, chain)
    found = digest_values({"deep": deep, "lean": lean, "knot": knot, "chain": chain}, CODE)
    assert len({value.digest for value in found.values()} - {""}) == 4


def test_wide_sharing_is_linear() -> None:
    knot: object = ([],)
    for _ in range(200):
        knot = (knot, knot)
    assert digest(knot)


def test_cycles_are_told_apart() -> None:
    def ring(size: int) -> list[object]:
        first: list[object] = []
        last = first
        for _ in range(size - 1):
            last.append([])
            last = last[0]  # type: ignore[assignment]
        last.append(first)
        return first

    assert len({digest(ring(n)) for n in (1, 2, 3)}) == 3
    assert digest(ring(2)) == digest(ring(2))


def test_what_names_share_counts() -> None:
    x = [1, [2]]
    together = digest_values({"x": x, "y": x}, CODE)
    apart = digest_values({"x": x, "y": [1, [2]]}, CODE)
    assert together["x"].digest == apart["x"].digest
    assert together["y"].digest != apart["y"].digest
    inner = digest_values({"x": x, "y": x[1]}, CODE)
    assert inner["y"].digest != digest([2])


def test_arrays_on_the_same_memory_count() -> None:
    a = np.arange(10.0)
    view, copy, other = a[2:5], a[2:5].copy(), np.arange(10.0)
    assert digest_values({"a": a, "b": view}, CODE)["b"].digest != digest_values({"a": a, "b": copy}, CODE)["b"].digest
    halves = digest_values({"a": a[:5], "b": a[5:]}, CODE)
    assert halves["b"].digest == digest(other[5:])
    assert digest([a, view]) != digest([a, copy])


def test_a_frame_is_recognised_wherever_it_turns_up() -> None:
    frame = pl.DataFrame({"a": [1]})
    found = digest_values({"x": frame, "y": frame, "z": frame.lazy(), "w": frame.clone()}, CODE)
    assert {value.content for value in found.values()} == {digest(frame)}
    assert found["x"].digest == found["w"].digest == digest(frame) != found["y"].digest


def test_order_of_names_does_not_count() -> None:
    x = [1]
    one, two = digest_values({"a": x, "b": x}, CODE), digest_values({"b": x, "a": x}, CODE)
    assert {k: v.digest for k, v in one.items()} == {k: v.digest for k, v in two.items()}


def test_what_cannot_be_digested_says_so_and_harms_nobody() -> None:
    x = [1]
    found = digest_values({"bad": {"k": [x, threading.Lock()]}, "good": x, "gen": (i for i in ()), "fn": make()}, CODE)
    assert [found[name].digest for name in ("bad", "gen", "fn")] == ["", "", ""]
    assert "_thread.lock" in found["bad"].summary
    assert found["good"].digest == digest(x)


def test_the_persons_code_counts() -> None:
    one, two = People(Point=Point, double=double), People(Point2=Point, double2=double)
    assert digest_value(Point(1), one) != digest_value(Point(1), two)
    assert digest_value(double, one) != digest_value(double, two)
    assert digest_value([Colour.RED], one) == digest_value([Colour.RED], two)


def test_a_cached_function_counts_as_code() -> None:
    cached = functools.lru_cache(double)
    assert digest_values({"f": cached}, CODE)["f"].digest == ""
    assert digest_value(cached, People(one=cached)) != digest_value(cached, People(two=cached))


def test_a_changed_state_that_pickling_leaves_out_does_not_count() -> None:
    assert digest(Guarded()) == digest(Guarded())


def test_a_lazy_frame_is_computed_once_in_a_moment() -> None:
    calls = []
    lazy = pl.LazyFrame({"a": [1]}).map_batches(lambda frame: calls.append(1) or frame)
    with one_moment():
        assert digest(lazy) == digest(lazy)
    assert len(calls) == 1


SCRIPT = """
import json, sys
sys.path[:0] = [sys.argv[1]]
from data_golden import SAMPLES
from mlstudio_lab.data.content import digest_value
from mlstudio_lab.data.code_refs import NoCode
print(json.dumps({name: digest_value(make(), NoCode()) for name, make in SAMPLES.items()}))
"""


def test_hash_seeds_and_processes_do_not_count() -> None:
    seen = []
    for seed in ("0", "1", "4242"):
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, str(Path(__file__).parent)],
            env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True,
        )  # fmt: skip
        seen.append(json.loads(done.stdout))
    assert seen[0] == seen[1] == seen[2] == json.loads(GOLDEN.read_text())


@given(frames)
@settings(max_examples=100, deadline=None)
def test_frames_are_digested_by_content(frame: object) -> None:
    found = digest_values({"x": frame}, CODE)["x"]
    assert len(found.digest) == 64
    assert found.schema is not None
