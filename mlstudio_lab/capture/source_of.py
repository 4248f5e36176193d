"""The exact text that made a live function, found by its code object and proved by compiling it again."""

from __future__ import annotations
import __future__

import ast
import linecache
import os
import types
from dataclasses import dataclass
from functools import lru_cache
from typing import Any


@dataclass(frozen=True, slots=True)
class Located:
    """Where a function's code stands.

    Attributes:
        node: Its `def` or `lambda`.
        parents: What it stands in, outermost first, without the module.
        text: The whole cell or file.
        filename: Its name.
        same: Whether the text compiles to the live code; False after an edit.
    """

    node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
    parents: tuple[ast.AST, ...]
    text: str
    filename: str
    same: bool

    @property
    def statement(self) -> ast.stmt | None:
        """The top-level statement it stands in."""
        top = self.parents[0] if self.parents else self.node
        return top if isinstance(top, ast.stmt) else None


_FUTURE = sum({getattr(__future__, n).compiler_flag for n in __future__.all_feature_names})
"""Flags of `from __future__` statements, which a kernel hands on from cell to cell."""


def same_code(a: types.CodeType, b: types.CodeType) -> bool:
    """Whether two code objects do the same: all but file names and line numbers is compared, nested code too."""
    if a is b:
        return True
    return (
        a.co_code == b.co_code
        and a.co_name == b.co_name
        and a.co_names == b.co_names
        and a.co_varnames == b.co_varnames
        and a.co_freevars == b.co_freevars
        and a.co_cellvars == b.co_cellvars
        and a.co_argcount == b.co_argcount
        and a.co_posonlyargcount == b.co_posonlyargcount
        and a.co_kwonlyargcount == b.co_kwonlyargcount
        and a.co_flags & ~_FUTURE == b.co_flags & ~_FUTURE
        and getattr(a, "co_exceptiontable", b"") == getattr(b, "co_exceptiontable", b"")
        and len(a.co_consts) == len(b.co_consts)
        and all(same_constant(x, y) for x, y in zip(a.co_consts, b.co_consts, strict=True))
    )


