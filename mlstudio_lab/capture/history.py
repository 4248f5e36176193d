"""Which cell last bound a name, and by which statement: the notebook's memory of its own source."""

from __future__ import annotations

import ast
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlstudio_lab.capture.bodies import import_names, targets
from mlstudio_lab.capture.modules import note_loaded, star_names
from mlstudio_lab.capture.scopes import flow
from mlstudio_lab.core.bundle import Unit
from mlstudio_lab.core.futures import features, flags_of_tree
from mlstudio_lab.core.magic_lines import parse_cell


@dataclass(frozen=True, slots=True)
class Binding:
    """The statement that bound a name last.

    Attributes:
        name: The name.
        node: The top-level statement.
        text: The whole cell as Python.
        cell: The cell's own text, without surrounding blank lines.
        filename: The file name under which the kernel compiled the cell, "" when unknown.
        ref: What it was bound to, where that can be referred to weakly.
        number: Grows with every binding recorded.
    """

    name: str
    node: ast.stmt
    text: str
    cell: str
    filename: str
    ref: weakref.ref[Any] | None
    number: int

    def bound(self, value: object) -> bool:
        """Whether a value is the very object this statement bound."""
        return self.ref is not None and self.ref() is value


class History:
    r"""The last binding of every top-level name, cell by cell.

    Example:
        >>> history = History()
        >>> history.record("rate = 2\ndef f(x): return x * rate", "<cell 1>", {})
        >>> history.cell_of("f") == history.cell_of("rate")
        True
    """

    def __init__(self) -> None:
        self._last: dict[str, Binding] = {}
        self._count = 0

    def record(self, source: str, filename: str, namespace: Mapping[str, Any]) -> None:
        """Remembers what a cell that has just run bound; text that is not Python is passed over."""
        try:
            parsed = parse_cell(source)
        except (SyntaxError, ValueError):
            return
        cell = source.strip()
        names = flow(parsed.tree, None, star=star_names)
        for node in parsed.tree.body:
            starred = star_names(node.module) if isinstance(node, ast.ImportFrom) and node.module and node.names[0].name == "*" else ()
            for name in (*statement_names(node), *starred):
                self._put(name, node, parsed.text, cell, filename, namespace)
        if parsed.tree.body:
            last = parsed.tree.body[-1]
            for name in names.written:
                self._put(name, last, parsed.text, cell, filename, namespace)

    def binding(self, name: str) -> Binding | None:
        """The last binding of a name, None when no recorded cell bound it."""
        return self._last.get(name)

    def cell_of(self, name: str) -> str | None:
        """The text of the cell that bound a name last, None when unknown."""
        found = self._last.get(name)
        return None if found is None else found.cell

    def forget(self, name: str) -> None:
        """Drops what is known of a name, for one that was bound by other means than a cell."""
        self._last.pop(name, None)

    def _put(self, name: str, node: ast.stmt, text: str, cell: str, filename: str, namespace: Mapping[str, Any]) -> None:
        value = namespace.get(name)
        try:
            ref = None if value is None else weakref.ref(value)
        except TypeError:
            ref = None
        self._count += 1
        self._last[name] = Binding(name, node, text, cell, filename, ref, self._count)


def statement_names(node: ast.AST) -> list[str]:
    """Names that a statement binds at the level it stands on, those of nested blocks included."""
    found: list[str] = []
    stack: list[ast.AST] = [node]
    while stack:
        part = stack.pop()
        if isinstance(part, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found.append(part.name)
            continue
        if isinstance(part, ast.Lambda):
            continue
        if isinstance(part, (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)):
            found.extend(n.target.id for n in ast.walk(part) if isinstance(n, ast.NamedExpr))
            continue
        if isinstance(part, (ast.Import, ast.ImportFrom)):
            found.extend(import_names(part))
        elif isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store):
            found.append(part.id)
        elif isinstance(part, ast.pattern):
            found.extend(targets(part))
            continue
        stack.extend(ast.iter_child_nodes(part))
    return found


_HISTORIES: weakref.WeakKeyDictionary[Any, History] = weakref.WeakKeyDictionary()
_PLAIN = History()


def history_of(namespace: Mapping[str, Any]) -> History:
    """The history of the kernel whose names these are; an empty one outside IPython.

    Example:
        >>> history_of({}).binding("x") is None
        True
    """
    shell = _shell(namespace)
    if shell is None:
        return _PLAIN
    return _HISTORIES.get(shell, _PLAIN)


def future_units(namespace: Mapping[str, Any], tree: ast.Module) -> list[Unit]:
    """The future statements that earlier cells of a notebook made hold for all later ones, as import units.

    Args:
        namespace: The kernel's global names.
        tree: The text they hold for; what it says itself is left out.
    """
    flags = int(getattr(getattr(_shell(namespace), "compile", None), "flags", 0))
    flags &= ~flags_of_tree(tree)
    return [Unit("import", name, f"from __future__ import {name}") for name in features(flags)]


def install(shell: Any) -> History:
    """Begins to remember the cells a shell runs; again for the same shell gives the same history.

    Args:
        shell: An IPython `InteractiveShell`.
    """
    found = _HISTORIES.get(shell)
    if found is not None:
        return found
    history = _HISTORIES[shell] = History()

    def after(result: Any) -> None:
        info = getattr(result, "info", None)
        note_loaded()
        if info is None or getattr(result, "error_before_exec", None) is not None:
            return
        raw = info.raw_cell or ""
        if raw.lstrip().startswith("%%"):
            return  # a cell magic records what it ran by itself
        history.record(raw, _filename(shell, info), shell.user_ns)

    shell.events.register("post_run_cell", after)
    note_loaded()
    _read_back(shell, history)
    return history


def _read_back(shell: Any, history: History) -> None:
    """Cells that ran before the extension was loaded, oldest first."""
    for number, raw in enumerate(shell.user_ns.get("In", ())):
        if number and raw and not raw.lstrip().startswith("%%"):
            history.record(raw, _name_of_code(shell, raw, raw, number), shell.user_ns)


def _filename(shell: Any, info: Any) -> str:
    transformed = getattr(info, "transformed_cell", None) or info.raw_cell
    return _name_of_code(shell, info.raw_cell, transformed, shell.execution_count - 1 if info.store_history else shell.execution_count)


def _name_of_code(shell: Any, raw: str, transformed: str, number: int) -> str:
    try:
        return str(shell.compile.get_code_name(raw, transformed, number))
    except (AttributeError, TypeError):
        return ""


def _shell(namespace: Mapping[str, Any]) -> Any:
    getter = namespace.get("get_ipython")
    return getattr(getter, "__self__", None) if getter is not None else None
