"""The person's functions and classes inside data values."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable
from typing import Any, Final

from mlstudio_lab.capture.items import held_function, innermost

_FLAT: Final = (str, bytes, bytearray, int, float, complex, bool, type(None), range, memoryview)
_CLOSED: Final = frozenset({"polars", "pyarrow", "datetime", "decimal", "zoneinfo", "pathlib", "re", "torch", "duckdb"})
"""Packages whose objects hold no functions of anybody else."""


def code_in(value: object, own: Callable[[object], bool]) -> list[Any]:
    """Functions and classes of the person's that a value refers to, those of instances included, in order.

    Args:
        value: Any value; frames and arrays of plain numbers are not entered.
        own: Whether a function or class is the person's.
    """
    found: dict[int, Any] = {}
    seen: set[int] = set()
    keep: list[object] = []
    stack: list[object] = [value]
    while stack:
        one = stack.pop()
        kind = type(one)
        if kind in _FLAT or id(one) in seen:
            continue
        seen.add(id(one))
        keep.append(one)  # an id stays true only while its object lives
        if isinstance(one, (types.FunctionType, type)) or held_function(one) is not one:
            code = held_function(one)
            inner = innermost(code)
            if own(code) or own(inner):
                found[id(code)] = code
            continue
        if own(kind):
            found[id(kind)] = kind
        if kind in (list, tuple, set, frozenset):
            stack.extend(reversed([x for x in one if type(x) not in _FLAT]))  # type: ignore[attr-defined]
        elif kind is dict:
            for k, v in one.items():  # type: ignore[attr-defined]
                if type(v) not in _FLAT:
                    stack.append(v)
                if type(k) not in _FLAT:
                    stack.append(k)
        elif isinstance(one, functools.partial):
            stack.extend((one.func, one.args, one.keywords))
        elif isinstance(one, types.MethodType):
            stack.extend((one.__self__, one.__func__))
        elif kind.__module__.partition(".")[0] not in _CLOSED:
            _enter(one, stack)
    return list(found.values())


def _enter(one: object, stack: list[object]) -> None:
    """An object's parts: its attributes, slots, and items when it is a kind of container."""
    kind = type(one)
    root = kind.__module__.partition(".")[0]
    if root == "numpy":
        if getattr(one, "dtype", None) is not None and one.dtype.hasobject and hasattr(one, "tolist"):  # type: ignore[attr-defined]
            stack.append(one.tolist())
        return
    if root == "pandas":
        if hasattr(one, "attrs"):
            columns: Any = getattr(one, "dtypes", None)
            kinds = list(columns) if hasattr(columns, "__iter__") else [columns]
            if any(str(k) == "object" for k in kinds):
                stack.extend((c.tolist() for _, c in one.items()) if hasattr(one, "columns") else [one.tolist()])  # type: ignore[attr-defined]
        return
    if isinstance(one, (list, tuple, set, frozenset)):
        stack.extend(one)
    elif isinstance(one, dict):
        stack.extend(dict.values(one))
        stack.extend(dict.keys(one))
        factory = getattr(one, "default_factory", None)
        if factory is not None:
            stack.append(factory)
    held = getattr(one, "__dict__", None)
    if isinstance(held, dict):
        stack.append(held)
    for cls in kind.__mro__:
        slots: Any = cls.__dict__.get("__slots__", ())
        for slot in (slots,) if isinstance(slots, str) else slots:
            present = getattr(one, slot, None) if not slot.startswith("__") else None
            if present is not None:
                stack.append(present)
