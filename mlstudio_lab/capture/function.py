"""A function as a module, from a live function, a cell of definitions, or plain source."""

from __future__ import annotations

import ast
import types
from collections.abc import Mapping, Sequence
from typing import Any

from mlstudio_lab.capture import environment
from mlstudio_lab.capture.captured import Captured, LiveCode
from mlstudio_lab.capture.closure import NONE, Closure
from mlstudio_lab.capture.effects import static_effects, uses_session
from mlstudio_lab.capture.history import future_units, history_of
from mlstudio_lab.capture.items import Item, Scope, held_function, innermost, resolve
from mlstudio_lab.capture.kinds import entry_of, parse
from mlstudio_lab.capture.modules import star_names
from mlstudio_lab.capture.scopes import Names, flow, names_of
from mlstudio_lab.capture.source_of import compiled_ways, same_code, same_constant
from mlstudio_lab.core.bundle import Bundle, Unit
from mlstudio_lab.core.errors import CaptureRefused
from mlstudio_lab.core.interface import Interface, Port
from mlstudio_lab.core.magic_lines import parse_cell


def capture_function(
    fn: Any,
    namespace: Mapping[str, Any],
    *,
    name: str,
    entry_source: str | None = None,
    filename: str = "",
    tests: Sequence[str] = (),
    values: Mapping[str, Any] | None = None,
) -> Captured:
    """A live function with everything it reaches now, as a bundle; nothing is executed.

    Args:
        fn: The function, or a handle that holds it.
        namespace: The kernel's live names; a function of a `.py` file is read in its own file's names.
        name: The module's `namespace/name`, for messages.
        entry_source: The cell that defined it; it is the bundle's main text while all it defines is still what runs.
        filename: The cell's file name; by default the one the function was compiled under.
        tests: Sources of `%%test` cells.
        values: Arguments of the coming call; the person's functions and classes in them become part of the bundle.

    Raises:
        CaptureRefused: Its source is not known, or it cannot be a module.

    Example:
        >>> capture_function(live_function, globals(), name="demo/f").bundle.entry
        'live_function'
    """
    fn = held_function(fn)
    core = innermost(fn)
    if not isinstance(core, types.FunctionType):
        raise CaptureRefused(f"a {type(fn).__name__} is not a function defined in Python", subject=name, hint="hand in a def or a lambda")
    names = namespace if core.__globals__ is namespace else core.__globals__
    scope = Scope(names, history_of(names))
    entry = str(getattr(fn, "__name__", ""))
    if not entry.isidentifier() or held_function(names.get(entry)) is not fn:
        bound = [k for k, v in names.items() if held_function(v) is fn]
        entry = bound[0] if bound else (entry if entry.isidentifier() else "entry")
    if entry_source is not None and (whole := _whole_cell(entry_source, entry, fn, scope)) is not None:
        return _captured(entry_source, whole, entry, scope, filename or core.__code__.co_filename, 1, tests, values, None)
    item = resolve(entry, fn, scope)
    if item is None or item.role != "definition":
        item = Item("definition", f"{entry} = None", kernel_only=f"the source of `{entry}` is not known")
    if item.kernel_only and item.source == f"{entry} = None":
        raise CaptureRefused(item.kernel_only, subject=name, hint="define it with def at the top level of a cell or a .py file")
    file, line = item.origin or (core.__code__.co_filename, core.__code__.co_firstlineno)
    return _captured(item.source, names_of(item.source), entry, scope, file, line, tests, values, item)


def capture_definitions(
    source: str,
    namespace: Mapping[str, Any],
    *,
    name: str,
    filename: str,
    entry: str | None = None,
    tests: Sequence[str] = (),
    values: Mapping[str, Any] | None = None,
) -> Captured:
    """A cell of definitions as a bundle; names it does not define itself are taken from the kernel.

    Args:
        source: The cell below its `%%module` line.
        namespace: The kernel's live names; whether the cell has been executed there does not matter.
        name: The module's `namespace/name`, for messages.
        filename: The file name under which the kernel knows the cell.
        entry: The function to call; the one public function by default.
        tests: Sources of `%%test` cells.
        values: Arguments of the coming call, see `capture_function`.

    Raises:
        CaptureRefused: No entry can be told, or the cell cannot be a module.

    Example:
        >>> c = capture_definitions("def double(x: int) -> int: return 2 * x", {}, name="demo/double", filename="<cell>")
        >>> c.bundle.entry, c.bundle.interface.inputs[0].type
        ('double', 'int')
    """
    called = entry_of(source, entry, name)
    scope = Scope(namespace, history_of(namespace))
    closure_names = flow(parse(source).tree, None, [called], star_names)
    return _captured(source, closure_names, called, scope, filename, 1, tests, values, None)


