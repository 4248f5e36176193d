"""Everything a piece of code needs, as units of a bundle: the walk from names to text."""

from __future__ import annotations

import ast
import builtins
import sys
import types
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any, Final

from mlstudio_lab.capture import modules
from mlstudio_lab.capture.environment import origin_of
from mlstudio_lab.capture.held_code import code_in
from mlstudio_lab.capture.items import HISTORY_NAMES, KERNEL_NAMES, Item, Scope, held_function, resolve, small_literal
from mlstudio_lab.capture.scopes import names_of
from mlstudio_lab.core.bundle import Unit
from mlstudio_lab.core.magic_lines import parse_cell

NONE: Final = object()
_BUILTINS: Final = vars(builtins)
_EAGER: Final = frozenset({"numpy", "pandas", "polars", "os"})
"""Packages whose submodules are there as soon as they are imported."""


class Closure:
    """Names resolved to code or data, transitively.

    Args:
        scope: The live namespace.
        literals: Whether small literals become constants of the bundle (function modules) and not inputs (cells).

    Attributes:
        items: Name -> code.
        constants: Name -> literal text.
        data: Name -> live value, in order of first need.
        stale: Why the bundle is not what the kernel would run, "" when it is.
        kernel_only: Why the bundle cannot run elsewhere, "" when it can.
    """

    def __init__(self, scope: Scope, *, literals: bool) -> None:
        self.scope = scope
        self.literals = literals
        self.items: dict[str, Item] = {}
        self.constants: dict[str, str] = {}
        self.data: dict[str, Any] = {}
        self.stale = ""
        self.kernel_only = ""
        self.named: dict[int, str] = {}
        self._overlay: dict[str, Any] = {}
        self._resolved: dict[str, Item | None] = {}

    def look(self, name: str) -> Any:
        """The live object of a name, `NONE` when there is none or it is a builtin's own."""
        if name in self._overlay:
            return self._overlay[name]
        value = self.scope.namespace.get(name, NONE)
        if value is NONE or name in KERNEL_NAMES or value is _BUILTINS.get(name, NONE):
            return NONE
        return value

    def overlay(self, name: str, held: Any) -> None:
        """Makes a name stand for a live object that the namespace does not have under it."""
        self._overlay[name] = held

    def item(self, name: str) -> Item | None:
        """A name's code, None when it is data or nothing."""
        if name in self._resolved:
            return self._resolved[name]
        value = self.look(name)
        item = None if value is NONE else resolve(name, value, self.scope)
        self._resolved[name] = item
        if item is not None:
            for reference, held in item.refs.items():
                self._overlay[reference] = held
        return item

    def reads_of(self, name: str) -> Iterable[str]:
        """Global names read by the code a name stands for; nothing for data."""
        item = self.item(name)
        return () if item is None else names_of(item.source).reads

    def need(self, names: Iterable[str], accept: Callable[[str], bool] | None = None, *, follow: bool = False) -> None:
        """Takes names in: code with what it reads (when `follow`), small literals as constants, the rest as data.

        Args:
            names: In order of first need.
            accept: Whether a name reached on the way counts; None for all.
            follow: Whether names that code reads are taken in too.
        """
        waiting = list(names)
        while waiting:
            name = waiting.pop(0)
            if name in self.items or name in self.constants or name in self.data:
                continue
            if name in HISTORY_NAMES and name in self.scope.namespace:
                self.kernel_only = self.kernel_only or f"reads the notebook's own history (`{name}`)"
                continue
            value = self.look(name)
            if value is NONE or (accept is not None and not accept(name)):
                continue
            item = self.item(name)
            if item is not None:
                self.items[name] = item
                self.named.setdefault(id(held_function(value)), name)
                if follow:
                    waiting.extend(names_of(item.source).reads)
                continue
            literal = small_literal(value) if self.literals or name in self._overlay else None
            if literal is not None:
                self.constants[name] = literal
            else:
                self.data[name] = value
                waiting.extend(n for n in self.hold(value) if n not in waiting)

    def hold(self, value: object) -> list[str]:
        """Names of the person's functions and classes inside a data value, and all that these read."""
        found: list[str] = []
        for held in code_in(value, self._own):
            name = self.name_for(held)
            stack = [name]
            while stack:
                one = stack.pop()
                if one not in found:
                    found.append(one)
                    stack.extend(self.reads_of(one))
        return found

    def name_for(self, held: Any) -> str:
        """A name that gives this function or class here; one is made where the namespace has none."""
        if id(held) in self.named:
            return self.named[id(held)]
        qualified = getattr(held, "__qualname__", "")
        if self.scope.module == getattr(held, "__module__", None) or self.scope.own_function(held):
            root = qualified.partition(".")[0]
            found: Any = held_function(self.scope.namespace.get(root))
            for part in qualified.split(".")[1:]:
                found = getattr(found, part, None)
            if found is held:
                return str(root)
        elif origin_of(str(held.__module__)) == "local":
            name = f"_{str(held.__module__).replace('.', '_')}"
            self._overlay.setdefault(name, sys.modules[held.__module__])
            return name
        stem = "".join(c if c.isalnum() else "_" for c in held.__name__)
        number = sum(1 for n in self._overlay if n.startswith(f"_held_{stem}_")) + 1
        name = f"_held_{stem}_{number}"
        self._overlay[name] = held
        self.named[id(held)] = name
        return name

    def _own(self, value: object) -> bool:
        if isinstance(value, type):
            return self.scope.own_class(value) or _local(value.__module__)
        return self.scope.own_function(value) or _local(str(getattr(value, "__module__", "")))

    def units(self, main: str) -> tuple[list[Unit], dict[str, list[Any]], set[str], dict[str, modules.LocalFile]]:
        """The units before `main`, their origins, installed roots that the code imports, and its local files.

        Args:
            main: The text of the cell or function itself.
        """
        sources = [main, *(i.source for i in self.items.values())]
        chains = _chains(sources)
        imports: dict[str, tuple[str, tuple[str, ...]]] = {}
        for name, item in self.items.items():
            self._note(item)
            if item.role == "import":
                imports[name] = self._with_submodules(name, item, chains)
        names = [n for _, more in imports.values() for n in more]
        names.extend(n for i in self.items.values() if i.role != "import" for n in i.imports)
        names.extend(n for s in sources for n in _imported(s))
        files, roots = modules.closure(names)
        for file in files.values():
            self.stale = self.stale or file.stale
        definitions = self._ordered({n: i for n, i in self.items.items() if i.role == "definition"})
        self._late_decorations(definitions)
        units = [Unit("import", n, imports[n][0]) for n in sorted(imports)]
        units += [Unit("constant", n, f"{n} = {self.constants[n]}") for n in sorted(self.constants)]
        units += [Unit("module", f.name, f.text) for f in files.values()]
        units += [Unit("definition", n, i.source) for n, i in definitions.items()]
        origins: dict[str, list[Any]] = {n: [*i.origin] for n, i in definitions.items() if i.origin is not None}
        origins.update({f.name: [f.path, 1] for f in files.values()})
        return units, origins, roots - {"mlstudio_lab"}, files

    def _note(self, item: Item) -> None:
        self.stale = self.stale or item.stale
        self.kernel_only = self.kernel_only or item.kernel_only

    def _with_submodules(self, name: str, item: Item, chains: Mapping[str, set[tuple[str, ...]]]) -> tuple[str, tuple[str, ...]]:
        """An import with the submodules that are reached through it as attributes; looks for replaced functions on the way."""
        value = self.look(name)
        if not isinstance(value, types.ModuleType):
            return item.source, item.imports
        more: list[str] = []
        for chain in sorted(chains.get(name, ())):
            at: Any = value
            for part in chain:
                below = vars(at).get(part, NONE) if isinstance(at, types.ModuleType) else NONE
                if isinstance(below, types.ModuleType):
                    dotted = f"{at.__name__}.{part}"
                    if sys.modules.get(dotted) is below and dotted not in more and at.__name__.partition(".")[0] not in _EAGER:
                        more.append(dotted)
                elif self.scope.own_function(below):
                    self.stale = self.stale or f"`{at.__name__}.{part}` was replaced by a function of the notebook"
                at = below
                if at is NONE:
                    break
        if not more:
            return item.source, item.imports
        dotted = value.__name__
        lines = [f"import {m}" if dotted == name and "." not in dotted else f"__import__({m!r})" for m in more]
        return "\n".join([item.source, *lines]), (*item.imports, *more)

    def _ordered(self, items: dict[str, Item]) -> dict[str, Item]:
        """Definitions in an order in which each finds what it needs when it runs; names break ties."""
        done: dict[str, Item] = {}
        doing: set[str] = set()
        shadowing = {i.shadows: n for n, i in items.items() if i.shadows in items and i.shadows != n}

        def visit(name: str) -> None:
            if name in done or name not in items:
                return
            if name in doing:
                return
            doing.add(name)
            if name in shadowing:
                visit(shadowing[name])
            item = items[name]
            text = names_of(item.source)
            for first in sorted(text.immediate):
                for reached in self._reach(first, items):
                    if reached in doing and reached not in done and reached == first:
                        self.kernel_only = self.kernel_only or f"`{name}` and `{first}` each need the other to be made first"
                    visit(reached)
            doing.discard(name)
            done[name] = item

        for name in sorted(items):
            visit(name)
        return done

    def _reach(self, name: str, items: Mapping[str, Item]) -> list[str]:
        """A definition with those it calls, the called first."""
        found: list[str] = []
        stack = [name]
        while stack:
            one = stack.pop()
            if one in items and one not in found:
                found.append(one)
                stack.extend(sorted(names_of(items[one].source).reads, reverse=True))
        return found[::-1]

    def _late_decorations(self, definitions: Mapping[str, Item]) -> None:
        """Data that a decorator, base or class body read when it ran, and that was bound anew since."""
        history = self.scope.history
        for name, item in definitions.items():
            made = history.binding(name)
            if not item.decorated or made is None:
                continue
            for read in names_of(item.source).immediate:
                bound = history.binding(read)
                if (read in self.data or read in self.constants) and bound is not None and bound.number > made.number:
                    self.stale = self.stale or f"`{read}` was bound anew after `{name}` was made with it: run the cell of `{name}` again"


