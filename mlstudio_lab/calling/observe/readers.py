"""Readers and writers written in Rust and C++, which raise no audit event: their paths are noted at the Python door."""

from __future__ import annotations

import glob
import inspect
import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from mlstudio_lab.calling.observe.wraps import Wraps

_REMOTE: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]+://")
_QUOTED: Final = re.compile(r"'([^']+)'|\"([^\"]+)\"")

_POLARS_FILES: Final = (
    "read_csv", "read_csv_batched", "read_parquet", "read_parquet_schema", "read_parquet_metadata", "read_ipc", "read_ipc_schema",
    "read_ipc_stream", "read_json", "read_ndjson", "read_avro", "read_excel", "read_ods", "read_delta", "read_lines",
    "scan_csv", "scan_parquet", "scan_ipc", "scan_ndjson", "scan_delta", "scan_lines",
)  # fmt: skip
_POLARS_REMOTE: Final = ("read_database", "read_database_uri", "read_clipboard", "scan_iceberg", "scan_pyarrow_dataset")


def polars(wraps: Wraps) -> None:
    """Wraps polars' readers, scanners, writers, sinks and unseeded sampling."""
    module = sys.modules["polars"]
    for name in _POLARS_FILES:
        wraps.wrap(module, name, _reading(wraps, f"polars.{name}"))
    for name in _POLARS_REMOTE:
        wraps.wrap(module, name, _impure(wraps, "network" if "database" in name else "file", f"reads outside data (polars.{name})"))
    for cls in (module.DataFrame, module.LazyFrame):
        for name in [n for n in vars(cls) if n.startswith(("write_", "sink_")) and n not in ("write_json", "write_ndjson", "write_csv")]:
            wraps.wrap(cls, name, _writing(wraps, name))
    for name in ("write_csv", "write_json", "write_ndjson"):
        wraps.wrap(module.DataFrame, name, _writing(wraps, name, optional=True))
    wraps.wrap(module, "set_random_seed", _seeding(wraps))
    for cls in (module.DataFrame, module.Series, module.Expr):
        for name in ("sample", "shuffle"):
            wraps.wrap(cls, name, _sampling(wraps, name))


def pyarrow(wraps: Wraps) -> None:
    """Wraps pyarrow's own openers."""
    module = sys.modules["pyarrow"]
    wraps.wrap(module, "memory_map", _reading(wraps, "pyarrow.memory_map"))
    wraps.wrap(module, "input_stream", _reading(wraps, "pyarrow.input_stream"))


def pyarrow_parquet(wraps: Wraps) -> None:
    """Wraps pyarrow's parquet functions."""
    module = sys.modules["pyarrow.parquet"]
    for name in ("read_table", "read_metadata", "read_schema", "read_pandas"):
        wraps.wrap(module, name, _reading(wraps, f"pyarrow.parquet.{name}"))
    wraps.wrap(module.ParquetFile, "__init__", _reading(wraps, "pyarrow.parquet.ParquetFile", method=True))
    wraps.wrap(module, "write_table", _writing(wraps, "write_table"))


def pyarrow_csv(wraps: Wraps) -> None:
    """Wraps pyarrow's csv functions."""
    module = sys.modules["pyarrow.csv"]
    for name in ("read_csv", "open_csv"):
        wraps.wrap(module, name, _reading(wraps, f"pyarrow.csv.{name}"))
    wraps.wrap(module, "write_csv", _writing(wraps, "write_csv"))


def pyarrow_feather(wraps: Wraps) -> None:
    """Wraps pyarrow's feather functions."""
    module = sys.modules["pyarrow.feather"]
    for name in ("read_table", "read_feather"):
        wraps.wrap(module, name, _reading(wraps, f"pyarrow.feather.{name}"))
    wraps.wrap(module, "write_feather", _writing(wraps, "write_feather"))


def pyarrow_dataset(wraps: Wraps) -> None:
    """Wraps pyarrow's dataset functions."""
    module = sys.modules["pyarrow.dataset"]
    wraps.wrap(module, "dataset", _reading(wraps, "pyarrow.dataset.dataset"))
    wraps.wrap(module, "write_dataset", _writing(wraps, "write_dataset"))


def pyarrow_json(wraps: Wraps) -> None:
    """Wraps pyarrow's JSON reader."""
    wraps.wrap(sys.modules["pyarrow.json"], "read_json", _reading(wraps, "pyarrow.json.read_json"))


