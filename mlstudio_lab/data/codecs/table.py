"""Which codec stores which value; vendors are imported only when a value of theirs turns up."""

from __future__ import annotations

from typing import Any

from mlstudio_lab.core.errors import Incompatible
from mlstudio_lab.data.codecs.encoded import Encoded


def encode(value: Any) -> Encoded | None:
    """A frame, array or table as bytes; None for what is none, or holds Python objects and so belongs into the graph.

    Example:
        >>> encode([1]) is None
        True
    """
    root = (type(value).__module__ or "").partition(".")[0]
    if root == "polars":
        from mlstudio_lab.data.codecs import polars

        return polars.encode(value) if polars.is_leaf(value) else None
    if root == "numpy":
        from mlstudio_lab.data.codecs import numpy

        return numpy.encode(value) if numpy.is_leaf(value) else None
    if root == "pandas":
        from mlstudio_lab.data.codecs import pandas

        return pandas.encode(value) if pandas.is_leaf(value) else None
    if root == "pyarrow":
        from mlstudio_lab.data.codecs import arrow

        return arrow.encode(value) if arrow.is_leaf(value) else None
    return None


def decode(codec: str, data: memoryview) -> Any:
    """The value a codec wrote; on the data's own memory where possible.

    Raises:
        Incompatible: No such codec here.
    """
    if codec.endswith(("polars/1", "polars-native/1")):
        from mlstudio_lab.data.codecs import polars

        return polars.decode(codec, data)
    if codec == "numpy/1":
        from mlstudio_lab.data.codecs import numpy

        return numpy.decode(data)
    if codec == "pandas/1":
        from mlstudio_lab.data.codecs import pandas

        return pandas.decode(data)
    if codec == "arrow/1":
        from mlstudio_lab.data.codecs import arrow

        return arrow.decode(data)
    raise Incompatible(f"this version cannot read values stored as {codec}", subject=codec, hint="update ML Studio Lab on this side")


def wants_writable(codec: str) -> bool:
    """Whether values of a codec live on the memory they were read from and are written to by people.

    Example:
        >>> wants_writable("numpy/1"), wants_writable("polars/1")
        (True, False)
    """
    return codec in ("numpy/1", "pandas/1")
