"""Arrow arrays by content: chunking, slicing, unused bits and whatever lies under nulls do not count."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mlstudio_lab.core.digest import Digester

_BLOCK: Final = 1 << 20


def add_array(digester: Digester, array: Any, *, by_value: bool = False) -> None:
    """Adds an Arrow array's length, nulls and values.

    Args:
        digester: What to add to; the type is the caller's to add.
        array: A pyarrow Array or ChunkedArray.
        by_value: Write dictionary arrays by their values, for vendors whose dictionary codes mean nothing.
    """
    array = in_one_piece(array)
    kind = array.type
    if isinstance(array, pa.ExtensionArray):
        add_array(digester, array.storage, by_value=by_value)
        return
    if by_value and pa.types.is_dictionary(kind):
        add_array(digester, array.dictionary_decode(), by_value=True)
        return
    valid = _validity(array)
    digester.add([len(array), array.null_count])
    if valid is not None and not pa.types.is_null(kind):
        digester.add_buffer(np.packbits(valid).data)
    if pa.types.is_null(kind) or (len(array) == 0 and not pa.types.is_nested(kind)):
        return
    _adder(kind)(digester, array, valid, by_value)


def in_one_piece(array: Any) -> Any:
    """A chunked array as one array; any other as it is."""
    if not isinstance(array, pa.ChunkedArray):
        return array
    if array.num_chunks == 0:
        return pa.array([], array.type)
    return array.chunk(0) if array.num_chunks == 1 else pa.concat_arrays(array.chunks)


def _validity(array: Any) -> np.ndarray[Any, Any] | None:
    if array.null_count == 0:
        return None
    bits = array.buffers()[0]
    if bits is None:
        valid: np.ndarray[Any, Any] = array.is_valid().to_numpy(zero_copy_only=False)
        return valid
    whole = np.unpackbits(np.frombuffer(bits, np.uint8), bitorder="little", count=array.offset + len(array))
    return whole[array.offset :].view(np.bool_)


def _adder(kind: Any) -> Callable[..., None]:
    types = pa.types
    if types.is_boolean(kind):
        return _add_bits
    if types.is_string_view(kind) or types.is_binary_view(kind):
        return _add_views
    if types.is_string(kind) or types.is_binary(kind) or types.is_large_string(kind) or types.is_large_binary(kind):
        return _add_text
    if types.is_dictionary(kind):
        return _add_dictionary
    if types.is_struct(kind):
        return _add_struct
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return _add_list
    if types.is_nested(kind) or types.is_run_end_encoded(kind):
        return _add_slowly
    return _add_fixed


def _add_fixed(digester: Digester, array: Any, valid: Any, by_value: bool) -> None:
    width = array.type.bit_width // 8
    raw = np.frombuffer(array.buffers()[1], np.uint8)[array.offset * width : (array.offset + len(array)) * width]
    if valid is None:
        digester.add_buffer(raw.data)
        return
    if width not in (1, 2, 4, 8):
        digester.add_buffer(np.where(valid[:, None], raw.reshape(len(array), width), np.uint8(0)).reshape(-1).data)
        return
    # What lies under a null is left over from computing. Block by block, so that fresh memory is touched only once.
    values = raw.view(f"u{width}")
    scratch = np.empty(min(len(values), _BLOCK), values.dtype)
    for at in range(0, len(values), _BLOCK):
        block = values[at : at + _BLOCK]
        out = np.multiply(block, valid[at : at + _BLOCK], out=scratch[: len(block)])
        digester.add_buffer(out.view(np.uint8).data)


def _add_bits(digester: Digester, array: Any, valid: Any, by_value: bool) -> None:
    values = pc.fill_null(array, False) if valid is not None else array
    digester.add_buffer(np.packbits(values.to_numpy(zero_copy_only=False)).data)


def _add_views(digester: Digester, array: Any, valid: Any, by_value: bool) -> None:
    wide = pa.large_string() if pa.types.is_string_view(array.type) else pa.large_binary()
    _add_text(digester, array.cast(wide), valid, by_value)


def _add_text(digester: Digester, array: Any, valid: Any, by_value: bool) -> None:
    if valid is not None:
        is_text = pa.types.is_string(array.type) or pa.types.is_large_string(array.type)
        array = pc.fill_null(array, "" if is_text else b"")
    large = pa.types.is_large_string(array.type) or pa.types.is_large_binary(array.type)
    _, ends, data = array.buffers()
    offsets = np.frombuffer(ends, np.int64 if large else np.int32)[array.offset : array.offset + len(array) + 1]
    digester.add_buffer(_lengths(offsets).view(np.uint8).data)
    digester.add_buffer(memoryview(data)[offsets[0] : offsets[-1]] if data is not None else b"")


def _lengths(offsets: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    lengths = np.diff(offsets)
    # Short texts are the rule: narrow lengths when they all fit, told apart by the buffer's size.
    most = int(lengths.max(initial=0))
    return lengths.astype(np.uint8 if most < 256 else np.uint32 if most < 2**32 else np.uint64)


def _add_dictionary(digester: Digester, array: Any, valid: Any, by_value: bool) -> None:
    add_array(digester, array.dictionary)
    add_array(digester, array.indices)


def _add_struct(digester: Digester, array: Any, valid: Any, by_value: bool) -> None:
    for field in array.flatten():
        add_array(digester, field, by_value=by_value)


def _add_list(digester: Digester, array: Any, valid: Any, by_value: bool) -> None:
    lengths = pc.list_value_length(array)
    add_array(digester, pc.fill_null(lengths, 0) if valid is not None else lengths)
    add_array(digester, array.flatten(), by_value=by_value)


def _add_slowly(digester: Digester, array: Any, valid: Any, by_value: bool) -> None:
    """Maps, unions, run-ends: rare enough to go value by value through Arrow's own one-row arrays."""
    if pa.types.is_map(array.type):
        add_array(digester, array.cast(pa.list_(pa.struct([array.type.key_field, array.type.item_field]))), by_value=by_value)
        return
    if pa.types.is_run_end_encoded(array.type):
        add_array(digester, pc.run_end_decode(array), by_value=by_value)
        return
    from mlstudio_lab.data.code_refs import NoCode
    from mlstudio_lab.data.walk import ByContent, Walk

    walk = Walk(ByContent(NoCode()))
    root, bodies = walk.root("", array.to_pylist())
    digester.add(root)
    for body in bodies:
        digester.add_buffer(body)
