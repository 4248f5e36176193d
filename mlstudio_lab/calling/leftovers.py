"""What a run leaves behind in its process that the next run would meet, and that cannot be put back."""

from __future__ import annotations

import ast
import sys
import threading
from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Any

from mlstudio_lab.calling.observe import paths
from mlstudio_lab.calling.sources import as_python
from mlstudio_lab.core.bundle import Bundle

_PUT_BACK = frozenset({"options", "rcParams", "environ"})
"""Attributes of libraries whose changes are put back after every run."""


def alters_libraries(bundle: Bundle) -> str:
    r"""Which library the code assigns into ("np.float_"), "" when none: its process is not used again.

    Example:
        >>> alters_libraries(bundle_of("import numpy as np\\nnp.float_ = float"))
        'np.float_'
    """
    return _altered(tuple(unit.source for unit in bundle.units if unit.role != "test"))


@lru_cache(maxsize=512)
def _altered(sources: tuple[str, ...]) -> str:
    trees = []
    imported: set[str] = set()
    for source in sources:
        try:
            tree = ast.parse(as_python(source))
        except SyntaxError:
            continue
        trees.append(tree)
        for node in ast.walk(tree):
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                imported.update((alias.asname or alias.name).partition(".")[0] for alias in node.names)
    for tree in trees:
        for node in ast.walk(tree):
            target = _target(node)
            if target is not None and (chain := _chain(target)) and chain[0] in imported and len(chain) > 1 and chain[1] not in _PUT_BACK:
                return ".".join(chain)
    return ""


def _target(node: ast.AST) -> ast.expr | None:
    """What a node assigns into or deletes from, when that is an attribute."""
    if isinstance(node, ast.Attribute) and isinstance(node.ctx, (ast.Store, ast.Del)):
        return node
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("setattr", "delattr") and len(node.args) > 1:
        named = node.args[1]
        attribute = str(named.value) if isinstance(named, ast.Constant) else "…"
        return ast.Attribute(node.args[0], attribute, ast.Store())
    return None


def _chain(node: ast.expr) -> list[str]:
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.insert(0, node.attr)
        node = node.value
    return [node.id, *names] if isinstance(node, ast.Name) else []


def running_threads(before: Collection[threading.Thread], files: Collection[str]) -> str:
    """The name of a thread started since that still runs the person's code, "" when there is none."""
    now = threading.enumerate()
    if len(now) <= len(before) and set(now) <= set(before):
        return ""
    frames = sys._current_frames()
    for thread in now:
        if thread in before or thread.ident is None:
            continue
        frame = frames.get(thread.ident)
        target: Any = getattr(thread, "_target", None) or getattr(thread, "function", None)
        code = getattr(target, "__code__", None)
        if code is not None and code.co_filename in files:
            return thread.name
        while frame is not None:
            if frame.f_code.co_filename in files:
                return thread.name
            frame = frame.f_back
    return ""


def running_processes() -> str:
    """The name of a child process that multiprocessing started and that still runs, "" when there is none.

    A pool that is kept for later would serve the next run without any process being started.
    """
    multiprocessing: Any = sys.modules.get("multiprocessing.process")
    children = multiprocessing.active_children() if hasattr(multiprocessing, "active_children") else ()
    return str(children[0].name) if children else ""


def forget_local_modules(before: Mapping[str, Any], home: str) -> None:
    """Unloads modules that were loaded from the person's own folders since: the next run's files may be others."""
    for name in list(sys.modules):
        if name in before:
            continue
        file = getattr(sys.modules[name], "__file__", None)
        if isinstance(file, str) and paths.is_own(file, home):
            sys.modules.pop(name, None)
