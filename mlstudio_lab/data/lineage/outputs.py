"""What kind of output a value is, and edges for what cannot be traced."""

from __future__ import annotations

import datetime
import decimal
import sys
from collections.abc import Mapping
from enum import Enum
from typing import Any

from mlstudio_lab.core.edges import Edge

_PLAIN = (
    type(None), bool, int, float, complex, str, bytes, datetime.date, datetime.time, datetime.timedelta, datetime.tzinfo,
    decimal.Decimal,
)  # fmt: skip


class Shape(Enum):
    """How an output can be traced.

    PLAN and FRAME are polars' own; PYTHON values can only hold what Python read; ANYTHING may hold a frame unread.
    """

    PLAN = "plan"
    FRAME = "frame"
    PYTHON = "python"
    ANYTHING = "anything"


def shape_of(value: Any) -> tuple[Shape, list[str]]:
    """How a value can be traced, and its columns ([""] for a value without columns, none yet for a plan).

    Example:
        >>> shape_of(3)
        (<Shape.PYTHON: 'python'>, [''])
    """
    polars, pandas = sys.modules.get("polars"), sys.modules.get("pandas")
    numpy, arrow = sys.modules.get("numpy"), sys.modules.get("pyarrow")
    if polars is not None and isinstance(value, polars.LazyFrame):
        return Shape.PLAN, []
    if polars is not None and isinstance(value, polars.DataFrame):
        objects = any(dtype == polars.Object for dtype in value.dtypes)
        return (Shape.ANYTHING if objects else Shape.FRAME), value.columns
    if polars is not None and isinstance(value, polars.Series):
        return (Shape.ANYTHING if value.dtype == polars.Object else Shape.PYTHON), [""]
    if type(value) in _PLAIN:
        return Shape.PYTHON, [""]
    if numpy is not None and isinstance(value, (numpy.ndarray, numpy.generic)):
        return (Shape.ANYTHING if value.dtype.hasobject else Shape.PYTHON), [""]
    if arrow is not None and isinstance(value, (arrow.Table, arrow.RecordBatch)):
        return Shape.PYTHON, list(value.schema.names)
    if pandas is not None and isinstance(value, pandas.DataFrame):
        plain = all(_plain_column(value.iloc[:, position]) for position in range(value.shape[1]))
        return (Shape.PYTHON if plain else Shape.ANYTHING), [str(name) for name in value.columns]
    if pandas is not None and isinstance(value, pandas.Series):
        return (Shape.PYTHON if _plain_column(value) else Shape.ANYTHING), [""]
    return Shape.ANYTHING, [""]


def _plain_column(column: Any) -> bool:
    """Whether a pandas column cannot hold a polars frame as one of its objects."""
    return column.dtype != object or set(map(type, column)) <= set(_PLAIN)


def edges_all_to_all(outputs: Mapping[str, list[str] | None], inputs: Mapping[str, list[str] | None]) -> list[Edge]:
    """Every output column depends opaquely on every input column; None stands for a value without columns.

    Example:
        >>> edges_all_to_all({"model": None}, {"frame": ["x"]})
        [Edge(output='model', output_column='', input='frame', input_column='x', kind='opaque', subtype='')]
    """
    sources = [(name, column) for name, columns in inputs.items() for column in (columns or [""])]
    return [
        Edge(output, column, *source, "opaque") for output, columns in outputs.items() for column in (columns or [""]) for source in sources
    ]
