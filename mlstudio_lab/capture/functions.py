"""Functions as text: plain, decorated, aliased, closures, lambdas, with the defaults they really have."""

from __future__ import annotations
import __future__

import ast
import copy
import functools
import re
import types
from functools import lru_cache
from typing import Any

from mlstudio_lab.capture.items import Item, Scope, held_function, small_literal, statement_item
from mlstudio_lab.capture.source_of import Located, Replacements, first_line, locate, same_constant, segment

_FUNCTION_PARENTS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


def function_item(name: str, value: Any, core: Any, scope: Scope) -> Item:
    """The text that binds a name to this function.

    Args:
        name: The name it is known by.
        value: What the namespace has: the function or what decorators made of it.
        core: The function inside all wrappers.
        scope: The live namespace.
    """
    if "registry" in getattr(value, "__dict__", ()) and len(getattr(value, "registry", ())) > 1:
        return _problem(name, f"`{name}` has implementations registered by other statements (singledispatch)")
    own_name = getattr(value, "__name__", name)
    if own_name != name and own_name.isidentifier() and held_function(scope.namespace.get(own_name)) is value:
        return Item("definition", f"{name} = {own_name}")
    binding = scope.binding(name, value)
    if isinstance(core, types.FunctionType) and not scope.own_function(core):
        return statement_item(binding) if binding is not None else _problem(name, f"how `{name}` was made is not known")
    located = locate(core.__code__)
    if value is not core:
        return _wrapped(name, value, core, located, scope)
    if core.__code__.co_freevars and core.__code__.co_freevars != ("__class__",):
        if binding is not None and isinstance(binding.node, (ast.FunctionDef, ast.AsyncFunctionDef)) and binding.node.decorator_list:
            return statement_item(binding)
        return _closure(name, core, located)
    if located is None:
        return statement_item(binding) if binding is not None else _problem(name, f"the source of `{name}` is not known")
    return _plain(name, core, located, scope)


def unknown_maker(name: str, value: Any, scope: Scope) -> Item:
    """A function or class that no import gives: the statement that made it, when a cell did."""
    binding = scope.binding(name, value)
    if binding is not None:
        return statement_item(binding)
    return _problem(name, f"how `{name}` was made is not known")


def _problem(name: str, reason: str) -> Item:
    return Item("definition", f"{name} = None", kernel_only=reason)


def _edited(name: str, located: Located) -> str:
    return "" if located.same else f"`{name}` was edited after it was loaded: re-import it, or run its cell again"


def _wrapped(name: str, value: Any, core: Any, located: Located | None, scope: Scope) -> Item:
    binding = scope.binding(name, value)
    node = None if located is None else located.node
    if located is not None and isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.decorator_list and node.name == name:
        item = _plain(name, core, located, scope)
        item.decorated = True
        return item
    if type(value) is functools._lru_cache_wrapper:
        inner = f"_{name}_uncached"
        given = ", ".join(f"{k}={v!r}" for k, v in value.cache_parameters().items())
        text = f"import functools as _functools\n{name} = _functools.lru_cache({given})({inner})"
        return Item("definition", text, refs={inner: core}, shadows="_functools")
    if binding is not None:
        return statement_item(binding)
    return _problem(name, f"how `{name}` was made is not known")


