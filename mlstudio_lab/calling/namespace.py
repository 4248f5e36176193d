"""The `__main__` a module runs in: a private module whose dictionary remembers what it was asked for and did not have."""

from __future__ import annotations

import builtins
import sys
from types import ModuleType
from typing import Any, Final

_NONE: Final = object()

OWN: Final = frozenset({"__name__", "__doc__", "__package__", "__loader__", "__spec__", "__builtins__", "__annotations__"})
"""Names every `__main__` has by itself."""


class Namespace(dict[str, Any]):
    """Global names of one run; a name that is nowhere is kept in `missing`.

    The interpreter asks a dictionary's subclass for every global it does not find (`__missing__`), also from inside
    functions, so names met only in `eval` strings are noticed too. Builtins are copied in when first used, which keeps
    a second use as fast as any other global.

    Example:
        >>> names = Namespace(x=1)
        >>> try: eval("x + y", names)
        ... except NameError: list(names.missing)
        ['y']
    """

    __slots__ = ("cached", "missing")

    def __init__(self, *args: Any, **values: Any) -> None:
        super().__init__(*args, **values)
        self.missing: dict[str, None] = {}
        self.cached: dict[str, Any] = {}

    def __missing__(self, name: str) -> Any:
        value = builtins.__dict__.get(name, _NONE)
        if value is not _NONE:
            if name not in ("display", "get_ipython", "_"):
                self[name] = self.cached[name] = value
            return value
        if isinstance(name, str) and not name.startswith("__"):
            self.missing[name] = None
        raise KeyError(name)

    def get(self, name: str, default: Any = None, /) -> Any:
        """As a dictionary's, and the name is remembered when it is not here."""
        if name not in self:
            return default
        return dict.__getitem__(self, name)

    def __contains__(self, name: object) -> bool:
        if dict.__contains__(self, name):
            return True
        if isinstance(name, str) and not name.startswith("__") and not hasattr(builtins, name):
            self.missing[name] = None
        return False

    def bound(self) -> dict[str, Any]:
        """The names a person's code bound or was given, without what every module has and builtins met on the way."""
        cached = self.cached
        return {k: v for k, v in self.items() if k not in OWN and not (k in cached and cached[k] is v)}


class MainModule(ModuleType):
    """A module named `__main__` whose names are those of a `Namespace`."""

    def __init__(self, names: Namespace) -> None:
        super().__init__("__main__")
        object.__setattr__(self, "_names", names)
        names.update(
            __name__="__main__", __doc__=None, __package__=None, __loader__=None, __spec__=None, __builtins__=builtins
        )  # fmt: skip

    def __getattribute__(self, name: str) -> Any:
        names: Namespace = object.__getattribute__(self, "_names")
        if name == "__dict__":
            return names
        value = dict.get(names, name, _NONE)
        if value is not _NONE:
            return value
        return super().__getattribute__(name)

    def __setattr__(self, name: str, value: Any) -> None:
        self.__dict__[name] = value

    def __delattr__(self, name: str) -> None:
        try:
            del self.__dict__[name]
        except KeyError:
            raise AttributeError(f"module '__main__' has no attribute {name!r}") from None

    def __dir__(self) -> list[str]:
        return sorted(self.__dict__)


class InPlace:
    """A module stands as `sys.modules["__main__"]` within this block; the former one is back afterwards."""

    __slots__ = ("_before", "_module")

    def __init__(self, module: ModuleType) -> None:
        self._module = module

    def __enter__(self) -> None:
        self._before = sys.modules.get("__main__")
        sys.modules["__main__"] = self._module

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            sys.modules["__main__"] = self._before
