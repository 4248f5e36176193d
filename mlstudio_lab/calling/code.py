"""Functions and classes of a loaded module by stable names, so that instances cross by qualified name."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection
from types import FunctionType
from typing import Any

from mlstudio_lab.core.errors import CannotCross


class LoadedCode:
    """Names of the person's functions and classes in a worker (see `data.code_refs.CodeRefs`): `module:Qualified.name`.

    Args:
        names: The run's global names.
        modules: Dotted names of the bundle's local modules.
        provide: Called with a global name that is not bound yet; runs the definitions up to it.
        digests: Unit name -> digest of its code, or a function giving them when first needed.
    """

    def __init__(
        self,
        names: dict[str, Any],
        modules: Collection[str],
        provide: Callable[[str], None],
        digests: Callable[[], dict[str, str]],
    ) -> None:
        self._names = names
        self._modules = frozenset(modules)
        self._provide = provide
        self._digests = digests

    def name_of(self, obj: object) -> str | None:
        """The stable name of the person's function or class; None for anything else."""
        if not isinstance(obj, (type, FunctionType)):
            return None
        module, qualified = getattr(obj, "__module__", None), getattr(obj, "__qualname__", "")
        if (module != "__main__" and module not in self._modules) or "<" in qualified:
            return None
        found = self._look(module, qualified)
        return f"{module}:{qualified}" if found is obj else None

    def find(self, name: str) -> object:
        """The function or class of that name.

        Raises:
            CannotCross: The bundle has none.
        """
        module, _, qualified = name.partition(":")
        if module == "__main__" and (first := qualified.partition(".")[0]) and not dict.__contains__(self._names, first):
            self._provide(first)
        found = self._look(module, qualified)
        if found is None:
            raise CannotCross(
                f"`{qualified}` is not part of this module's code", subject=name, hint="define it in a cell before the one that uses it"
            )
        return found

    def digest_of(self, obj: object) -> str | None:
        """The digest of the code of the unit an object is defined in; None for what is not the person's."""
        name = self.name_of(obj)
        if name is None:
            return None
        module, _, qualified = name.partition(":")
        digests = self._digests()
        return digests.get(qualified.partition(".")[0] if module == "__main__" else module) or digests.get("main")

    def _look(self, module: str, qualified: str) -> object | None:
        parts = qualified.split(".")
        if module == "__main__":
            found: Any = dict.get(self._names, parts[0])
        else:
            found = getattr(sys.modules.get(module), parts[0], None)
        for part in parts[1:]:
            found = getattr(found, part, None)
        return found  # type: ignore[no-any-return]
