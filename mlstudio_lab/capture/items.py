"""What a name of the live namespace is: code with its text, or data."""

from __future__ import annotations

import ast
import functools
import inspect
import logging
import sys
import types
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from mlstudio_lab.capture.environment import origin_of
from mlstudio_lab.capture.history import Binding, History
from mlstudio_lab.capture.source_of import first_line, same_constant, segment

KERNEL_NAMES: Final = frozenset({
    "__name__", "__doc__", "__file__", "__builtins__", "__builtin__", "__package__", "__spec__", "__loader__", "__annotations__",
    "get_ipython", "display", "exit", "quit", "open",
})  # fmt: skip
"""Names every kernel and worker has by itself."""

HISTORY_NAMES: Final = frozenset({"In", "Out", "_ih", "_oh", "_dh"})
"""IPython's own records, which no other process has."""


@dataclass(slots=True)
class Item:
    """One name as code.

    Attributes:
        role: "import" or "definition".
        source: The text that binds the name.
        origin: File name and first line of the text, None where it has none.
        imports: Dotted names it imports.
        refs: Names in the text that stand for live objects the namespace does not have under that name.
        shadows: A name the text binds on the way to its own.
        stale: Why the text is not what runs in the kernel, "" when it is.
        kernel_only: Why it cannot be rebuilt elsewhere, "" when it can.
        decorated: Whether running the text runs more than a plain `def`.
    """

    role: str
    source: str
    origin: tuple[str, int] | None = None
    imports: tuple[str, ...] = ()
    refs: dict[str, Any] = field(default_factory=dict)
    shadows: str = ""
    stale: str = ""
    kernel_only: str = ""
    decorated: bool = False


@dataclass(slots=True)
class Scope:
    """The live namespace code is resolved in.

    Attributes:
        namespace: Global names -> live objects.
        history: Which cell bound what.
    """

    namespace: Mapping[str, Any]
    history: History

    @property
    def module(self) -> str:
        """The namespace's own module name, `__main__` in a notebook."""
        return str(self.namespace.get("__name__", "__main__"))

    def own_function(self, value: object) -> bool:
        """Whether a function was defined in this namespace."""
        return isinstance(value, types.FunctionType) and value.__globals__ is self.namespace

    def own_class(self, value: object) -> bool:
        """Whether a class was defined in this namespace."""
        return isinstance(value, type) and value.__module__ == self.module

    def binding(self, name: str, value: object) -> Binding | None:
        """The statement that bound a name to this very object, None when unknown."""
        found = self.history.binding(name)
        return found if found is not None and found.bound(value) else None


def held_function(value: Any) -> Any:
    """The live function inside a module handle; any other value itself."""
    if type(value) in _NO_HANDLES:
        return value
    if type(value).__module__.startswith("mlstudio_lab") and hasattr(type(value), "__mlstudio_function__"):
        return value.__mlstudio_function__ or value
    held = getattr(value, "__dict__", None)
    if type(held) is dict and "__mlstudio_function__" in held:
        return held["__mlstudio_function__"] or value
    return value


_NO_HANDLES: Final = frozenset({
    types.FunctionType, types.ModuleType, types.BuiltinFunctionType, type, int, float, str, bytes, bool, list, dict, tuple, set, type(None),
})  # fmt: skip


def innermost(value: Any) -> Any:
    """What `functools.wraps` and `lru_cache` wrap, followed to the end."""
    if type(value) is types.FunctionType and "__wrapped__" not in value.__dict__:
        return value
    seen: set[int] = set()
    while id(value) not in seen:
        seen.add(id(value))
        try:
            inner = inspect.getattr_static(value, "__wrapped__")
        except AttributeError:
            return value
        if not callable(inner):
            return value
        value = inner
    return value


