"""polars frames and series by content, stored as Arrow files that map back without a copy."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import polars as pl

from mlstudio_lab.core.digest import Digester, digest
from mlstudio_lab.data.codecs.encoded import Encoded
from mlstudio_lab.data.moment import collected
from mlstudio_lab.data.naming import text
from mlstudio_lab.data.shapes import Reader, Shape, immutable, is_flat, scalar_bytes

FILE: Final = "polars/1"
NATIVE: Final = "polars-native/1"
_MOST_CHUNKS: Final = 16
_SMALL: Final = 1 << 20
_NOT_IN_ARROW: Final = tuple(getattr(pl, name) for name in ("Int128", "UInt128", "Object", "Unknown") if hasattr(pl, name))


def reader_of(kind: type) -> Reader | None:
    """How values of a polars type are taken apart, None when their own reduction does it well."""
    if kind is pl.DataFrame:
        return _frame, True
    if kind is pl.Series:
        return _series, True
    if kind is pl.LazyFrame:
        return _lazy, True
    if issubclass(kind, pl.DataType):
        return lambda value: Shape(b"polars.dtype", dtype_bytes(value)), False
    if kind is pl.Expr:
        return immutable, False
    return None


def is_leaf(value: Any) -> bool:
    """Whether a value is a frame or series without Python objects in it."""
    if type(value) is pl.LazyFrame:
        return True
    dtypes = value.dtypes if type(value) is pl.DataFrame else [value.dtype] if type(value) is pl.Series else None
    return dtypes is not None and not any(_holds(dtype, (pl.Object,)) for dtype in dtypes)


def _holds(dtype: Any, kinds: tuple[Any, ...]) -> bool:
    if dtype in kinds:
        return True
    if isinstance(dtype, pl.Struct):
        return any(_holds(field.dtype, kinds) for field in dtype.fields)
    return isinstance(dtype, (pl.List, pl.Array)) and dtype.inner is not None and _holds(dtype.inner, kinds)


def dtype_bytes(dtype: Any) -> bytes:
    """A dtype with all its parameters: unit, zone, precision, categories, fields."""
    name = text(getattr(dtype, "__name__", None) or type(dtype).__name__)
    if isinstance(dtype, pl.Struct):
        return name + b"".join(text(f.name) + dtype_bytes(f.dtype) for f in dtype.fields) + b"."
    if isinstance(dtype, pl.Array):
        return name + scalar_bytes(list(dtype.shape)) + dtype_bytes(dtype.inner)
    if isinstance(dtype, pl.List):
        return name + dtype_bytes(dtype.inner)
    if isinstance(dtype, pl.Enum):
        return name + scalar_bytes(dtype.categories.to_list())
    if isinstance(dtype, (pl.Datetime, pl.Duration, pl.Decimal)):
        return name + scalar_bytes([getattr(dtype, part, None) for part in ("time_unit", "time_zone", "precision", "scale")])
    return name


def _lazy(value: pl.LazyFrame) -> Shape:
    # Read through the frame it gives: a plan's own text says where data comes from, not what it is.
    return Shape(b"polars.lazy", b"lazy", content=lambda: frame_digest(collected(value)))


def _frame(value: pl.DataFrame) -> Shape:
    head = scalar_bytes(value.height) + b"".join(text(name) + dtype_bytes(dtype) for name, dtype in value.schema.items())
    return _columns(b"polars.frame", head, value.get_columns())


def _series(value: pl.Series) -> Shape:
    return _columns(b"polars.series", scalar_bytes(len(value)) + text(value.name) + dtype_bytes(value.dtype), [value])


def _columns(tag: bytes, head: bytes, columns: list[pl.Series]) -> Shape:
    children: list[Any] = []
    adders: list[Callable[[Digester], None]] = []
    for column in columns:
        if _holds(column.dtype, (pl.Object,)):
            items = column.to_list()
            if is_flat(items):
                adders.append(partial(_add_scalars, items=items))
            else:
                children += items
        else:
            adders.append(partial(_add_column, column=column))

    def content() -> str:
        digester = Digester(tag.decode())
        digester.add(head)
        for add in adders:
            add(digester)
        return digester.hex()

    return Shape(tag, b"", children, content=content)


def frame_digest(frame: pl.DataFrame) -> str:
    """The content digest of a frame without Python objects: names, dtypes, order, values; nothing about memory."""
    shape = _frame(frame)
    return shape.content() if shape.content is not None else digest("polars.frame")


def _add_scalars(digester: Digester, items: list[Any]) -> None:
    digester.add(scalar_bytes(items))


def _add_column(digester: Digester, column: pl.Series) -> None:
    from mlstudio_lab.data.codecs.buffers import add_array

    if _holds(column.dtype, _NOT_IN_ARROW):
        digester.add(column.is_null().any())
        digester.add(scalar_bytes([str(item) if item is not None else None for item in column.to_list()]))
        return
    add_array(digester, column.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest()), by_value=True)


def encode(value: Any) -> Encoded:
    """A frame, lazy frame or series as one Arrow file, uncompressed; 128-bit integers in polars' own form."""
    if type(value) is pl.LazyFrame:
        inner = encode(collected(value))
        return Encoded("lazy-" + inner.codec, inner.chunks, inner.columns)
    if type(value) is pl.Series:
        inner = encode(value.to_frame())
        return Encoded("series-" + inner.codec, inner.chunks, None)
    columns = value.columns
    if not columns or any(_holds(dtype, _NOT_IN_ARROW) for dtype in value.dtypes):
        return Encoded(NATIVE, [value.serialize()], columns)
    return Encoded(FILE, _arrow_file(value), columns)


class _Chunks:
    """A file that keeps what is written to it as it was handed over, without copying it."""

    closed = False

    def __init__(self) -> None:
        self.chunks: list[bytes | memoryview] = []
        self._at = 0

    def write(self, data: Any) -> int:
        view = memoryview(data)
        self.chunks.append(data if isinstance(data, bytes) else view)
        self._at += view.nbytes
        return view.nbytes

    def tell(self) -> int:
        return self._at

    def flush(self) -> None:
        """Nothing waits."""

    def close(self) -> None:
        """Nothing is held."""

    def readable(self) -> bool:
        return False

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False


def _arrow_file(value: pl.DataFrame) -> list[bytes | memoryview]:
    """The frame as an Arrow file whose chunks are the frame's own memory where that is all of it."""
    import pyarrow as pa

    if value.n_chunks() > _MOST_CHUNKS:
        value = value.rechunk()
    out = _Chunks()
    table = value.to_arrow(compat_level=pl.CompatLevel.newest())
    if table.get_total_buffer_size() > 2 * value.estimated_size() + _SMALL:
        # A slice of a text column still holds the texts of the whole; polars' own writer leaves the rest out.
        copy = io.BytesIO()
        value.rechunk().write_ipc(copy, compat_level=pl.CompatLevel.newest())
        return [copy.getbuffer()]
    with pa.ipc.new_file(pa.PythonFile(out, mode="w"), table.schema) as writer:
        writer.write_table(table)
    return out.chunks


def decode(codec: str, data: memoryview) -> Any:
    """The frame, lazy frame or series that `encode` wrote, on the data's own memory."""
    if codec.startswith("lazy-"):
        return decode(codec.removeprefix("lazy-"), data).lazy()
    if codec.startswith("series-"):
        return decode(codec.removeprefix("series-"), data).to_series()
    if codec == NATIVE:
        return pl.DataFrame.deserialize(io.BytesIO(data))
    import pyarrow as pa

    return pl.from_arrow(pa.ipc.open_file(pa.py_buffer(data)).read_all())
