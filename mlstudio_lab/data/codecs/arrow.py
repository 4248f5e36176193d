"""pyarrow tables, batches and arrays by content, stored as Arrow streams."""

from __future__ import annotations

from typing import Any, Final

import pyarrow as pa

from mlstudio_lab.core.digest import Digester
from mlstudio_lab.data.codecs.buffers import add_array, in_one_piece
from mlstudio_lab.data.codecs.encoded import Encoded, framed, unframed
from mlstudio_lab.data.naming import text
from mlstudio_lab.data.shapes import Reader, Shape, immutable, scalar_bytes

CODEC: Final = "arrow/1"


def reader_of(kind: type) -> Reader | None:
    """How values of a pyarrow type are taken apart, None when their own reduction does it well."""
    if kind in (pa.Table, pa.RecordBatch):
        return _table, True
    if issubclass(kind, (pa.Array, pa.ChunkedArray)):
        return _array, True
    if issubclass(kind, (pa.DataType, pa.Field, pa.Schema)):
        return immutable, False
    if issubclass(kind, pa.Scalar):
        return _scalar, False
    return None


def _scalar(value: Any) -> Shape:
    return Shape(b"arrow.scalar", text(str(value.type)), content=lambda: _content(b"", [pa.array([value.as_py()], value.type)]))


def is_leaf(value: Any) -> bool:
    """Whether a value is a table, batch or array."""
    return isinstance(value, (pa.Table, pa.RecordBatch, pa.Array, pa.ChunkedArray))


def _content(head: bytes, arrays: list[Any]) -> str:
    digester = Digester("arrow")
    digester.add(head)
    for array in arrays:
        add_array(digester, array)
    return digester.hex()


def _metadata(metadata: Any) -> bytes:
    return scalar_bytes(list((metadata or {}).items()) and [part for pair in sorted(metadata.items()) for part in pair])


def _table(value: Any) -> Shape:
    head = text(type(value).__name__) + scalar_bytes(value.num_rows) + _metadata(value.schema.metadata)
    for field in value.schema:
        head += text(field.name, str(field.type)) + scalar_bytes(bool(field.nullable)) + _metadata(field.metadata)
    return Shape(b"arrow.table", content=lambda: _content(head, value.columns))


def _array(value: Any) -> Shape:
    kind = "ChunkedArray" if isinstance(value, pa.ChunkedArray) else "Array"
    return Shape(b"arrow.array", content=lambda: _content(text(kind, str(value.type)), [value]))


def encode(value: Any) -> Encoded:
    """A table, batch or array as one Arrow stream, its batches as they are."""
    if isinstance(value, pa.Table):
        kind, table = b"table", value
    elif isinstance(value, pa.RecordBatch):
        kind, table = b"batch", pa.Table.from_batches([value])
    elif isinstance(value, pa.ChunkedArray):
        kind, table = b"chunked", pa.table({"": value})
    else:
        kind, table = b"array", pa.table({"": pa.chunked_array([value])})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    columns = value.schema.names if kind in (b"table", b"batch") else None
    return Encoded(CODEC, framed(kind, [memoryview(sink.getvalue())]), columns)


def decode(data: memoryview) -> Any:
    """The value that `encode` wrote, on the data's own memory."""
    kind, (stream,) = unframed(data)
    table = pa.ipc.open_stream(pa.py_buffer(stream)).read_all()
    name = bytes(kind)
    if name == b"table":
        return table
    if name == b"batch":
        batches = table.to_batches()
        return batches[0] if batches else pa.RecordBatch.from_pylist([], schema=table.schema)
    column = table.column(0)
    if name == b"chunked":
        return column
    return in_one_piece(column)