def resolve(name: str, value: object, scope: Scope) -> Item | None:
    """A name as code, None when it is data."""
    from mlstudio_lab.capture import classes, functions

    value = held_function(value)
    if isinstance(value, types.ModuleType):
        return _module(name, value)
    imported = _by_import_statement(name, value, scope)
    if imported is not None:
        return imported
    if isinstance(value, types.FunctionType) or type(value) is functools._lru_cache_wrapper or _singledispatch(value):
        core = innermost(value)
        if scope.own_function(value) or scope.own_function(core):
            return functions.function_item(name, value, core, scope)
        return from_import(name, value) or functions.unknown_maker(name, value, scope)
    if isinstance(value, type):
        if scope.own_class(value):
            return classes.class_item(name, value, scope)
        return from_import(name, value) or functions.unknown_maker(name, value, scope)
    if isinstance(value, types.BuiltinFunctionType):
        return from_import(name, value) if isinstance(value.__self__, types.ModuleType) else None
    if isinstance(value, logging.Logger):
        return Item("definition", f"import logging as _logging\n{name} = _logging.getLogger({value.name!r})", shadows="_logging")
    if _is_type_form(value):
        binding = scope.binding(name, value) or scope.history.binding(name)
        if binding is not None and isinstance(binding.node, (ast.Assign, ast.AnnAssign)):
            return statement_item(binding)
        return None
    core = innermost(value)
    if core is not value and scope.own_function(core):
        # An object a decorator left in a function's place (a task, a tool, a compiled function).
        binding = scope.binding(name, value)
        if binding is not None and isinstance(binding.node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            return statement_item(binding)
    return None


def statement_item(binding: Binding) -> Item:
    """The statement that bound a name, as a definition."""
    text = segment(binding.text, binding.node)
    decorated = bool(getattr(binding.node, "decorator_list", None)) or isinstance(binding.node, (ast.Assign, ast.AnnAssign, ast.ClassDef))
    return Item("definition", text, (binding.filename, first_line(binding.node)) if binding.filename else None, decorated=decorated)


def from_import(name: str, value: Any) -> Item | None:
    """`from module import value as name`, None when the value is not what that gives."""
    module = getattr(value, "__module__", None)
    if module is None and isinstance(value, types.BuiltinFunctionType):
        module = getattr(value.__self__, "__name__", None)
    qualified = getattr(value, "__qualname__", None) or getattr(value, "__name__", None)
    if not isinstance(module, str) or not isinstance(qualified, str) or "<" in qualified or module == "__main__":
        return None
    found: Any = sys.modules.get(module)
    for part in qualified.split("."):
        found = (
            inspect.getattr_static(found, part, None)
            if found is not None and not isinstance(found, types.ModuleType)
            else getattr(found, part, None)
        )
    if isinstance(found, (staticmethod, classmethod)):
        found = None
    if found is not value or origin_of(module) == "missing":
        return None
    head, _, rest = qualified.partition(".")
    if not rest:
        return Item("import", f"from {module} import {head}" + ("" if head == name else f" as {name}"), imports=(module,))
    return Item("definition", f"from {module} import {head} as _{head}\n{name} = _{head}.{rest}", imports=(module,), shadows=f"_{head}")


def _module(name: str, module: types.ModuleType) -> Item:
    dotted = module.__name__
    if sys.modules.get(dotted) is not module or dotted == "__main__":
        return Item("import", f"import {name}", kernel_only=f"`{name}` is a module object that no import gives")
    if origin_of(dotted) == "missing":
        return Item("import", f"import {dotted} as {name}", kernel_only=f"`{name}` is a module object that no import gives")
    text = f"import {dotted}" if dotted == name else f"import {dotted} as {name}"
    return Item("import", text, imports=(dotted,))


def _by_import_statement(name: str, value: object, scope: Scope) -> Item | None:
    """The import of a recorded cell, when the value still is what it gives."""
    binding = scope.history.binding(name)
    if binding is None or not isinstance(binding.node, ast.ImportFrom) or binding.node.level or not binding.node.module:
        return None
    module = binding.node.module
    alias = next((a for a in binding.node.names if (a.asname or a.name) == name or a.name == "*"), None)
    loaded = sys.modules.get(module)
    if alias is None or loaded is None or module in ("__main__", "__future__"):
        return None
    original = name if alias.name == "*" else alias.name
    present = getattr(loaded, original, _NONE)
    if present is not value and not (type(value) in (int, float, str, bool) and same_constant(present, value)):
        return None
    return Item(
        "import",
        f"from {module} import {original}" + ("" if original == name else f" as {name}"),
        imports=(module, f"{module}.{original}"),
    )


_NONE: Final = object()


def _singledispatch(value: object) -> bool:
    return isinstance(value, types.FunctionType) and "registry" in value.__dict__


def _is_type_form(value: object) -> bool:
    return type(value).__module__ in ("typing", "typing_extensions") or isinstance(value, (types.GenericAlias, types.UnionType))


def small_literal(value: object, most: int = 200) -> str | None:
    """The text of a small literal (None, bool, int, float, str, bytes, tuples of them), None for any other value.

    Example:
        >>> small_literal((1, "a")), small_literal([1]), small_literal(float("nan"))
        ("(1, 'a')", None, None)
    """
    if not _plain(value):
        return None
    try:
        text = repr(value)
    except ValueError:  # an int of too many digits to print
        return None
    return text if len(text) <= most else None


def _plain(value: object) -> bool:
    if value is None or type(value) in (bool, int, str, bytes):
        return True
    if type(value) is float:
        return value == value and value not in (float("inf"), float("-inf"))
    return type(value) is tuple and len(value) <= 100 and all(_plain(x) for x in value)