def same_constant(a: object, b: object) -> bool:
    """Whether two literal values are the same, types and float bits included.

    Example:
        >>> same_constant(1, True), same_constant((0.0,), (0.0,)), same_constant(0.0, -0.0)
        (False, True, False)
    """
    if type(a) is not type(b):
        return False
    if isinstance(a, types.CodeType) and isinstance(b, types.CodeType):
        return same_code(a, b)
    if isinstance(a, (tuple, list)) and isinstance(b, (tuple, list)):
        return len(a) == len(b) and all(same_constant(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, dict) and isinstance(b, dict):
        return len(a) == len(b) and all(same_constant(x, y) for x, y in zip(a.items(), b.items(), strict=True))
    if isinstance(a, (set, frozenset)):
        return repr(sorted(a, key=repr)) == repr(sorted(b, key=repr))  # type: ignore[call-overload]
    if isinstance(a, (float, complex)):
        return repr(a) == repr(b)
    return a == b


def locate(code: types.CodeType) -> Located | None:
    """The text of a code object; None when its file is not known to `linecache` or the disk."""
    key = id(code)
    kept = _LOCATED.get(key)
    stamp = _stamp(code.co_filename)
    if kept is not None and kept[0] is code and kept[1] == stamp:
        return kept[2]
    found = _locate(code)
    if len(_LOCATED) > _MOST_KEPT:
        _LOCATED.clear()
    _LOCATED[key] = (code, stamp, found)
    return found


_MOST_KEPT = 20_000
_LOCATED: dict[int, tuple[types.CodeType, object, Located | None]] = {}


def _stamp(filename: str) -> object:
    if filename.startswith("<") or "ipykernel_" in filename:
        return None  # a cell's text never changes under its name
    return file_stamp(filename)


def file_stamp(filename: str) -> tuple[int, int, int, int] | None:
    """What changes when a file does; None when there is none."""
    try:
        s = os.stat(filename)
    except OSError:
        return None
    return s.st_mtime_ns, s.st_size, s.st_ino, s.st_ctime_ns


def text_of(filename: str) -> str | None:
    """The present text of a file or a cell, None when there is none."""
    kept: Any = linecache.cache.get(filename)
    if kept is not None and len(kept) > 1 and kept[1] is None:
        return "".join(kept[2])
    if file_stamp(filename) is not None:
        import tokenize

        try:
            with tokenize.open(filename) as file:
                return file.read()
        except (OSError, SyntaxError, UnicodeDecodeError):
            return None
    lines = linecache.getlines(filename)
    return "".join(lines) if lines else None


@dataclass(frozen=True, slots=True)
class _Index:
    codes: dict[tuple[str, int], tuple[types.CodeType, ...]]
    nodes: dict[tuple[str, int], tuple[tuple[Any, tuple[ast.AST, ...]], ...]]


@lru_cache(maxsize=256)
def _index(text: str) -> _Index | None:
    tops = compiled_ways(text)
    if not tops:
        return None
    codes: dict[tuple[str, int], tuple[types.CodeType, ...]] = {}
    stack = [*tops]
    while stack:
        code = stack.pop()
        for constant in code.co_consts:
            if isinstance(constant, types.CodeType):
                key = (constant.co_name, constant.co_firstlineno)
                codes[key] = (*codes.get(key, ()), constant)
                stack.append(constant)
    tree = ast.parse(text)
    nodes: dict[tuple[str, int], tuple[tuple[Any, tuple[ast.AST, ...]], ...]] = {}
    _nodes(tree, (), nodes)
    return _Index(codes, nodes)


def compiled_ways(text: str) -> list[types.CodeType]:
    """A text compiled as a whole, as files are, and statement by statement, as IPython compiles cells.

    The two differ: within one compilation Python calls an attribute of an imported name in another way.
    """
    try:
        tree = ast.parse(text)
        whole = compile(tree, "<text>", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
        parts = [ast.Module([s], []) for s in tree.body if len(tree.body) > 1]
        return [whole, *(compile(p, "<text>", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True) for p in parts)]
    except (SyntaxError, ValueError):
        return []


def _nodes(node: ast.AST, parents: tuple[ast.AST, ...], found: dict[tuple[str, int], tuple[tuple[Any, tuple[ast.AST, ...]], ...]]) -> None:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            name = "<lambda>" if isinstance(child, ast.Lambda) else child.name
            key = (name, first_line(child))
            found[key] = (*found.get(key, ()), (child, parents))
        _nodes(child, (*parents, child), found)


def first_line(node: Any) -> int:
    """The first line of a statement, its decorators included."""
    decorators = getattr(node, "decorator_list", None)
    return int(min(node.lineno, decorators[0].lineno) if decorators else node.lineno)


def _locate(code: types.CodeType) -> Located | None:
    text = text_of(code.co_filename)
    index = None if text is None else _index(text)
    if text is None or index is None:
        return None
    key = (code.co_name, code.co_firstlineno)
    same = any(same_code(code, other) for other in index.codes.get(key, ()))
    nodes = index.nodes.get(key, ())
    if not nodes:
        # The file was edited and the lines moved: the name still tells what to re-import.
        nodes = tuple(n for (name, _), found in index.nodes.items() if name == code.co_name for n in found)
        same = False
    if len(nodes) > 1:
        nodes = tuple(n for n in nodes if _compiles_to(n[0], code)) or nodes
    if not nodes:
        return None
    node, parents = nodes[0]
    return Located(node, parents, text, code.co_filename, same)


def _compiles_to(node: Any, code: types.CodeType) -> bool:
    """Whether one of several definitions on a line is the one, judged alone (names from outside read as globals)."""
    expression = ast.Module([ast.Expr(node)] if isinstance(node, ast.Lambda) else [node], [])
    try:
        top = compile(ast.fix_missing_locations(expression), "<text>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return False
    for constant in top.co_consts:
        if isinstance(constant, types.CodeType) and constant.co_name == code.co_name:
            return (
                (constant.co_varnames, constant.co_argcount, constant.co_consts) == (code.co_varnames, code.co_argcount, code.co_consts)
                and (len(constant.co_code) == len(code.co_code) or bool(code.co_freevars))
                and set(constant.co_names) | set(constant.co_freevars) >= set(code.co_names)
            )
    return False


Replacements = list[tuple[ast.expr, str]]
"""Expressions of a text, each with what stands in its place; lines keep their numbers."""


def segment(text: str, node: ast.AST, replaced: Replacements | None = None) -> str:
    """The exact lines of a statement or expression, decorators included, without what else stands on its lines.

    Args:
        text: The whole cell or file.
        node: A node of its tree.
        replaced: Expressions inside the node to write otherwise.
    """
    if not replaced:
        return _segment(text, node)
    return _cut(text, node, replaced)


@lru_cache(maxsize=4096)
def _segment(text: str, node: ast.AST) -> str:
    return _cut(text, node, [])


def _cut(text: str, node: ast.AST, replaced: Replacements) -> str:
    lines = text.split("\n")
    first, last = first_line(node), int(getattr(node, "end_lineno", 0))
    column = int(getattr(node, "col_offset", 0))
    part = lines[first - 1 : last]
    part[-1] = part[-1].encode()[: int(getattr(node, "end_col_offset", 0))].decode()
    for expression, new in sorted(replaced, key=lambda r: (r[0].lineno, r[0].col_offset), reverse=True):
        top, bottom = expression.lineno - first, int(expression.end_lineno or expression.lineno) - first
        head = part[top].encode()[: expression.col_offset].decode()
        tail = part[bottom].encode()[expression.end_col_offset :].decode()
        part[top : bottom + 1] = [head + new + tail, *([""] * (bottom - top))]
    if not getattr(node, "decorator_list", None) and part[0].encode()[:column].strip():
        part[0] = part[0].encode()[column:].decode()  # the second statement of a line: `a = 1; f = lambda: a`
    return "\n".join(part)