def _local(module: str) -> bool:
    return module != "__main__" and module in sys.modules and origin_of(module) == "local"


def _chains(sources: Iterable[str]) -> dict[str, set[tuple[str, ...]]]:
    found: dict[str, set[tuple[str, ...]]] = {}
    for source in sources:
        for root, chains in attribute_chains(source).items():
            found.setdefault(root, set()).update(chains)
    return found


@lru_cache(maxsize=4096)
def attribute_chains(source: str) -> dict[str, frozenset[tuple[str, ...]]]:
    """Name -> the attribute paths read from it anywhere in a text.

    Example:
        >>> attribute_chains("sklearn.linear_model.Ridge()")
        {'sklearn': frozenset({('linear_model', 'Ridge')})}
    """
    found: dict[str, set[tuple[str, ...]]] = {}
    inner: set[int] = set()
    for node in ast.walk(parse_cell(source).tree):
        if isinstance(node, ast.Attribute) and id(node) not in inner:
            parts: list[str] = []
            at: ast.expr = node
            while isinstance(at, ast.Attribute):
                inner.add(id(at))
                parts.append(at.attr)
                at = at.value
            if isinstance(at, ast.Name):
                found.setdefault(at.id, set()).add(tuple(reversed(parts)))
    return {k: frozenset(v) for k, v in found.items()}


@lru_cache(maxsize=4096)
def _import_triples(source: str) -> tuple[tuple[int, str, tuple[str, ...]], ...]:
    return tuple(modules.import_statements(parse_cell(source).tree, []))


def _imported(source: str) -> Iterable[str]:
    for level, module, names in _import_triples(source):
        yield from modules.resolve_import(level, module, names)
