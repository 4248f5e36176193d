"""pandas frames, series and indexes: every label, name, dtype, category and attribute."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import numpy as np
import pandas as pd

from mlstudio_lab.core.digest import Digester
from mlstudio_lab.data.codecs.encoded import Encoded, framed, unframed
from mlstudio_lab.data.codecs.numpy import add_memory, dtype_text
from mlstudio_lab.data.naming import qualified, text
from mlstudio_lab.data.shapes import Reader, Shape, immutable, is_flat, scalar_bytes

CODEC: Final = "pandas/1"


def reader_of(kind: type) -> Reader | None:
    """How values of a pandas type are taken apart, None when their own reduction does it well."""
    if kind is pd.DataFrame:
        return _frame, True
    if kind is pd.Series:
        return _series, True
    if issubclass(kind, pd.Index):
        return _index, True
    if issubclass(kind, pd.api.extensions.ExtensionArray):
        return _extension, True
    if issubclass(kind, (pd.Timestamp, pd.Timedelta, pd.Period, pd.Interval, pd.api.extensions.ExtensionDtype, type(pd.NaT), type(pd.NA))):
        return immutable, False
    if issubclass(kind, pd.tseries.offsets.BaseOffset):
        return immutable, False
    return None


def is_leaf(value: Any) -> bool:
    """Whether a value is a frame, series or index without Python objects in it, apart from scalars."""
    if type(value) not in (pd.DataFrame, pd.Series) and not isinstance(value, pd.Index):
        return False
    reading = _Reading()
    _read(reading, value)
    return not reading.children


class _Reading:
    """The parts of one value, collected in order: what is written at once, what is hashed later, what is a child."""

    def __init__(self) -> None:
        self.steps: list[bytes | Callable[[Digester], None]] = []
        self.children: list[Any] = []

    def say(self, *parts: bytes) -> None:
        self.steps.extend(parts)

    def items(self, values: list[Any]) -> None:
        """Python objects: scalars at once, anything else as children."""
        if is_flat(values):
            self.say(b"\1", scalar_bytes(values))
        else:
            self.say(b"\0", scalar_bytes(len(values)))
            self.children += values

    def memory(self, array: np.ndarray[Any, Any]) -> None:
        """An array's memory, read when content is wanted."""
        self.steps.append(partial(add_memory, value=array))

    def shape(self, tag: bytes) -> Shape:
        return Shape(tag, b"", self.children, content=self.content)

    def content(self) -> str:
        digester = Digester("pandas")
        for step in self.steps:
            if isinstance(step, bytes):
                digester.add_buffer(step)
            else:
                step(digester)
        return digester.hex()


def _frame(value: pd.DataFrame) -> Shape:
    reading = _Reading()
    _read(reading, value)
    return reading.shape(b"pandas.frame")


def _series(value: pd.Series) -> Shape:
    reading = _Reading()
    _read(reading, value)
    return reading.shape(b"pandas.series")


def _index(value: pd.Index) -> Shape:
    reading = _Reading()
    _read(reading, value)
    return reading.shape(b"pandas.index")


def _extension(value: Any) -> Shape:
    reading = _Reading()
    _read_array(reading, value)
    return reading.shape(b"pandas.array")


def _read(reading: _Reading, value: Any) -> None:
    if isinstance(value, pd.Index):
        _read_index(reading, value)
        return
    frame = isinstance(value, pd.DataFrame)
    reading.say(b"frame" if frame else b"series", scalar_bytes(bool(value.flags.allows_duplicate_labels)))
    attrs = value.attrs
    reading.items([part for pair in attrs.items() for part in pair] if attrs else [])
    _read_index(reading, value.index)
    if frame:
        _read_index(reading, value.columns)
        for at in range(value.shape[1]):
            _read_array(reading, value.iloc[:, at].array)
    else:
        reading.items([value.name])
        _read_array(reading, value.array)


def _read_index(reading: _Reading, index: pd.Index) -> None:
    reading.say(text(qualified(type(index))))
    reading.items(list(index.names))
    if isinstance(index, pd.RangeIndex):
        reading.say(scalar_bytes([index.start, index.stop, index.step]))
    elif isinstance(index, pd.MultiIndex):
        reading.say(scalar_bytes(index.nlevels))
        for level, codes in zip(index.levels, index.codes):
            _read_index(reading, level)
            _read_array(reading, np.asarray(codes))
    else:
        freq = getattr(index, "freqstr", None)
        reading.say(scalar_bytes(freq))
        _read_array(reading, index.array)


def _read_array(reading: _Reading, array: Any) -> None:
    """One column's dtype and values; the numpy array beneath where there is one."""
    if isinstance(array, pd.arrays.NumpyExtensionArray):
        array = array.to_numpy()
    if isinstance(array, np.ndarray):
        reading.say(b"numpy", text(dtype_text(array.dtype)), scalar_bytes(list(array.shape)))
        if array.dtype.hasobject:
            reading.items(array.tolist())
        else:
            reading.memory(array)
        return
    dtype = array.dtype
    reading.say(b"extension", text(qualified(type(array)), str(dtype)), scalar_bytes(len(array)))
    if isinstance(array, pd.Categorical):
        reading.say(scalar_bytes(bool(array.ordered)))
        _read_index(reading, array.categories)
        reading.memory(np.asarray(array.codes))
    elif isinstance(dtype, pd.StringDtype):
        missing = "NaN" if dtype.na_value is not pd.NA else "NA"
        reading.say(text(str(dtype.storage), missing))
        if hasattr(array, "__arrow_array__") and dtype.storage == "pyarrow":
            reading.steps.append(partial(_add_arrow, array=array))
        else:
            reading.items([None if item is pd.NA else item for item in array])
    elif isinstance(dtype, pd.ArrowDtype):
        reading.say(text(str(dtype.pyarrow_dtype)))
        reading.steps.append(partial(_add_arrow, array=array))
    elif hasattr(array, "asi8"):
        reading.memory(array.asi8)
    elif isinstance(array, pd.arrays.IntervalArray):
        reading.say(text(str(array.closed)))
        _read_index(reading, pd.Index(array.left))
        _read_index(reading, pd.Index(array.right))
    elif hasattr(array, "_mask") and hasattr(array, "_data") and isinstance(array._data, np.ndarray):
        reading.steps.append(partial(_add_masked, values=array._data, mask=array._mask))
    else:
        reading.items(list(array))


def _add_arrow(digester: Digester, array: Any) -> None:
    from mlstudio_lab.data.codecs.buffers import add_array

    add_array(digester, array.__arrow_array__())


def _add_masked(digester: Digester, values: np.ndarray[Any, Any], mask: np.ndarray[Any, Any]) -> None:
    add_memory(digester, mask)
    # What lies under the mask is left over from computing and means nothing.
    add_memory(digester, np.where(mask, np.zeros((), values.dtype), values) if mask.any() else values)


def encode(value: Any) -> Encoded:
    """A value without Python objects: a pickle of its structure with its memory beside it, so nothing is converted."""
    buffers: list[pickle.PickleBuffer] = []
    head = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    columns = [str(name) for name in value.columns] if isinstance(value, pd.DataFrame) else None
    return Encoded(CODEC, framed(head, [buffer.raw() for buffer in buffers]), columns)


def decode(data: memoryview) -> Any:
    """The value that `encode` wrote; its memory is the data's own when that is writable, else a copy.

    Only for workers and kernels: a pickle runs code.
    """
    head, buffers = unframed(data)
    return pickle.loads(head, buffers=buffers if not data.readonly else [bytearray(buffer) for buffer in buffers])
