"""A bundle's local `.py` files, importable by their dotted names from memory, for one run only."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
from collections.abc import Mapping, Sequence
from types import ModuleType

from mlstudio_lab.calling.sources import Place, compiled


class _Loader(importlib.abc.InspectLoader):
    def __init__(self, sources: Mapping[str, tuple[str, Place]]) -> None:
        self._sources = sources

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        name = module.__name__
        if name not in self._sources:
            return  # the package above a captured file, itself not captured: empty
        source, place = self._sources[name]
        module.__file__ = place.file
        exec(compiled(source, place.file, place.line), module.__dict__)

    def get_source(self, fullname: str) -> str:
        return self._sources[fullname][0] if fullname in self._sources else ""

    def is_package(self, fullname: str) -> bool:
        return any(other.startswith(fullname + ".") for other in self._sources) or self._file(fullname).endswith("__init__.py")

    def _file(self, name: str) -> str:
        return self._sources[name][1].file if name in self._sources else ""


class LocalModules(importlib.abc.MetaPathFinder):
    """Within this block the given files are what their dotted names import; afterwards no trace of them is left.

    One module's `helpers` is never another's: modules of these names that were loaded before stand aside meanwhile.

    Args:
        sources: Dotted name -> (text, where it stands).
    """

    def __init__(self, sources: Mapping[str, tuple[str, Place]]) -> None:
        self._sources = sources
        self._loader = _Loader(sources)
        self._names = set(sources)
        for name in sources:
            parts = name.split(".")
            self._names.update(".".join(parts[:n]) for n in range(1, len(parts)))
        self._aside: dict[str, ModuleType] = {}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The spec of a captured file, None for any other name."""
        if fullname not in self._names:
            return None
        package = self._loader.is_package(fullname)
        spec = importlib.machinery.ModuleSpec(fullname, self._loader, origin=self._loader._file(fullname) or None, is_package=package)
        spec.has_location = False
        return spec

    def serves(self, name: str) -> bool:
        """Whether a dotted name is one of the given files or a package above one."""
        return name in self._names

    def __enter__(self) -> None:
        if self._sources:
            self._aside = self._take_out()
            sys.meta_path.insert(0, self)

    def __exit__(self, *_: object) -> None:
        if self._sources:
            sys.meta_path.remove(self)
            self._take_out()
            sys.modules.update(self._aside)

    def _take_out(self) -> dict[str, ModuleType]:
        roots = {name.partition(".")[0] for name in self._names}
        names = [name for name in sys.modules if name.partition(".")[0] in roots]
        return {name: sys.modules.pop(name) for name in names}
