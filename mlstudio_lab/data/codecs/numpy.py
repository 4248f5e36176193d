"""numpy arrays: exact dtype, shape, axis order and bits, stored raw."""

from __future__ import annotations

import json
from typing import Any, Final

import numpy as np
from numpy.lib.array_utils import byte_bounds

from mlstudio_lab.core.digest import Digester
from mlstudio_lab.data.codecs.encoded import Encoded, framed, unframed
from mlstudio_lab.data.naming import text
from mlstudio_lab.data.shapes import Reader, Shape, immutable, is_flat, scalar_bytes

CODEC: Final = "numpy/1"


def reader_of(kind: type) -> Reader | None:
    """How values of a numpy type are taken apart, None when their own reduction does it well."""
    if kind is np.ndarray:
        return _array, True
    if issubclass(kind, np.generic):
        return _scalar, False
    if kind is np.ma.MaskedArray:
        return _masked, True
    if issubclass(kind, np.dtype) or kind in (np.ufunc, type(np.mean)):
        return immutable, False
    return None


def is_leaf(value: Any) -> bool:
    """Whether an array is plain memory of numbers, fixed-width text or times."""
    return type(value) is np.ndarray and value.dtype.kind in "?biufcmMSUV" and not value.dtype.hasobject


def dtype_text(dtype: np.dtype[Any]) -> str:
    """A dtype as text, complete: byte order, units, field names, offsets, alignment."""
    if dtype.fields is None:
        if dtype.subdtype is not None:
            return json.dumps(["sub", dtype_text(dtype.subdtype[0]), list(dtype.subdtype[1])])
        return dtype.str if dtype.kind != "T" else repr(dtype)
    fields = [[name, dtype_text(dtype.fields[name][0]), *dtype.fields[name][1:]] for name in dtype.names or ()]
    return json.dumps([fields, dtype.itemsize, dtype.isalignedstruct])


def axis_order(array: np.ndarray[Any, Any]) -> tuple[int, ...]:
    """Axes from the slowest to the fastest in memory: sums and `ravel("K")` depend on it."""
    if array.flags.c_contiguous:
        return tuple(range(array.ndim))
    if array.flags.f_contiguous:
        return tuple(reversed(range(array.ndim)))
    return tuple(sorted(range(array.ndim), key=lambda axis: -abs(array.strides[axis])))


def in_memory_order(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The array with its axes in memory order, C-contiguous; no copy when it is dense."""
    return np.ascontiguousarray(array.transpose(axis_order(array)))


def _scalar(value: Any) -> Shape:
    if value.dtype.hasobject or value.dtype.fields is not None:
        return Shape(b"numpy.scalar", text(dtype_text(value.dtype)), [value.item()])
    return Shape(b"numpy.scalar", text(dtype_text(value.dtype)) + value.tobytes())


def _array(value: np.ndarray[Any, Any]) -> Shape:
    order = axis_order(value)
    head = text(dtype_text(value.dtype)) + scalar_bytes([*value.shape, -1, *order])
    if is_leaf(value):
        head += scalar_bytes(bool(value.flags.writeable))
        return Shape(b"numpy.ndarray", content=lambda: _content(head, value), memory=memory_of(value))
    items = in_memory_order(value).ravel().tolist() if value.dtype.kind != "V" else [x.item() for x in value.ravel()]
    if is_flat(items):
        return Shape(b"numpy.ndarray", head + b"\1" + scalar_bytes(items))
    return Shape(b"numpy.ndarray", head + b"\0", items)


def _masked(value: Any) -> Shape:
    parts = [np.asarray(value.data), np.ma.getmaskarray(value), np.asarray(value.fill_value)]
    head = scalar_bytes(bool(value.hardmask))
    return Shape(b"numpy.masked", head, parts, fresh={id(part): part for part in parts})


def memory_of(value: np.ndarray[Any, Any]) -> tuple[Any, int, int] | None:
    """The array that owns the memory `value` looks at, with the addresses it sees; None where nothing can be shared."""
    owner = value
    while type(owner.base) is np.ndarray:
        owner = owner.base
    return (owner, *byte_bounds(value)) if value.size and value.dtype.itemsize else None


def _content(head: bytes, value: np.ndarray[Any, Any]) -> str:
    digester = Digester("numpy")
    digester.add(head)
    add_memory(digester, value)
    return digester.hex()


def add_memory(digester: Digester, value: np.ndarray[Any, Any]) -> None:
    """Adds an array's elements in memory order; structured arrays field by field, since padding holds garbage."""
    if value.dtype.fields is not None:
        for name in value.dtype.names or ():
            add_memory(digester, value[name])
        return
    if value.dtype.itemsize == 0 or value.size == 0:
        digester.add(b"")
        return
    digester.add_buffer(in_memory_order(value).reshape(-1).view(np.uint8).data)


def encode(value: np.ndarray[Any, Any]) -> Encoded:
    """An array as a JSON head and its raw memory."""
    order = axis_order(value)
    head = {"dtype": dtype_text(value.dtype), "shape": list(value.shape), "order": list(order), "writeable": bool(value.flags.writeable)}
    dense = in_memory_order(value).reshape(-1)
    raw = dense.view(np.uint8).data if dense.size and dense.dtype.itemsize else memoryview(b"")
    return Encoded(CODEC, framed(json.dumps(head).encode(), [raw]))


def decode(data: memoryview) -> np.ndarray[Any, Any]:
    """The array that `encode` wrote, on the data's own memory when that is writable, else on a copy."""
    head, (raw,) = unframed(data)
    meta = json.loads(bytes(head))
    dtype = dtype_of(meta["dtype"])
    order = meta["order"]
    stored = [meta["shape"][axis] for axis in order]
    memory = np.frombuffer(raw, np.uint8)
    if not memory.flags.writeable:
        memory = memory.copy()
    array = np.ndarray(stored, dtype, memory.data) if memory.size else np.empty(stored, dtype)
    array = array.transpose(np.argsort(order)) if order else array
    if not meta["writeable"]:
        array.flags.writeable = False
    return array


def dtype_of(written: str) -> np.dtype[Any]:
    """The dtype that `dtype_text` wrote."""
    if not written.startswith("["):
        return np.dtype(written)
    parsed = json.loads(written)
    if parsed[0] == "sub":
        return np.dtype((dtype_of(parsed[1]), tuple(parsed[2])))
    fields, itemsize, aligned = parsed
    spec: dict[str, Any] = {
        "names": [f[0] for f in fields],
        "formats": [dtype_of(f[1]) for f in fields],
        "offsets": [f[2] for f in fields],
        "itemsize": itemsize,
    }
    if any(len(f) > 3 for f in fields):
        spec["titles"] = [f[3] if len(f) > 3 else None for f in fields]
    dtype: np.dtype[Any] = np.dtype(spec, align=aligned)  # type: ignore[call-overload]
    return dtype