def _plain(name: str, function: types.FunctionType, located: Located, scope: Scope) -> Item:
    node, stale = _without_ours(located.node, scope), _edited(name, located)
    if any(isinstance(p, ast.ClassDef) for p in located.parents):
        path = function.__qualname__
        found: Any = scope.namespace.get(path.partition(".")[0])
        for part in path.split(".")[1:]:
            found = getattr(found, part, None)
        if found is function and "<" not in path:
            return Item("definition", f"{name} = {path}")
        return _problem(name, f"`{name}` is a method whose class is not a name of the notebook")
    if function.__dict__ and not getattr(node, "decorator_list", None) and set(function.__dict__) != {"__wrapped__"}:
        return _problem(name, f"`{name}` carries attributes of its own ({', '.join(sorted(function.__dict__))})")
    changed, refs = live_defaults(name, function, node, scope)
    if isinstance(node, ast.Lambda):
        return _lambda(name, located, changed, refs, stale)
    body = segment(located.text, node, changed)
    line = first_line(node)
    if function.__code__.co_flags & __future__.annotations.compiler_flag:
        # A kernel hands a cell's future statement on to later cells; the text alone would evaluate its annotations.
        body, line = (
            (f"from __future__ import annotations\nif True:\n{body}", line - 2)
            if node.col_offset
            else (f"from __future__ import annotations\n{body}", line - 1)
        )
    elif node.col_offset:
        body, line = "if True:\n" + body, line - 1
    item = Item("definition", body, (located.filename, line), refs=refs, stale=stale, decorated=bool(node.decorator_list))
    if node.name != name:
        item.source += f"\n{name} = {node.name}"
        item.shadows = node.name
    return item


def _without_ours(node: Any, scope: Scope) -> Any:
    """A function's node without the `@module(...)` that made it a module here: elsewhere it is the plain function."""
    ours = 0
    for decorator in getattr(node, "decorator_list", ()):
        made = decorator.func if isinstance(decorator, ast.Call) else decorator
        parts: list[str] = []
        while isinstance(made, ast.Attribute):
            parts.append(made.attr)
            made = made.value
        found: Any = scope.namespace.get(made.id) if isinstance(made, ast.Name) else None
        for part in reversed(parts):
            found = getattr(found, part, None)
        if not str(getattr(found, "__module__", "")).startswith("mlstudio_lab.client"):
            break
        ours += 1
    return _undecorated(node, ours) if ours else node


@functools.lru_cache(maxsize=1024)
def _undecorated(node: Any, count: int) -> Any:
    kept = copy.copy(node)
    kept.decorator_list = node.decorator_list[count:]
    return kept


def _lambda(name: str, located: Located, changed: Replacements, refs: dict[str, Any], stale: str) -> Item:
    statement = located.statement
    if isinstance(statement, ast.Assign) and statement.value is located.node and len(statement.targets) == 1:
        target = statement.targets[0]
        if isinstance(target, ast.Name) and target.id == name and len(located.parents) == 1:
            return Item(
                "definition", segment(located.text, statement, changed), (located.filename, first_line(statement)), refs=refs, stale=stale
            )
    return Item(
        "definition",
        f"{name} = ({segment(located.text, located.node, changed)})",
        (located.filename, located.node.lineno),
        refs=refs,
        stale=stale,
    )


def _closure(name: str, function: types.FunctionType, located: Located | None) -> Item:
    """A function with the variables it closed over, rebuilt by a factory that is given their present values."""
    if located is None:
        return _problem(name, f"the source of `{name}` is not known")
    node = located.node
    if any(isinstance(n, ast.Nonlocal) for n in ast.walk(node)):
        return _problem(name, f"`{name}` changes a variable it closed over")
    given, refs, problem = _cells(name, function, node)
    if problem:
        return _problem(name, problem)
    factory = f"_make_{name}"
    parameters = ", ".join(given)
    if isinstance(node, ast.Lambda):
        body = f"    return ({segment(located.text, node)})"
    else:
        undecorated = segment(located.text, node)
        if node.decorator_list:
            return _problem(name, f"`{name}` was decorated inside another function")
        indent = re.match(r"[ \t]*", undecorated.split("\n")[0])
        body = f"{undecorated}\n{indent[0] if indent else '    '}return {node.name}"
    arguments = ", ".join(f"{k}={v}" for k, v in given.items())
    text = f"def {factory}({parameters}):\n{body}\n{name} = {factory}({arguments})"
    if function.__defaults__ or function.__kwdefaults__:
        text += _set_defaults(name, function, refs)
    return Item(
        "definition",
        text,
        (located.filename, first_line(node) - 1),
        refs=refs,
        shadows=factory,
        stale=_edited(name, located),
        decorated=True,
    )


