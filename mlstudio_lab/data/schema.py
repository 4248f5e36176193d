"""What a value looks like without its data: type, columns, row count and one line for people."""

from __future__ import annotations

from typing import Any

from mlstudio_lab.data.naming import qualified
from mlstudio_lab.wire.task import Value


def described(value: Any) -> Value:
    """Type, schema, rows and summary of a value; never a data value in them.

    Example:
        >>> described({"a": 1}).summary
        'dict of 1'
    """
    kind = type(value)
    root = (kind.__module__ or "").partition(".")[0]
    if root == "polars":
        return _polars(value)
    if root == "pandas":
        return _pandas(value)
    if root == "pyarrow":
        return _arrow(value)
    if root == "numpy" and hasattr(value, "dtype") and hasattr(value, "shape"):
        size = " x ".join(f"{n:,}" for n in value.shape)
        rows = value.shape[0] if value.shape else None
        return Value("", qualified(kind), rows=rows, summary=f"{kind.__name__} {value.dtype.name} {size}".rstrip())
    if kind in (list, tuple, dict, set, frozenset, bytes, bytearray):
        return Value("", qualified(kind), summary=f"{kind.__name__} of {len(value):,}")
    return Value("", qualified(kind), summary="None" if value is None else getattr(kind, "__name__", "value"))


def _frame(kind: type, schema: dict[str, str], rows: int | None, width: int | None = None) -> Value:
    wide = len(schema) if width is None else width  # column names may repeat
    size = f"? x {wide:,}" if rows is None else f"{rows:,} x {wide:,}"
    return Value("", qualified(kind), schema=schema, rows=rows, summary=f"{kind.__name__} {size}")


def _polars(value: Any) -> Value:
    import polars as pl

    kind = type(value)
    if isinstance(value, pl.DataFrame):
        return _frame(kind, {name: str(dtype) for name, dtype in value.schema.items()}, value.height)
    if isinstance(value, pl.LazyFrame):
        try:
            return _frame(kind, {name: str(dtype) for name, dtype in value.collect_schema().items()}, None)
        except (pl.exceptions.PolarsError, OSError):
            # A plan that cannot be resolved is still a value; running it will say what is wrong.
            return Value("", qualified(kind), summary="LazyFrame")
    if isinstance(value, pl.Series):
        return Value("", qualified(kind), rows=len(value), summary=f"Series {value.dtype} {len(value):,}")
    return Value("", qualified(kind), summary=kind.__name__)


def _pandas(value: Any) -> Value:
    import pandas as pd

    kind = type(value)
    if isinstance(value, pd.DataFrame):
        return _frame(kind, {str(name): str(dtype) for name, dtype in zip(value.columns, value.dtypes)}, *value.shape)
    if isinstance(value, (pd.Series, pd.Index)):
        return Value("", qualified(kind), rows=len(value), summary=f"{kind.__name__} {value.dtype} {len(value):,}")
    return Value("", qualified(kind), summary=kind.__name__)


def _arrow(value: Any) -> Value:
    import pyarrow as pa

    kind = type(value)
    if isinstance(value, (pa.Table, pa.RecordBatch)):
        return _frame(kind, {field.name: str(field.type) for field in value.schema}, value.num_rows, value.num_columns)
    if isinstance(value, (pa.Array, pa.ChunkedArray)):
        return Value("", qualified(kind), rows=len(value), summary=f"{kind.__name__} {value.type} {len(value):,}")
    return Value("", qualified(kind), summary=kind.__name__)
