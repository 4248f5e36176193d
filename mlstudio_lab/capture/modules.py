"""A person's own `.py` files: which of them code imports, their exact text, and whether what is loaded is that text."""

from __future__ import annotations

import ast
import sys
import types
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from mlstudio_lab.capture.environment import find_spec, module_file, origin_of
from mlstudio_lab.capture.source_of import file_stamp, same_code, same_constant
from mlstudio_lab.core.digest import digest


@dataclass(frozen=True, slots=True)
class LocalFile:
    """One local module as it is on disk now.

    Attributes:
        name: Its dotted name.
        path: Its file, "" for a package without an `__init__.py`.
        text: Its text.
        imports: Dotted names of what it imports that is not the standard library, in order.
        stale: Why what is loaded is not this text, "" when it is (or when nothing is loaded).
    """

    name: str
    path: str
    text: str
    imports: tuple[str, ...]
    stale: str


@dataclass(slots=True)
class _Seen:
    spec: object
    content: str


_FIRST: dict[str, _Seen] = {}
_FILES: dict[str, tuple[object, object, object, LocalFile | None]] = {}


def note_loaded() -> None:
    """Remembers the text of local modules loaded since the last call, so that a later edit of the file is noticed."""
    for name in list(sys.modules):
        if name in _FIRST or name in _NOT_LOCAL:
            continue
        module = sys.modules.get(name)
        path = getattr(module, "__file__", None) if isinstance(module, types.ModuleType) else None
        if name == "__main__" or not isinstance(path, str) or not path.endswith(".py") or origin_of(name) != "local":
            _NOT_LOCAL.add(name)
            continue
        text = _read(path)
        if text is not None:
            _FIRST[name] = _Seen(getattr(module, "__spec__", None), digest("text", text))


_NOT_LOCAL: set[str] = set()


def local_file(name: str) -> LocalFile | None:
    """A local module's present file, None when the name is not a person's own module."""
    if origin_of(name) != "local":
        return None
    path = module_file(name)
    module = sys.modules.get(name)
    spec = getattr(module, "__spec__", None)
    if path is None or not path.endswith(".py"):
        return None if path is None else LocalFile(name, "", "", (), _not_python(name, path))
    stamp = file_stamp(path)
    kept = _FILES.get(name)
    if kept is not None and kept[0] == (path, stamp) and kept[1] is spec and not _changed_values(name, kept[2]):
        return kept[3]
    text = _read(path)
    if text is None:
        return None
    stale, watched = _compare(name, path, text, module, spec)
    package = name if path.endswith("__init__.py") else name.rpartition(".")[0]
    found = LocalFile(name, path, text, tuple(imported(text, package)), stale)
    _FILES[name] = ((path, stamp), spec, watched, found)
    return found


def closure(names: Iterable[str]) -> tuple[dict[str, LocalFile], set[str]]:
    """The local files reachable from some imports, packages above them included, and the installed roots they reach.

    Args:
        names: Dotted names that code imports.
    """
    files: dict[str, LocalFile] = {}
    roots: set[str] = set()
    waiting = list(names)
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        where = origin_of(name)
        if where == "third":
            roots.add(name.partition(".")[0])
        if where != "local":
            continue
        parts = name.split(".")
        waiting.extend(".".join(parts[:n]) for n in range(1, len(parts)))
        found = local_file(name)
        if found is not None:
            files[name] = found
            waiting.extend(found.imports)
    return {n: files[n] for n in sorted(files) if files[n].path}, roots


@lru_cache(maxsize=4096)
def _imports(text: str) -> tuple[tuple[int, str, tuple[str, ...]], ...]:
    found: list[tuple[int, str, tuple[str, ...]]] = []
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return ()
    return tuple(import_statements(tree, found))