def duckdb(wraps: Wraps) -> None:
    """Wraps duckdb's doors: files named in SQL text are noted, a connection's own reads cannot be."""
    module = sys.modules["duckdb"]
    for name in ("read_csv", "read_parquet", "read_json", "from_csv_auto", "from_parquet"):
        wraps.wrap(module, name, _reading(wraps, f"duckdb.{name}"))
    for name in ("sql", "query", "execute"):
        wraps.wrap(module, name, _sql(wraps))
    wraps.wrap(module, "connect", _impure(wraps, "file", "opens a duckdb connection, whose reads cannot be observed"))


def _reading(wraps: Wraps, label: str, *, method: bool = False) -> Callable[[Any], Any]:
    def outer(original: Any) -> Any:
        def reader(*args: Any, **kwargs: Any) -> Any:
            observer = wraps.observer
            if observer is not None:
                given = args[1:] if method else args
                source = given[0] if given else next((kwargs[k] for k in _SOURCES if k in kwargs), None)
                for path in _sources(source):
                    if _REMOTE.match(path) and not path.startswith("file://"):
                        observer.impure("network", f"reads {path.split('://')[0]}:// data ({label})", sys._getframe(1))
                        continue
                    for found in _expanded(path.removeprefix("file://")):
                        observer.reads(found)
            return original(*args, **kwargs)

        return _signed(reader, original)

    return outer


_SOURCES: Final = ("source", "path", "input_file", "paths", "where", "file", "path_or_file_glob")


def _sources(source: Any) -> Iterable[str]:
    if isinstance(source, (str, os.PathLike)):
        text = os.fspath(source)
        return [text if isinstance(text, str) else os.fsdecode(text)]
    if isinstance(source, Sequence) and not isinstance(source, (bytes, bytearray, memoryview)):
        return [path for item in source for path in _sources(item)]
    return []


def _expanded(path: str) -> list[str]:
    """The files a reader opens for one path: itself, or what a pattern or folder holds now."""
    if glob.has_magic(path) and not os.path.exists(path):
        folder = os.path.dirname(path)
        return [*sorted(glob.glob(path, recursive=True)), *([folder or "."] if not glob.has_magic(folder) else [])]
    if os.path.isdir(path):
        return [path, *(os.path.join(folder, name) for folder, _, names in os.walk(path) for name in sorted(names))]
    return [path]


def _writing(wraps: Wraps, name: str, *, optional: bool = False) -> Callable[[Any], Any]:
    def outer(original: Any) -> Any:
        def writer(*args: Any, **kwargs: Any) -> Any:
            observer = wraps.observer
            if observer is not None:
                targets = [a for a in (*args[:3], *kwargs.values()) if isinstance(a, (str, os.PathLike))]
                if targets:
                    observer.writes(os.fspath(targets[0]))
                elif not optional and "database" in name:
                    observer.impure("network", f"writes to a database ({name})", sys._getframe(1))
            return original(*args, **kwargs)

        return _signed(writer, original)

    return outer


def _impure(wraps: Wraps, what: str, detail: str) -> Callable[[Any], Any]:
    def outer(original: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            if wraps.observer is not None:
                wraps.observer.impure(what, detail, sys._getframe(1))
            return original(*args, **kwargs)

        return _signed(call, original)

    return outer


def _sampling(wraps: Wraps, name: str) -> Callable[[Any], Any]:
    def outer(original: Any) -> Any:
        def sample(*args: Any, **kwargs: Any) -> Any:
            observer = wraps.observer
            seeded = kwargs.get("seed") is not None or (name == "shuffle" and len(args) > 1)
            if observer is not None and not seeded and not observer.is_seeded("polars"):
                observer.impure("random", f"polars {name} without a seed", sys._getframe(1))
            return original(*args, **kwargs)

        return _signed(sample, original)

    return outer


def _seeding(wraps: Wraps) -> Callable[[Any], Any]:
    def outer(original: Any) -> Any:
        def set_random_seed(seed: int) -> None:
            if wraps.observer is not None:
                wraps.observer.seeding("polars")
            original(seed)

        return _signed(set_random_seed, original)

    return outer


def _sql(wraps: Wraps) -> Callable[[Any], Any]:
    def outer(original: Any) -> Any:
        def run(query: Any, *args: Any, **kwargs: Any) -> Any:
            observer = wraps.observer
            if observer is not None and isinstance(query, str):
                for one, two in _QUOTED.findall(query):
                    path = one or two
                    if os.path.exists(path) or (glob.has_magic(path) and glob.glob(path)):
                        for found in _expanded(path):
                            observer.reads(found)
                    elif _REMOTE.match(path):
                        observer.impure("network", "reads remote data (duckdb)", sys._getframe(1))
            return original(query, *args, **kwargs)

        return run

    return outer


def _signed(wrapped: Any, original: Any) -> Any:
    """Keeps the signature people and completers see."""
    if inspect.isfunction(original):
        wrapped.__wrapped__ = original
    return wrapped
