"""Values whose digests are written down in tests/golden/content.json: ids that must never change by accident."""

from __future__ import annotations

import collections
import datetime as dt
import decimal
import math
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from data_people import Bag, Colour, Fixed, Pair, Point, Shelf, Slotted

_shared = [1, {"k": {"b", "a", ("x", 2)}}]

SAMPLES: dict[str, Callable[[], Any]] = {
    "scalars": lambda: [None, True, False, 0, -1, 2**70, 0.0, -0.0, math.inf, "a", "ä", b"b", 1j],
    "nested": lambda: {"a": [1, (2, [3])], "b": {"c": {1.5: None}}},
    "shared": lambda: [_shared, _shared],
    "set": lambda: {f"word {i}" for i in range(40)} | {(i, str(i)) for i in range(40)} | {frozenset({i, -i}) for i in range(9)},
    "objects": lambda: [Point(1.5, [Fixed(2)]), Slotted("s"), Pair(1, 2), Colour.RED, Bag(a=1), Shelf([1, 2])],
    "set of objects": lambda: {Slotted(i) for i in range(20)},
    "standard": lambda: [
        dt.date(2020, 1, 2), dt.datetime(2020, 1, 2, 3, tzinfo=dt.UTC), dt.timedelta(1, 2, 3), decimal.Decimal("1.50"), pathlib.PurePosixPath("a/b"), range(1, 9, 2), slice(1, None), bytearray(b"x"),
        collections.Counter("aab"), collections.deque([1], 3), collections.OrderedDict(a=1), collections.defaultdict(list, a=[1]),
    ],
    "array": lambda: np.arange(6, dtype="<f8").reshape(2, 3),
    "fortran": lambda: np.asfortranarray(np.arange(6, dtype="<i4").reshape(2, 3)),
    "frame": lambda: pl.DataFrame({"a": [1, None], "s": ["x", None], "l": [[1], []], "c": pl.Series(["u", "v"], dtype=pl.Categorical)}),
    "table": lambda: pa.table({"a": [1, None], "s": ["x", None]}),
}  # fmt: skip