def capture_source(
    text: str, *, name: str, entry: str | None = None, tests: Sequence[str] = (), filename: str = "", kind: str | None = None
) -> Captured:
    """Plain source as a bundle: a function module of its definitions; nothing outside the text is known but imports.

    Args:
        text: The source.
        name: The module's `namespace/name`.
        entry: The function to call; the one public function by default.
        tests: Sources of test cells.
        filename: Where the text stands, for tracebacks.
        kind: "cell" for a cell module; a function module by default.

    Raises:
        CaptureRefused: It cannot be a module.

    Example:
        >>> capture_source("def f(x): return x + 1", name="demo/f").bundle.kind
        'function'
    """
    from mlstudio_lab.capture.cell import capture_cell

    file = filename or f"<{name}>"
    if kind == "cell":
        return capture_cell(text, {}, name=name, filename=file, tests=tests)
    return capture_definitions(text, {}, name=name, filename=file, entry=entry, tests=tests)


def _captured(
    source: str,
    own: Names,
    entry: str,
    scope: Scope,
    filename: str,
    line: int,
    tests: Sequence[str],
    values: Mapping[str, Any] | None,
    item: Item | None,
) -> Captured:
    closure = Closure(scope, literals=True)
    parsed = parse_cell(source)
    if item is not None:
        for reference, held in item.refs.items():
            closure.overlay(reference, held)
        closure.stale, closure.kernel_only = item.stale, item.kernel_only
    found = flow(parsed.tree, closure.reads_of, [entry], star_names)
    bound = own.bound
    closure.need([n for n in found.reads if n not in bound or not found.reads[n] or n in scope.namespace], lambda n: n not in bound)
    for value in (values or {}).values():
        closure.need([n for n in closure.hold(value) if n not in bound], lambda n: n not in bound)
    written = [*found.written, *(w for i in closure.items.values() if i.role == "definition" for w in names_of(i.source).written)]
    if written:
        closure.kernel_only = closure.kernel_only or f"changes the global name `{written[0]}`"
    units, origins, roots, _ = closure.units(source)
    earlier = future_units(scope.namespace, parsed.tree)
    roots |= {r for v in closure.data.values() if (r := type(v).__module__.partition(".")[0]) and environment.origin_of(r) == "third"}
    interface = Interface(
        (*parameters(parsed.tree, entry), *(Port(n, implicit=True) for n in closure.data)), (_result(parsed.tree, entry),)
    )
    tested = [Unit("test", f"test_{n}", text) for n, text in enumerate(tests, 1)]
    lock = environment.lock_for(roots)
    bundle = Bundle("function", entry, (*earlier, *units, Unit("main", "main", source), *tested), interface, lock)
    origins["main"] = [filename, line]
    env, impure = static_effects(bundle, scope.namespace)
    return Captured(
        bundle, dict(closure.data), (), origins, LiveCode(closure, lambda: bundle), env, impure,
        closure.kernel_only or uses_session(impure), source, closure.stale,
    )  # fmt: skip


def _definition(tree: ast.Module, entry: str) -> ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | None:
    found: Any = None
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name == entry:
            found = found or node
        elif isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == entry for t in node.targets):
            inner = node.value
            while isinstance(inner, ast.Call) and inner.args:
                inner = inner.args[0]
            if isinstance(inner, ast.Lambda):
                found = inner
    return found  # type: ignore[no-any-return]


