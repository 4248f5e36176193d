"""Compiled units and their text where tracebacks and `inspect` look for it."""

from __future__ import annotations

import ast
import linecache
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import CodeType
from typing import Any, Final

from mlstudio_lab.core.bundle import Bundle, Unit
from mlstudio_lab.core.futures import flags_of
from mlstudio_lab.core.magic_lines import ends_quietly

_TOP_LEVEL_AWAIT: Final = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT


@dataclass(frozen=True, slots=True)
class Place:
    """Where a unit's text stands for the person: a file name as the kernel knows it, and its first line there."""

    file: str
    line: int


@dataclass(frozen=True, slots=True)
class CellCode:
    """A cell's code in two parts: everything, and the last expression apart when its value is shown.

    Attributes:
        body: The statements.
        last: The last expression, None when the cell does not end in one.
        shown: Whether the last value is displayed (no trailing semicolon).
    """

    body: CodeType
    last: CodeType | None
    shown: bool


def flags_of_bundle(bundle: Bundle) -> int:
    """The compiler flags that a bundle's imports hand on to its other units, as a notebook's cells do.

    Args:
        bundle: The code.
    """
    return flags_of(unit.source for unit in bundle.units if unit.role == "import")


def places(bundle: Bundle, origins: Mapping[str, Sequence[Any]], name: str) -> dict[tuple[str, str], Place]:
    """(role, unit name) -> where its text stands; units without an origin get a name that says which module they are of.

    Args:
        bundle: The code.
        origins: Unit name -> [file, first line].
        name: The module's `namespace/name`.
    """
    found: dict[tuple[str, str], Place] = {}
    for unit in bundle.units:
        origin = origins.get("main" if unit.role == "main" else unit.name)
        if origin is None and unit.role == "main":
            origin = origins.get(unit.name)
        if origin is None:
            label = name if unit.role == "main" else f"{name}: {unit.name}"
            origin = (f"<{label}>", 1)
        found[unit.role, unit.name] = Place(str(origin[0]), max(1, int(origin[1])))
    return found


@lru_cache(maxsize=512)
def compiled(source: str, file: str, line: int, flags: int = 0) -> CodeType:
    """A unit's code with the person's file name and line numbers; imports may await at top level nowhere but in cells.

    Raises:
        SyntaxError: The text is not Python.
    """
    code: CodeType = compile(_tree(source, file, line), file, "exec", flags=flags, dont_inherit=True)
    return code


@lru_cache(maxsize=512)
def compiled_cell(source: str, file: str, line: int, flags: int = 0) -> CellCode:
    """A cell's code; IPython's own syntax in it is translated as the kernel does.

    Raises:
        SyntaxError: The text is not Python.
    """
    text = as_python(source)
    tree = _tree(text, file, line, flags=_TOP_LEVEL_AWAIT)
    last: ast.Expression | None = None
    if tree.body and isinstance(tree.body[-1], ast.Expr):
        statement = tree.body.pop()
        assert isinstance(statement, ast.Expr)
        last = ast.Expression(statement.value)
    return CellCode(
        compile(tree, file, "exec", flags=_TOP_LEVEL_AWAIT | flags, dont_inherit=True),
        None if last is None else compile(last, file, "eval", flags=_TOP_LEVEL_AWAIT | flags, dont_inherit=True),
        last is not None and not ends_quietly(text),
    )


def as_python(source: str) -> str:
    """A cell's text as plain Python; IPython is asked only when the text alone does not parse.

    Example:
        >>> as_python("x = 1")
        'x = 1'
    """
    try:
        ast.parse(source)
        return source
    except SyntaxError:
        from IPython.core.inputtransformer2 import TransformerManager

        manager: Any = TransformerManager
        return str(manager().transform_cell(source))


def _tree(source: str, file: str, line: int, flags: int = 0) -> ast.Module:
    tree = compile(source, file, "exec", flags=ast.PyCF_ONLY_AST | flags, dont_inherit=True)
    assert isinstance(tree, ast.Module)
    if line > 1:
        ast.increment_lineno(tree, line - 1)
    return tree


class Lines:
    """The units' text is what `linecache` gives for their files within this block.

    Units of one file (several definitions of one cell) are laid over each other at their own lines.
    """

    __slots__ = ("_before", "files")

    def __init__(self, units: Sequence[tuple[Unit, Place]]) -> None:
        self.files: dict[str, list[str]] = {}
        for unit, place in units:
            text = unit.source.splitlines(keepends=True) or [""]
            if not text[-1].endswith("\n"):
                text[-1] += "\n"
            lines = self.files.setdefault(place.file, [])
            first = place.line - 1
            if len(lines) < first + len(text):
                lines.extend(["\n"] * (first + len(text) - len(lines)))
            lines[first : first + len(text)] = text

    def __enter__(self) -> None:
        cache: dict[str, Any] = linecache.cache
        self._before = {file: cache.get(file) for file in self.files}
        for file, lines in self.files.items():
            # No modification time: linecache then never compares with a file on disk.
            cache[file] = (sum(map(len, lines)), None, lines, file)

    def __exit__(self, *_: object) -> None:
        cache: dict[str, Any] = linecache.cache
        for file, entry in self._before.items():
            if entry is None:
                cache.pop(file, None)
            else:
                cache[file] = entry
