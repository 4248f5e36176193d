"""scipy's sparse matrices without the flags that merely reading them sets."""

from __future__ import annotations

from typing import Any, Final

from mlstudio_lab.data.naming import qualified, text
from mlstudio_lab.data.shapes import Reader, Shape, scalar_bytes

_PARTS: Final = {**dict.fromkeys(("csr", "csc", "bsr"), ("data", "indices", "indptr")), "dia": ("data", "offsets")}


def reader_of(kind: type) -> Reader | None:
    """How a sparse matrix type is taken apart, None for everything else."""
    if getattr(kind, "format", None) is not None and hasattr(kind, "todense") and _parts(kind):
        return _sparse, True
    return None


def _parts(kind: type) -> tuple[str, ...] | None:
    name = kind.__name__.partition("_")[0]
    return ("data", "coords") if name == "coo" else _PARTS.get(name)


def _sparse(value: Any) -> Shape:
    parts = _parts(type(value)) or ()
    return Shape(b"scipy.sparse", text(qualified(type(value))) + scalar_bytes(list(value.shape)), [getattr(value, part) for part in parts])
