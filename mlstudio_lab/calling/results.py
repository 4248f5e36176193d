"""What a run gives back: bound names, changed inputs, and whatever of it cannot cross."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import BuiltinFunctionType, FunctionType, GeneratorType, ModuleType
from typing import Any, Final

from mlstudio_lab.core.errors import CannotCross

_CODE: Final = (FunctionType, BuiltinFunctionType, type, ModuleType)


def returned(value: Any, entry: str) -> Any:
    """A function's result, when it can be given back.

    Raises:
        CannotCross: A generator, coroutine or other iterator that only its own process can go on with.
    """
    kind = _running(value)
    if kind:
        fix = "await it inside, or make the function plain" if kind == "a coroutine" else "return a list: return list(...)"
        raise CannotCross(f"`{entry}` returns {kind}, which cannot leave its process", subject=f"return: {type(value).__name__}", hint=fix)
    return value


def is_running(value: object) -> bool:
    """Whether a value is a generator or coroutine, which only its own process can go on with."""
    return bool(_running(value))


def _running(value: Any) -> str:
    import inspect

    if isinstance(value, GeneratorType):
        return "a generator"
    if inspect.iscoroutine(value):
        return "a coroutine"
    if inspect.isasyncgen(value):
        return "an asynchronous generator"
    return ""


def bound_names(
    before: Mapping[str, Any], after: Mapping[str, Any], static: Collection[str], wanted: Collection[str] | None
) -> dict[str, Any]:
    """The data a cell bound: names new or bound anew, and those its source binds; functions, classes and modules are code.

    Args:
        before: Names and values before the cell ran.
        after: Names and values afterwards.
        static: Names the source binds.
        wanted: Only these, None for all.

    Example:
        >>> bound_names({"x": 1}, {"x": 1, "y": 2}, ["x"], None)
        {'x': 1, 'y': 2}
    """
    found = {}
    for name, value in after.items():
        if name.startswith("__") and name.endswith("__"):
            continue  # Python's own, such as __warningregistry__
        if wanted is not None:
            if name not in wanted:
                continue
        elif name in before and before[name] is value and name not in static:
            continue
        # What the source computes is a result even when it is code: no definition makes it again in the kernel.
        if not isinstance(value, _CODE) or name in static:
            found[name] = value
    return found


def deleted_names(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Names that were there and are not any more."""
    return sorted(before.keys() - after.keys())


def is_spent(value: object) -> bool:
    """Whether a value that cannot cross is of no use to anybody: a closed file, left by a `with` block.

    Example:
        >>> import io; file = io.StringIO(); file.close(); is_spent(file)
        True
    """
    return getattr(value, "closed", None) is True and hasattr(value, "close")


def is_display_only(value: object) -> bool:
    """Whether a cell's last value is the handle of something drawn, which nobody reads through `_`."""
    first = value[0] if isinstance(value, (list, tuple)) and value else value
    return type(first).__module__.partition(".")[0] in ("matplotlib", "mpl_toolkits", "seaborn")
