"""A bundle made ready to run: a private `__main__`, its definitions executed, its local files importable."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mlstudio_lab.calling.code import LoadedCode
from mlstudio_lab.calling.local_modules import LocalModules
from mlstudio_lab.calling.namespace import InPlace, MainModule, Namespace
from mlstudio_lab.calling.sources import CellCode, Lines, Place, compiled, compiled_cell, flags_of_bundle, places
from mlstudio_lab.core.bundle import Bundle, Unit
from mlstudio_lab.core.errors import BadInput


@dataclass(slots=True)
class Loaded:
    """A bundle that can be run; valid inside the block of `load` only.

    Attributes:
        bundle: Its source.
        module: The private `__main__`.
        namespace: The module's global names.
        code: Names of its functions and classes.
        files: File names of the person's own code, for frames.
        main_file: The file name of the cell or function itself.
    """

    bundle: Bundle
    module: MainModule
    namespace: Namespace
    code: LoadedCode
    files: frozenset[str]
    main_file: str
    main_line: int
    _places: dict[tuple[str, str], Place]
    _pending: list[Unit] = field(default_factory=list)

    def run_imports(self) -> None:
        """Executes imports and constants.

        Raises:
            SyntaxError: A unit is not Python.
            ImportError: An import of the bundle fails here.
        """
        for unit in self.bundle.units:
            if unit.role in ("import", "constant"):
                self._run(unit)

    def run_definitions(self) -> None:
        """Executes the definitions that have not been yet; for a function module its own text too."""
        while self._pending:
            self._run(self._pending.pop(0))
        if self.bundle.kind == "function":
            self._run(self.bundle.main)

    def cell(self) -> CellCode:
        """The cell's compiled code.

        Raises:
            SyntaxError: It is not Python.
        """
        place = self._places["main", self.bundle.main.name]
        return compiled_cell(self.bundle.main.source, place.file, place.line, flags_of_bundle(self.bundle))

    @property
    def call(self) -> Callable[..., Any]:
        """The entry function of a function module.

        Raises:
            BadInput: The bundle has no such function.
        """
        entry = dict.get(self.namespace, self.bundle.entry)
        if not callable(entry):
            raise BadInput(
                f"the module's entry `{self.bundle.entry}` is not a function in it",
                subject=self.bundle.entry,
                hint="name the function to call: %%module NS/NAME --entry FUNCTION",
            )
        return entry  # type: ignore[no-any-return]

    def run_until(self, name: str) -> None:
        """Executes definitions up to the one that binds a name, or all of them."""
        while self._pending and not dict.__contains__(self.namespace, name):
            self._run(self._pending.pop(0))

    def _run(self, unit: Unit) -> None:
        place = self._places[unit.role, unit.name]
        exec(compiled(unit.source, place.file, place.line, flags_of_bundle(self.bundle)), self.namespace)


@contextlib.contextmanager
def load(bundle: Bundle, origins: Mapping[str, Sequence[Any]], *, name: str = "module", main_module: bool = True) -> Iterator[Loaded]:
    """A bundle set up to run: next come `run_imports`, the inputs as global names, `run_definitions`, then the call.

    Definitions come after the inputs because their defaults, decorators and class bodies may read data; a class that
    data needs is defined as soon as the data names it.

    Args:
        bundle: The code.
        origins: Unit name -> [file, first line].
        name: The module's `namespace/name`, for units without an origin.
        main_module: Whether it stands as `sys.modules["__main__"]` meanwhile.

    Example:
        >>> with load(bundle, {}) as loaded:
        ...     loaded.run_imports()
        ...     loaded.run_definitions()
        ...     loaded.call(1)
    """
    where = places(bundle, origins, name)
    units = [(unit, where[unit.role, unit.name]) for unit in bundle.units if unit.role != "test"]
    names = Namespace()
    module = MainModule(names)
    local = {unit.name: (unit.source, place) for unit, place in units if unit.role == "module"}
    main = where["main", bundle.main.name]
    loaded = Loaded(
        bundle, module, names, LoadedCode(names, local, lambda _: None, dict), frozenset(place.file for _, place in units),
        main.file, main.line, where, [unit for unit in bundle.units if unit.role == "definition"],
    )  # fmt: skip
    loaded.code = LoadedCode(names, local, loaded.run_until, lambda: _digests(bundle))
    with Lines(units), LocalModules(local), InPlace(module) if main_module else contextlib.nullcontext():
        yield loaded


def _digests(bundle: Bundle) -> dict[str, str]:
    from mlstudio_lab.core.code_digest import code_tree

    return code_tree(bundle)