def import_statements(tree: ast.AST, found: list[tuple[int, str, tuple[str, ...]]]) -> list[tuple[int, str, tuple[str, ...]]]:
    """(level, module, names) of every import statement anywhere in a tree."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.extend((0, alias.name, ()) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            found.append((node.level, node.module or "", tuple(alias.name for alias in node.names)))
    return found


def imported(text: str, package: str = "") -> Iterator[str]:
    """Dotted names a text imports anywhere, the standard library left out; submodules named after `from` included."""
    for level, module, names in _imports(text):
        yield from resolve_import(level, module, names, package)


def resolve_import(level: int, module: str, names: tuple[str, ...], package: str = "") -> Iterator[str]:
    """Dotted names that one import statement loads."""
    base = module
    if level:
        parts = package.split(".")
        above = ".".join(parts[: len(parts) - level + 1])
        base = f"{above}.{module}".strip(".") if module else above
    if not base or origin_of(base) in ("stdlib", "missing"):
        return
    yield base
    if origin_of(base) == "local":
        for name in names:
            if name != "*" and (f"{base}.{name}" in sys.modules or find_spec(f"{base}.{name}") is not None):
                yield f"{base}.{name}"


def star_names(module: str) -> list[str]:
    """Names that `from module import *` binds; read from the file when the module is not loaded."""
    loaded = sys.modules.get(module)
    if loaded is not None:
        listed = getattr(loaded, "__all__", None)
        return list(listed) if listed is not None else [n for n in vars(loaded) if not n.startswith("_")]
    path = module_file(module)
    text = _read(path) if path is not None and path.endswith(".py") else None
    if text is None:
        return []
    from mlstudio_lab.capture.scopes import names_of

    try:
        tree, names = ast.parse(text), names_of(text)
    except SyntaxError:
        return []
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets):
            try:
                return [str(n) for n in ast.literal_eval(node.value)]
            except ValueError:
                break
    return [n for n in names.bound if not n.startswith("_")]


def _read(path: str) -> str | None:
    import tokenize

    try:
        with tokenize.open(path) as file:
            return file.read()
    except (OSError, SyntaxError, UnicodeDecodeError):
        return None


def _not_python(name: str, path: str) -> str:
    return (
        ""
        if not path or path.rsplit(".", 1)[-1] not in ("so", "pyd", "pyc")
        else f"{name} is a compiled file of your own, which cannot be captured"
    )


def _compare(name: str, path: str, text: str, module: types.ModuleType | None, spec: object) -> tuple[str, tuple[Any, ...]]:
    """Why what is loaded is not the text, and what to look at again to see whether that is still so."""
    if module is None:
        return "", ()
    again = f"`{name}` was edited after it was imported: re-import it (importlib.reload, or restart the kernel)"
    seen = _FIRST.get(name)
    content = digest("text", text)
    known = seen is not None and seen.spec is spec
    if known and seen is not None and seen.content != content:
        return again, ()
    try:
        tree = ast.parse(text)
        top = compile(tree, path, "exec", dont_inherit=True)
    except SyntaxError:
        return again, ()
    watched: list[tuple[dict[str, Any], str, Any]] = []
    problem = _compare_codes(name, module.__dict__, top, watched, again) or _compare_literals(name, module.__dict__, tree, watched)
    if not known and not problem:
        _FIRST[name] = _Seen(spec, content)
    return problem, tuple(watched)


def _compare_codes(name: str, live: dict[str, Any], top: types.CodeType, watched: list[tuple[dict[str, Any], str, Any]], again: str) -> str:
    compiled: dict[str, list[types.CodeType]] = {}
    stack = [top]
    while stack:
        code = stack.pop()
        for constant in code.co_consts:
            if isinstance(constant, types.CodeType):
                compiled.setdefault(getattr(constant, "co_qualname", constant.co_name), []).append(constant)
                stack.append(constant)
    for attribute, value in list(live.items()):
        function = plain_function(value)
        if function is not None:
            watched.append((live, attribute, value))
            if function.__module__ == name:
                codes = compiled.get(getattr(function.__code__, "co_qualname", function.__name__), ())
                if not any(same_code(function.__code__, code) for code in codes) and function.__code__.co_filename != "<string>":
                    return again
            elif function.__globals__.get("__name__") == "__main__":
                return f"`{name}.{attribute}` was replaced by a function of the notebook"
        elif isinstance(value, type) and value.__module__ == name:
            watched.append((live, attribute, value))
            for member in list(vars(value).values()):
                method = plain_function(member)
                if method is None or method.__module__ != name or method.__code__.co_filename.startswith("<"):
                    continue
                codes = compiled.get(getattr(method.__code__, "co_qualname", method.__name__), ())
                if not any(same_code(method.__code__, code) for code in codes):
                    return again
    return ""


def _compare_literals(name: str, live: dict[str, Any], tree: ast.Module, watched: list[tuple[dict[str, Any], str, Any]]) -> str:
    """Module constants whose value in the text differs from the live one: edited on disk, or set from outside."""
    counts: dict[str, int] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            counts[node.id] = counts.get(node.id, 0) + 1
    for statement in tree.body:
        value = statement.value if isinstance(statement, (ast.Assign, ast.AnnAssign)) else None
        target = statement.targets[0] if isinstance(statement, ast.Assign) and len(statement.targets) == 1 else None
        target = statement.target if isinstance(statement, ast.AnnAssign) else target
        if value is None or not isinstance(target, ast.Name) or counts[target.id] > 1:
            continue
        try:
            literal = ast.literal_eval(value)
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            continue
        present = live.get(target.id, _NONE)
        watched.append((live, target.id, present))
        if type(present) is not type(literal) or not same_constant(present, literal):
            return f"`{name}.{target.id}` is not what its file says: re-import {name}, or pass the value as an argument"
        if isinstance(literal, (list, dict, set)):
            watched.append((live, target.id, _Literal(literal)))
    return ""


_NONE = object()


class _Literal:
    """A mutable constant's value in the text, to be compared again each time."""

    __slots__ = ("value",)

    def __init__(self, value: object) -> None:
        self.value = value


def _changed_values(name: str, watched: object) -> bool:
    assert isinstance(watched, tuple)
    for live, attribute, value in watched:
        present = live.get(attribute, _NONE)
        if isinstance(value, _Literal):
            if not same_constant(present, value.value):
                return True
        elif present is not value:
            return True
    return False


def plain_function(value: object) -> types.FunctionType | None:
    """The plain function inside a function, static, class or cached method, or property; None for other values."""
    if isinstance(value, types.FunctionType):
        return value
    if isinstance(value, (staticmethod, classmethod)):
        return plain_function(value.__func__)
    if isinstance(value, property):
        return plain_function(value.fget)
    wrapped = getattr(value, "__wrapped__", None) if type(value).__name__ == "_lru_cache_wrapper" else None
    return plain_function(wrapped) if wrapped is not None else None