def parameters(tree: ast.Module, entry: str) -> tuple[Port, ...]:
    """The entry function's parameters as ports, in order."""
    node = _definition(tree, entry)
    if node is None:
        return ()
    a = node.args
    ports = []
    positional = [*a.posonlyargs, *a.args]
    defaults = [None] * (len(positional) - len(a.defaults)) + list(a.defaults)
    for argument, default in zip(positional, defaults, strict=True):
        ports.append(_port(argument, default))
    if a.vararg is not None:
        ports.append(Port(a.vararg.arg, _type(a.vararg.annotation), required=False, variadic="*"))
    ports.extend(_port(argument, default) for argument, default in zip(a.kwonlyargs, a.kw_defaults, strict=True))
    if a.kwarg is not None:
        ports.append(Port(a.kwarg.arg, _type(a.kwarg.annotation), required=False, variadic="**"))
    return tuple(ports)


def _port(argument: ast.arg, default: ast.expr | None) -> Port:
    return Port(argument.arg, _type(argument.annotation), default is None, "" if default is None else ast.unparse(default))


def _type(annotation: ast.expr | None) -> str:
    if annotation is None:
        return ""
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        return annotation.value
    return ast.unparse(annotation)


def _result(tree: ast.Module, entry: str) -> Port:
    node = _definition(tree, entry)
    return Port("return", _type(getattr(node, "returns", None)))


def _whole_cell(source: str, entry: str, fn: Any, scope: Scope) -> Names | None:
    """The names of the cell that defined a function, None when something in it is no longer what runs."""
    try:
        parsed = parse_cell(source)
    except (SyntaxError, ValueError):
        return None
    found = flow(parsed.tree, None, [entry], star_names)
    if found.bound.get(entry) not in ("def", "lambda"):
        return None
    codes = _codes(parsed.text)
    # Whoever calls binds the entry's live defaults; they matter here only to code that calls the entry by its name.
    bare = {entry} if not any(entry in inner for inner in found.inner.values()) else set()
    for bound, how in found.bound.items():
        value = fn if bound == entry else held_function(scope.namespace.get(bound, NONE))
        if value is NONE:
            continue
        if not _unchanged(bound, how, value, parsed.tree, codes, scope, bound in bare):
            return None
    return found


def _codes(text: str) -> dict[str, list[types.CodeType]]:
    found: dict[str, list[types.CodeType]] = {}
    stack = [*compiled_ways(text)]
    while stack:
        for constant in stack.pop().co_consts:
            if isinstance(constant, types.CodeType):
                found.setdefault(constant.co_name, []).append(constant)
                stack.append(constant)
    return found


def _unchanged(
    bound: str, how: str, value: Any, tree: ast.Module, codes: Mapping[str, list[types.CodeType]], scope: Scope, bare: bool
) -> bool:
    """Whether a name of a definitions cell still stands for what the cell says."""
    if how in ("def", "lambda"):
        core = innermost(value)
        if not isinstance(core, types.FunctionType):
            return how == "def"  # whatever its decorator made of it
        if core.__code__.co_freevars and core is value:
            return bool(scope.binding(bound, value))
        name = "<lambda>" if how == "lambda" else bound
        if not any(same_code(core.__code__, code) for code in codes.get(name, ())):
            return core is not value and not scope.own_function(core)
        node = _definition(tree, bound)
        if node is None or core is not value or bare:
            return True
        from mlstudio_lab.capture.functions import live_defaults

        return not live_defaults(bound, core, node, scope)[0]
    if how == "class":
        item = resolve(bound, value, scope)
        if item is None or item.role != "definition" or item.stale:
            return False
        written = next((n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == bound), None)
        try:
            other = parse_cell(item.source).tree.body
        except SyntaxError:
            return False
        return written is not None and len(other) == 1 and ast.dump(written) == ast.dump(other[0])
    if how == "data":
        for statement in tree.body:
            if isinstance(statement, (ast.Assign, ast.AnnAssign)) and statement.value is not None:
                listed = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
                if any(isinstance(t, ast.Name) and t.id == bound for t in listed):
                    try:
                        return same_constant(ast.literal_eval(statement.value), value)
                    except (ValueError, TypeError, SyntaxError):
                        return True
    return True
