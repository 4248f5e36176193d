"""Names of types, functions and classes, and which values are code."""

from __future__ import annotations

import struct
import sys
import types
from typing import Any, Final

_CODE: Final = (type, types.FunctionType, types.BuiltinFunctionType, types.MethodDescriptorType, types.WrapperDescriptorType)


def text(*parts: str) -> bytes:
    """Strings as length-framed bytes."""
    out: list[bytes] = []
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        out += (struct.pack(">I", len(data)), data)
    return b"".join(out)


def qualified(obj: object) -> str:
    """`module.qualname` of a type or function.

    Example:
        >>> qualified(dict)
        'builtins.dict'
    """
    return f"{getattr(obj, '__module__', None) or 'builtins'}.{getattr(obj, '__qualname__', None) or getattr(obj, '__name__', '?')}"


def importable(obj: object) -> str | None:
    """`module:qualname` when importing that gives this very object, else None; `__main__` is not importable.

    Example:
        >>> importable(dict), importable(lambda: 0)
        ('builtins:dict', None)
    """
    name = getattr(obj, "__qualname__", None) or getattr(obj, "__name__", None)
    home = getattr(obj, "__module__", None)
    if not isinstance(name, str) or "<" in name:
        return None
    for module in (home,) if isinstance(home, str) else _homes(name, obj):
        if module == "__main__":
            return None
        found: Any = sys.modules.get(module)
        for part in name.split("."):
            found = getattr(found, part, None)
        if found is obj:
            return f"{module}:{name}"
    return None


def _homes(name: str, obj: object) -> list[str]:
    """Modules in which an object without `__module__` (a ufunc) is an attribute; the shortest name first."""
    first = type(obj).__module__.partition(".")[0]
    return sorted((m for m in list(sys.modules) if m.partition(".")[0] == first), key=lambda m: (len(m), m))


def is_code(obj: object) -> bool:
    """Whether a value is a function or class, which travels by name and is digested by its code."""
    if isinstance(obj, _CODE):
        return not (isinstance(obj, types.BuiltinFunctionType) and _is_bound(obj))
    return type(obj).__name__ in ("cython_function_or_method", "_lru_cache_wrapper")


def _is_bound(obj: Any) -> bool:
    return obj.__self__ is not None and not isinstance(obj.__self__, types.ModuleType)
