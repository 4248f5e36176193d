"""Data that functions and classes hold: defaults, attributes. A change to it stays in the process where it happened."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import FunctionType, MethodType
from typing import Any, Final

from mlstudio_lab.data.code_refs import CodeRefs
from mlstudio_lab.data.content import digest_values

_PLAIN: Final = (bool, int, float, complex, str, bytes, type(None))
_CODE: Final = (FunctionType, MethodType, type, property, classmethod, staticmethod)


def held_state(names: Mapping[str, Any], wanted: Collection[str], code: CodeRefs) -> dict[str, object]:
    """What each function or class among the wanted names holds, in a form that can be compared later.

    Args:
        names: Global names.
        wanted: Which of them to look at.
        code: The person's functions and classes.

    Example:
        >>> def f(x=[]): x.append(1)
        >>> before = held_state({"f": f}, ["f"], NoCode()); f(); before == held_state({"f": f}, ["f"], NoCode())
        False
    """
    found: dict[str, object] = {}
    for name in wanted:
        value = dict.get(names, name) if isinstance(names, dict) else names.get(name)
        value = getattr(value, "__mlstudio_function__", value) if not isinstance(value, type) else value
        if isinstance(value, (type, FunctionType)):
            found[name] = _state(value, code)
    return found


def changed_state(before: Mapping[str, object], after: Mapping[str, object]) -> str:
    """The first name whose function or class holds something else now, "" when none does."""
    return next((name for name, state in before.items() if name in after and after[name] != state), "")


def _state(value: Any, code: CodeRefs) -> object:
    if isinstance(value, type):
        return [(key, _part(part, code)) for key, part in list(vars(value).items()) if not _is_pythons(key)]
    parts: list[Any] = [_part(one, code) for one in (*(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values())]
    for key, part in list(vars(value).items()):
        parts.append((key, _state(part, code) if key == "__wrapped__" and isinstance(part, FunctionType) else _part(part, code)))
    return parts


def _part(part: Any, code: CodeRefs) -> object:
    if isinstance(part, _PLAIN):
        return type(part), repr(part)
    if isinstance(part, _CODE) or callable(part):
        return id(part)
    return digest_values({"part": part}, code)["part"].digest or id(part)


def _is_pythons(name: str) -> bool:
    """Whether Python itself keeps this in a class, some of it only once it is used."""
    return (name.startswith("__") and name.endswith("__")) or name.startswith("_abc_")
