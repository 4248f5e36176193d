"""Classes as text, compared attribute by attribute with the live class."""

from __future__ import annotations

import ast
import linecache
from collections.abc import Iterator
from typing import Any

from mlstudio_lab.capture.functions import live_defaults
from mlstudio_lab.capture.items import Item, Scope, innermost, statement_item
from mlstudio_lab.capture.modules import plain_function
from mlstudio_lab.capture.source_of import Replacements, first_line, locate, same_constant, segment, text_of
from mlstudio_lab.core.magic_lines import parse_cell


def class_item(name: str, cls: type, scope: Scope) -> Item:
    """The text that binds a name to this class of the notebook."""
    if cls.__name__ != name and scope.namespace.get(cls.__name__) is cls:
        return Item("definition", f"{name} = {cls.__name__}")
    if "." in cls.__qualname__ and "<" not in cls.__qualname__:
        found: Any = scope.namespace.get(cls.__qualname__.partition(".")[0])
        for part in cls.__qualname__.split(".")[1:]:
            found = getattr(found, part, None)
        if found is cls:
            return Item("definition", f"{name} = {cls.__qualname__}")
    if "<locals>" in cls.__qualname__:
        return Item("definition", f"{name} = None", kernel_only=f"`{name}` is a class made inside a function")
    binding = scope.binding(name, cls)
    if binding is not None and isinstance(binding.node, (ast.Assign, ast.AnnAssign)):
        return statement_item(binding)
    place = (
        (binding.text, binding.node, binding.filename)
        if binding is not None and isinstance(binding.node, ast.ClassDef)
        else _find(cls, scope)
    )
    if place is None:
        return Item("definition", f"{name} = None", kernel_only=f"the source of class `{name}` is not known")
    text, node, filename = place
    if not isinstance(node, ast.ClassDef):
        return Item("definition", segment(text, node), (filename, first_line(node)), decorated=True)
    return _compared(name, cls, text, node, filename, scope)


def _find(cls: type, scope: Scope) -> tuple[str, ast.stmt, str] | None:
    """The statement that made a class no history knows: where its methods stand, else the newest text that has it."""
    for member in vars(cls).values():
        function = plain_function(member)
        located = locate(function.__code__) if function is not None and scope.own_function(function) else None
        if (
            located is not None
            and located.parents
            and isinstance(located.parents[0], ast.ClassDef)
            and located.parents[0].name == cls.__name__
        ):
            return located.text, located.parents[0], located.filename
    for filename, text in _texts(scope):
        try:
            tree = parse_cell(text).tree
        except (SyntaxError, ValueError):
            continue
        for node in reversed(tree.body):
            if isinstance(node, ast.ClassDef) and node.name == cls.__name__:
                return text, node, filename
            if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == cls.__name__ for t in node.targets):
                return text, node, filename
    return None


def _texts(scope: Scope) -> Iterator[tuple[str, str]]:
    path = scope.namespace.get("__file__")
    if isinstance(path, str) and (text := text_of(path)) is not None:
        yield path, text
    for filename in reversed(list(linecache.cache)):
        if "ipykernel_" in filename or filename.startswith(("<ipython-input", "<cell")):
            text = text_of(filename)
            if text is not None:
                yield filename, text


def _compared(name: str, cls: type, text: str, node: ast.ClassDef, filename: str, scope: Scope) -> Item:
    changed: Replacements = []
    refs: dict[str, Any] = {}
    stale = ""
    listed: set[str] = set()
    again = f"class `{name}` is not what its cell says"
    methods = {m.name: m for m in node.body if isinstance(m, (ast.FunctionDef, ast.AsyncFunctionDef))}
    for method, statement in methods.items():
        listed.add(method)
        function, replaced = _live_method(vars(cls).get(method), statement, filename)
        if replaced:
            stale = stale or f"{again}: `{method}` was replaced or edited; run its cell again"
        elif function is not None:
            more, more_refs = live_defaults(f"{name}_{method}", function, statement, scope)
            changed.extend(more)
            refs.update(more_refs)
    for other in node.body:
        if not isinstance(other, (ast.FunctionDef, ast.AsyncFunctionDef)):
            target = other.targets[0] if isinstance(other, ast.Assign) and len(other.targets) == 1 else getattr(other, "target", None)
            value = getattr(other, "value", None)
            listed.update(n.id for n in ast.walk(other) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store))
            if isinstance(target, ast.Name) and value is not None and _differs(cls, target.id, value):
                stale = stale or f"{again}: `{target.id}` was changed; run its cell again"
    own_file = {filename}
    for attribute, member in vars(cls).items():
        function = plain_function(member)
        if function is None or attribute in listed or not scope.own_function(function) or function.__code__.co_filename in ("<string>",):
            continue
        if not node.decorator_list and not node.keywords and (function.__code__.co_filename not in own_file or not _inside(function, node)):
            stale = stale or f"{again}: `{attribute}` was added; run its cell again"
    item = Item("definition", segment(text, node, changed), (filename, first_line(node)), refs=refs, stale=stale, decorated=True)
    if node.name != name:  # an older class of a name that now is another's, held by an instance of it
        item.source += f"\n{name} = {node.name}"
        item.shadows = node.name
    return item


def _live_method(member: Any, statement: ast.FunctionDef | ast.AsyncFunctionDef, filename: str) -> tuple[Any, bool]:
    """The function a method's statement made, None when decorators hide it, and whether another stands in its place."""
    parts = (member.fget, member.fset, member.fdel) if isinstance(member, property) else (member,)
    functions = [innermost(f) for p in parts if (f := plain_function(p)) is not None]
    functions = [f for f in functions if not f.__code__.co_filename.startswith("<string>")]
    elsewhere = False
    for function in functions:
        located = locate(function.__code__)
        if located is None:
            continue
        if located.same and first_line(located.node) == first_line(statement) and located.filename == filename:
            return function, False
        made_inside = any(isinstance(p, (ast.FunctionDef, ast.AsyncFunctionDef)) for p in located.parents)
        elsewhere = elsewhere or not (statement.decorator_list and made_inside)
    return None, elsewhere


def _inside(function: Any, node: ast.ClassDef) -> bool:
    return bool(node.lineno <= function.__code__.co_firstlineno <= int(node.end_lineno or node.lineno))


def _differs(cls: type, attribute: str, expression: ast.expr) -> bool:
    """Whether a class constant is no longer the literal written in the class body."""
    try:
        literal = ast.literal_eval(expression)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return False
    present = vars(cls).get(attribute, literal)
    if hasattr(present, "value") and type(present) is cls:
        return False  # an enumeration's member
    if type(present) is not type(literal):
        return not (hasattr(present, "__get__") or hasattr(cls, "__dataclass_fields__"))
    return not same_constant(present, literal)