def _cells(name: str, function: types.FunctionType, node: ast.AST) -> tuple[dict[str, str], dict[str, Any], str]:
    given: dict[str, str] = {}
    refs: dict[str, Any] = {}
    for variable, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        if variable == "__class__":
            return given, refs, f"`{name}` is a method of a class made inside a function"
        try:
            value = cell.cell_contents
        except ValueError:
            return given, refs, f"`{name}` closed over `{variable}`, which has no value"
        if value is function and variable == getattr(node, "name", ""):
            continue  # calls itself: the factory's own def binds that name
        literal = small_literal(value)
        if literal is None:
            reference = f"_{name}_{variable}"
            refs[reference] = value
            literal = reference
        given[variable] = literal
    return given, refs, ""


def _set_defaults(name: str, function: types.FunctionType, refs: dict[str, Any]) -> str:
    text = ""
    if function.__defaults__:
        parts = [_value_text(f"_{name}_default_{n}", v, refs) for n, v in enumerate(function.__defaults__)]
        text += f"\n{name}.__defaults__ = ({', '.join(parts)},)"
    if function.__kwdefaults__:
        pairs = [f"{k!r}: {_value_text(f'_{name}_default_{k}', v, refs)}" for k, v in sorted(function.__kwdefaults__.items())]
        text += f"\n{name}.__kwdefaults__ = {{{', '.join(pairs)}}}"
    return text


def _value_text(reference: str, value: Any, refs: dict[str, Any]) -> str:
    literal = small_literal(value)
    if literal is None:
        refs[reference] = value
        return reference
    return literal


def live_defaults(
    name: str, function: types.FunctionType, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda, scope: Scope
) -> tuple[Replacements, dict[str, Any]]:
    """Default expressions whose value now is not what the function has, each with what to write instead.

    Values too big to write are referred to by names, given with them.
    """
    if not function.__defaults__ and not function.__kwdefaults__:
        return [], {}
    arguments = node.args
    positional = [*arguments.posonlyargs, *arguments.args]
    live = function.__defaults__ or ()
    pairs: list[tuple[str, ast.expr, Any]] = []
    if len(live) == len(arguments.defaults):
        names = [a.arg for a in positional[len(positional) - len(live) :]]
        pairs.extend(zip(names, arguments.defaults, live, strict=True))
    keyword = function.__kwdefaults__ or {}
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        if default is not None and argument.arg in keyword:
            pairs.append((argument.arg, default, keyword[argument.arg]))
    refs: dict[str, Any] = {}
    replaced: Replacements = []
    for parameter, expression, value in pairs:
        if not _gives(expression, value, scope):
            replaced.append((expression, _value_text(f"_{name}_default_{parameter}", value, refs)))
    return replaced, refs


def _gives(expression: ast.expr, value: Any, scope: Scope) -> bool:
    """Whether an expression certainly evaluates to this value now."""
    if isinstance(expression, ast.Name):
        present = scope.namespace.get(expression.id, _gives)
        return present is value or (small_literal(value) is not None and same_constant(present, value))
    if isinstance(expression, ast.Attribute):
        parts = []
        at: ast.expr = expression
        while isinstance(at, ast.Attribute):
            parts.append(at.attr)
            at = at.value
        found = scope.namespace.get(at.id) if isinstance(at, ast.Name) else None
        for part in reversed(parts):
            found = getattr(found, part, None) if isinstance(found, (types.ModuleType, type)) else None
        return found is not None and (found is value or same_constant(found, value) if small_literal(value) is not None else found is value)
    literal = _literal(expression)
    return literal is not _literal and same_constant(literal, value)


@lru_cache(maxsize=4096)
def _literal(expression: ast.expr) -> Any:
    """The value of a literal, this function itself for any other expression."""
    if isinstance(expression, ast.Constant):
        return expression.value
    try:
        return ast.literal_eval(expression)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return _literal
