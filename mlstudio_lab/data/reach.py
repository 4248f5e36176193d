"""Which of a person's functions and classes are reachable in values."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from mlstudio_lab.core.errors import CannotCross
from mlstudio_lab.data.naming import is_code, qualified, text
from mlstudio_lab.data.shapes import Shape
from mlstudio_lab.data.walk import Walk


class _Collector:
    """A walk's namer that keeps the code it meets."""

    def __init__(self, modules: Collection[str]) -> None:
        self.found: dict[int, object] = {}
        self._modules = {"__main__", *modules}

    def code(self, obj: object) -> bytes:
        """Keeps code of the given modules."""
        if getattr(obj, "__module__", None) in self._modules:
            self.found.setdefault(id(obj), obj)
        return text(qualified(obj))

    def refused(self, value: object, error: CannotCross) -> Shape:
        """A shape of the value's class alone, so that the class is met."""
        return Shape(b"refused", b"", [type(value)] if not is_code(value) else [])


def code_in(values: Mapping[str, object], modules: Collection[str] = ()) -> list[object]:
    """Functions and classes of `__main__` or the given modules in the values, classes of instances too, in walk order.

    Example:
        >>> code_in({"x": [dict, 1]})
        []
    """
    collector = _Collector(modules)
    walk = Walk(collector, content=False)
    for name in sorted(values):
        try:
            for _ in walk.root(name, values[name])[1]:
                pass
        except CannotCross:
            # A set whose elements nothing tells apart: its code was met while they were compared.
            continue
    return list(collector.found.values())
