"""What the text shows of the session itself: code that changes it, or looks into it, acts as written only in the kernel."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final

from mlstudio_lab.core.bundle import Bundle
from mlstudio_lab.core.magic_lines import parse_cell

_CALLS: Final = frozenset({
    "warnings.simplefilter", "warnings.filterwarnings", "warnings.resetwarnings",
    "os.chdir", "os.putenv", "os.unsetenv", "os.umask", "importlib.reload", "locale.setlocale", "logging.basicConfig",
    "sys.setrecursionlimit", "decimal.setcontext", "gc.disable", "style.use",
})  # fmt: skip
_TAILS: Final = frozenset({
    "set_option", "reset_option", "set_printoptions", "seterr", "set_config", "load_dotenv", "set_theme", "rcdefaults",
})  # fmt: skip
_CHANGERS: Final = frozenset({"update", "setdefault", "pop", "popitem", "clear", "append", "insert", "extend", "remove"})
_TABLES: Final = frozenset({"os.environ", "sys.path", "sys.modules", "warnings.filters"})
_LOOKS: Final = frozenset({"globals", "get_ipython", "input"})
_LOOKS_AT_TOP: Final = frozenset({"locals", "vars", "dir"})
_RESTORING: Final = frozenset({
    "catch_warnings", "option_context", "rc_context", "errstate", "printoptions", "localcontext", "config_context", "context", "Config",
    "chdir", "plotting_context", "axes_style", "patch", "dict", "object",
})  # fmt: skip
"""Context managers that put back what is changed within them."""


def session_use(bundle: Bundle, namespace: Mapping[str, Any]) -> tuple[str, int]:
    r"""What of a bundle's code changes the session or looks into it, with the cell's line; ("", 0) when nothing does.

    Options, warning filters, the environment, attributes of modules, classes and functions live in one process: what a
    worker does to them never reaches the notebook. What is put back by a `with` block does not count.

    Args:
        bundle: The captured code; local files are left out, for they are imported once.
        namespace: Live global names, to tell modules, classes and functions from data.

    Example:
        >>> session_use(bundle_of("import pandas as pd\\npd.set_option('display.max_rows', 5)"), {})
        ("changes the session (`pd.set_option`)", 2)
    """
    units = [unit for unit in bundle.units if unit.role in ("main", "definition")]
    imports = [unit for unit in bundle.units if unit.role == "import"]
    shared = frozenset().union(*(_held(unit.source) for unit in (*units, *imports)))
    for unit in units:
        for what, root, line in _uses(unit.source, unit.role == "main" and bundle.kind == "cell"):
            if root and root not in shared and not isinstance(namespace.get(root), type(ast)):
                continue
            return (what, line) if unit.role == "main" else (f"`{unit.name}` {what}", 0)
    return "", 0


@lru_cache(maxsize=4096)
def _held(source: str) -> frozenset[str]:
    """Names a text binds to modules, classes and functions."""
    found = {"cls"}
    for node in ast.walk(parse_cell(source).tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            found.update((alias.asname or alias.name).partition(".")[0] for alias in node.names)
    return frozenset(found)


@lru_cache(maxsize=4096)
def _uses(source: str, is_cell: bool) -> tuple[tuple[str, str, int], ...]:
    """(what, the name it hangs on or "", line) for whatever may be a use of the session."""
    return tuple(_within(parse_cell(source).tree, top=is_cell))


def _within(node: ast.AST, *, top: bool) -> Iterator[tuple[str, str, int]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.With, ast.AsyncWith)) and any(_tail(item.context_expr) in _RESTORING for item in child.items):
            continue
        if isinstance(child, (ast.Call, ast.Attribute, ast.Subscript)):
            yield from _use(child, top)
        inside = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef))
        yield from _within(child, top=top and not inside)


def _use(node: ast.Call | ast.Attribute | ast.Subscript, top: bool) -> Iterator[tuple[str, str, int]]:
    if isinstance(node, ast.Call):
        path = _dotted(node.func)
        if len(path) == 1 and (path[0] in _LOOKS or (top and not node.args and path[0] in _LOOKS_AT_TOP)):
            yield f"looks into the session (`{path[0]}()`)", "", node.lineno
        elif len(path) > 1 and _is_change(path):
            yield f"changes the session (`{'.'.join(path)}`)", path[0], node.lineno
        elif path in (("setattr",), ("delattr",)) and node.args and (root := _dotted(node.args[0])):
            yield f"changes `{'.'.join(root)}`", root[0], node.lineno
        elif len(path) == 1 and path[0] in _TAILS | {"chdir", "simplefilter", "filterwarnings", "setlocale"}:
            yield f"changes the session (`{path[0]}`)", path[0], node.lineno
        return
    if isinstance(node.ctx, ast.Load):
        return
    if isinstance(node, ast.Attribute):
        path = _dotted(node)
        if path:
            yield f"changes `{'.'.join(path)}`", path[0], node.lineno
        elif isinstance(node.value, ast.Call) and _tail(node.value) == "getcontext":
            yield "changes the session (`decimal.getcontext()`)", "", node.lineno
        return
    path = _dotted(node.value)
    if path and (path[-1] in ("environ", "rcParams") or ".".join(path[-2:]) in _TABLES):
        yield f"changes the session (`{'.'.join(path)}`)", "", node.lineno


def _is_change(path: tuple[str, ...]) -> bool:
    last, before = path[-1], path[-2]
    if last in _TAILS or ".".join(path[-2:]) in _CALLS:
        return True
    if last in _CHANGERS and (before in ("environ", "rcParams") or ".".join(path[-3:-1]) in _TABLES):
        return True
    return (before == "Config" and last.startswith(("set_", "load", "restore"))) or (before == "plt" and last == "rc")


def _tail(node: ast.expr) -> str:
    path = _dotted(node.func if isinstance(node, ast.Call) else node)
    return path[-1] if path else ""


def _dotted(node: ast.AST) -> tuple[str, ...]:
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return (node.id, *reversed(parts)) if isinstance(node, ast.Name) else ()
