"""Hypothesis strategies for values people keep in notebooks."""

from __future__ import annotations

import datetime
import pathlib

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
from data_people import Colour, Fixed, Pair, Point, Slotted
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

texts = st.text(max_size=6)
hashable_scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), texts, st.binary(max_size=6), st.sampled_from(Colour),
    st.dates(), st.datetimes(), st.timedeltas(), st.decimals(allow_nan=False), st.fractions(), st.uuids(),
    st.builds(datetime.timezone, st.integers(-10, 10).map(lambda h: datetime.timedelta(hours=h))),
    texts.map(lambda t: pathlib.PurePosixPath("x") / t.replace("\0", "")),
    st.integers(0, 9).map(range), st.builds(Fixed, st.integers()),
)  # fmt: skip
scalars = st.one_of(hashable_scalars, st.floats(), st.complex_numbers(), st.builds(bytearray, st.binary(max_size=6)))

arrays = st.one_of(
    hnp.arrays(
        st.one_of(hnp.scalar_dtypes(), hnp.unicode_string_dtypes(max_len=3), hnp.array_dtypes(max_size=3)),
        hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
    ),
    hnp.arrays(np.dtype(object), st.integers(0, 4), elements=st.one_of(st.none(), texts, st.floats())),
    st.integers(0, 20).map(lambda n: np.asfortranarray(np.arange(2 * n).reshape(2, n))),
)

_columns = {
    "i8": (pl.Int8, st.integers(-9, 9)), "f": (pl.Float64, st.floats()), "s": (pl.String, texts), "b": (pl.Boolean, st.booleans()),
    "bin": (pl.Binary, st.binary(max_size=4)), "cat": (pl.Categorical, st.sampled_from("xyz")), "enum": (pl.Enum(["z", "y", "x"]), st.sampled_from("xyz")),
    "d": (pl.Date, st.dates()), "t": (pl.Datetime("ms", "Europe/Oslo"), st.none()), "u": (pl.Datetime("us"), st.datetimes()),
    "dur": (pl.Duration("ms"), st.timedeltas(datetime.timedelta(-9), datetime.timedelta(9)).map(lambda d: d - d % datetime.timedelta(milliseconds=1))),
    "list": (pl.List(pl.Int32), st.lists(st.one_of(st.none(), st.integers(-9, 9)), max_size=3)),
    "arr": (pl.Array(pl.Int16, 2), st.lists(st.integers(0, 9), min_size=2, max_size=2)),
    "struct": (pl.Struct({"p": pl.Int64, "q": pl.List(pl.String)}), st.fixed_dictionaries({"p": st.integers(0, 9), "q": st.lists(texts, max_size=2)})),
    "null": (pl.Null, st.none()), "dec": (pl.Decimal(20, 2), st.decimals(-99, 99, places=2)), "i128": (pl.Int128, st.integers(-9, 9)),
}  # fmt: skip


@st.composite
def polars_frames(draw: st.DrawFn) -> pl.DataFrame:
    names = draw(st.lists(st.sampled_from(sorted(_columns)), unique=True, max_size=5))
    rows = draw(st.integers(0, 5))
    columns = []
    for name in names:
        dtype, cells = _columns[name]
        columns.append(pl.Series(name, draw(st.lists(st.one_of(st.none(), cells), min_size=rows, max_size=rows)), dtype=dtype))
    return pl.DataFrame(columns)


@st.composite
def pandas_frames(draw: st.DrawFn) -> pd.DataFrame:
    rows = draw(st.integers(0, 5))

    def column(cells: st.SearchStrategy, **how: object) -> pd.Series:
        return pd.Series(draw(st.lists(cells, min_size=rows, max_size=rows)), **how)

    makers = {
        "int": lambda: column(st.integers(-9, 9), dtype="int64"),
        "float": lambda: column(st.floats(), dtype="float64"),
        "text": lambda: column(st.one_of(st.none(), texts), dtype="str"),
        "object": lambda: column(st.one_of(st.none(), texts, st.integers()), dtype=object),
        "masked": lambda: column(st.one_of(st.none(), st.integers(-9, 9)), dtype="Int64"),
        "category": lambda: column(
            st.sampled_from("abc"), dtype=pd.CategoricalDtype(draw(st.permutations("abc")), ordered=draw(st.booleans()))
        ),
        "time": lambda: column(st.datetimes(datetime.datetime(1990, 1, 1), datetime.datetime(2030, 1, 1)), dtype="datetime64[us]"),
        "zoned": lambda: column(st.just(pd.Timestamp("2020-01-01", tz="Europe/Oslo")), dtype="datetime64[us, Europe/Oslo]"),
        "arrow": lambda: column(st.one_of(st.none(), st.integers(-9, 9)), dtype=pd.ArrowDtype(pa.int32())),
        "period": lambda: column(st.just(pd.Period("2020-01", "M")), dtype="period[M]"),
        "dates": lambda: column(st.dates(), dtype=object),
    }
    names = draw(st.lists(st.sampled_from(sorted(makers)), max_size=5))
    frame = pd.concat([makers[name]() for name in names], axis=1) if names else pd.DataFrame(index=range(rows))
    frame.columns = names
    kind = draw(st.sampled_from(["range", "text", "two", "named"]))
    if kind == "text":
        frame.index = pd.Index([f"r{i}" for i in range(rows)], dtype="str")
    elif kind == "two":
        frame.index = pd.MultiIndex.from_arrays([range(rows), ["k"] * rows], names=["n", None])
    elif kind == "named":
        frame.index = pd.RangeIndex(rows, name="id")
    if draw(st.booleans()):
        frame.attrs["source"] = draw(texts)
    return frame


tables = st.builds(
    lambda numbers, words: pa.table(
        {"n": pa.array(numbers, pa.int32()), "w": pa.array(words[: len(numbers)] + [None] * (len(numbers) - len(words)), pa.string())}
    ),
    st.lists(st.one_of(st.none(), st.integers(0, 9)), max_size=4),
    st.lists(texts, max_size=4),
)
frames = st.one_of(polars_frames(), pandas_frames(), tables)
leaves = st.one_of(scalars, arrays, frames)


def _grown(parts: st.SearchStrategy) -> st.SearchStrategy:
    return st.one_of(
        st.lists(parts, max_size=4),
        st.lists(parts, max_size=3).map(tuple),
        st.dictionaries(hashable_scalars, parts, max_size=4),
        st.sets(hashable_scalars, max_size=4),
        st.frozensets(st.tuples(hashable_scalars, hashable_scalars), max_size=3),
        st.builds(Pair, parts, parts),
        st.builds(Point, st.floats(), parts),
        st.builds(Slotted, parts),
        parts.map(lambda part: [part, part]),
    )


values = st.recursive(leaves, _grown, max_leaves=8)
