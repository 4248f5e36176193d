"""A cell of statements as a module: inputs are the data it reads, outputs the names it binds."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mlstudio_lab.capture import environment
from mlstudio_lab.capture.captured import Captured, LiveCode
from mlstudio_lab.capture.closure import NONE, Closure
from mlstudio_lab.capture.effects import static_effects, uses_session
from mlstudio_lab.capture.history import future_units, history_of, statement_names
from mlstudio_lab.capture.items import Scope
from mlstudio_lab.capture.kinds import kernel_magics, parse
from mlstudio_lab.capture.modules import star_names
from mlstudio_lab.capture.scopes import Names, flow, names_of
from mlstudio_lab.core.bundle import Bundle, Unit
from mlstudio_lab.core.errors import CaptureRefused, near_matches
from mlstudio_lab.core.interface import Interface, Port

_DEFINING = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def capture_cell(
    source: str,
    namespace: Mapping[str, Any],
    *,
    name: str,
    filename: str,
    inputs: Sequence[str] | None = None,
    outputs: Sequence[str] | None = None,
    extra_inputs: Iterable[str] = (),
    tests: Sequence[str] = (),
) -> Captured:
    """A cell with everything it needs, as a bundle; nothing is executed.

    A name becomes an input when the cell reads it before it can have bound it. Where that depends on the run (a branch,
    a loop, a function called later), a name that this very cell bound last is left out: if the run asks for it after
    all, it is named in `extra_inputs` and the cell captured again.

    Args:
        source: The cell below its `%%module` line.
        namespace: The kernel's live names.
        name: The module's `namespace/name`, for messages.
        filename: The file name under which the kernel knows the cell.
        inputs: The data names to take, in place of those found.
        outputs: The names to give back, in place of those found.
        extra_inputs: Data names to take besides.
        tests: Sources of `%%test` cells.

    Raises:
        CaptureRefused: The cell cannot be a module; the message has the line, the hint the fix.

    Example:
        >>> c = capture_cell("y = x * k", {"x": 2, "k": 3}, name="demo/y", filename="<cell>")
        >>> c.inputs, c.outputs
        ({'x': 2, 'k': 3}, ('y',))
    """
    parsed = parse(source)
    scope = Scope(namespace, history_of(namespace))
    closure = Closure(scope, literals=False)
    cell = source.strip()
    found = flow(parsed.tree, closure.reads_of, star=star_names)
    own = _bound_names(parsed.tree, found, closure)

    def accept(read: str) -> bool:
        if found.reads.get(read, False) or read in extra_inputs:
            return True
        return read not in own or scope.history.cell_of(read) not in (None, cell)

    wanted = [*found.reads, *extra_inputs]
    _need(closure, wanted, accept, inputs, extra_inputs, name)
    bound = _outputs(parsed.tree, found, own)
    if outputs is not None:
        _check_outputs(outputs, bound, namespace, name)
    units, origins, roots, _ = closure.units(parsed.text)
    earlier = future_units(namespace, parsed.tree)
    roots |= {r for v in closure.data.values() if (r := _root(v))}
    ports_out = tuple(Port(n) for n in (outputs if outputs is not None else bound))
    interface = Interface(tuple(Port(n) for n in closure.data), ports_out)
    tested = [Unit("test", f"test_{n}", text) for n, text in enumerate(tests, 1)]
    bundle = Bundle(
        "cell",
        "",
        (*earlier, *units, Unit("main", "main", source), *tested),
        interface,
        environment.lock_for(roots),
    )
    kernel_source, defining_problem = _kernel_source(parsed.tree, parsed.text, found)
    origins["main"] = [filename, 1]
    env, impure = static_effects(bundle, namespace)
    given_back = tuple(outputs) if outputs is not None else bound
    return Captured(
        bundle, dict(closure.data), given_back, origins, LiveCode(closure, lambda: bundle), env, impure,
        closure.kernel_only or kernel_magics(parsed) or defining_problem or uses_session(impure), kernel_source, closure.stale,
    )  # fmt: skip


def _need(closure: Closure, wanted: list[str], accept: Any, inputs: Sequence[str] | None, extra: Iterable[str], name: str) -> None:
    if inputs is None:
        closure.need(wanted, accept)
        return
    missing = [n for n in inputs if closure.look(n) is NONE]
    if missing:
        raise CaptureRefused(
            f"--inputs names `{missing[0]}`, which the kernel does not have",
            subject=name,
            hint=near_matches(missing[0], closure.scope.namespace),
        )
    chosen = {*inputs, *extra}
    closure.need(
        [*(n for n in wanted if closure.item(n) is not None), *inputs, *extra], lambda n: n in chosen or closure.item(n) is not None
    )


def _root(value: object) -> str:
    root = type(value).__module__.partition(".")[0]
    return root if root and environment.origin_of(root) == "third" else ""


def _bound_names(tree: ast.Module, found: Names, closure: Closure) -> dict[str, str]:
    """Names the cell may bind, those included that functions it calls declare global."""
    own = dict(found.bound)
    for written in found.written:
        own.setdefault(written, "data")
    for read in list(found.reads):
        item = closure.item(read)
        if item is not None and item.role == "definition":
            for written in names_of(item.source).written:
                own.setdefault(written, "data")
    return own


def _outputs(tree: ast.Module, found: Names, own: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(n for n, how in own.items() if how == "data" and n not in found.deleted)


def _check_outputs(outputs: Sequence[str], bound: tuple[str, ...], namespace: Mapping[str, Any], name: str) -> None:
    for wanted in outputs:
        if wanted not in bound and wanted not in namespace:
            raise CaptureRefused(
                f"--outputs names `{wanted}`, which the cell does not bind", subject=name, hint=near_matches(wanted, bound)
            )


def _kernel_source(tree: ast.Module, text: str, found: Names) -> tuple[str, str]:
    """Imports and definitions of a cell on their own lines, and why the cell must stay in the kernel if they cannot be told apart."""
    lines = text.split("\n")
    kept: list[ast.stmt] = []
    problem = ""
    for statement in tree.body:
        if _defines(statement):
            early = [n for n in names_of(_text(lines, statement)).immediate if found.bound.get(n) == "data"]
            if early and isinstance(statement, _DEFINING):
                problem = problem or f"`{statement.name}` is defined with `{early[0]}`, which the same cell computes"
            kept.append(statement)
        elif nested := list(_nested_definitions(statement)):
            problem = problem or f"defines `{nested[0]}` inside a block at line {statement.lineno}"
    out = [""] * len(lines)
    for statement in kept:
        decorators = getattr(statement, "decorator_list", None)
        first = min(statement.lineno, decorators[0].lineno) if decorators else statement.lineno
        last = int(statement.end_lineno or statement.lineno)
        if first != last or not out[first - 1]:
            part = lines[first - 1 : last]
            part[-1] = part[-1].encode()[: statement.end_col_offset].decode()
            if not decorators:
                part[0] = part[0].encode()[statement.col_offset :].decode()
            out[first - 1 : last] = part
        else:
            part_text = lines[first - 1].encode()[statement.col_offset : statement.end_col_offset].decode()
            out[first - 1] = f"{out[first - 1]}; {part_text}"
    return ("\n".join(out).rstrip() if kept else ""), problem


def _text(lines: list[str], statement: ast.stmt) -> str:
    from mlstudio_lab.capture.source_of import segment

    return segment("\n".join(lines), statement)


def _defines(node: ast.stmt) -> bool:
    if isinstance(node, (*_DEFINING, ast.Import, ast.ImportFrom)):
        return True
    if isinstance(node, ast.Assign):
        return isinstance(node.value, ast.Lambda) and all(isinstance(t, ast.Name) for t in node.targets)
    if isinstance(node, (ast.Try, ast.If)):
        parts = [*node.body, *node.orelse]
        if isinstance(node, ast.Try):
            parts += [*node.finalbody, *(s for h in node.handlers for s in h.body)]
        return any(_defines(p) for p in parts) and all(_defines(p) or isinstance(p, ast.Pass) or _sets_constant(p) for p in parts)
    return False


def _sets_constant(node: ast.stmt) -> bool:
    return isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)


def _nested_definitions(node: ast.stmt) -> list[str]:
    """Functions, classes and imports that a block binds among other things."""
    found = []
    stack: list[ast.AST] = [node]
    while stack:
        part = stack.pop()
        if isinstance(part, _DEFINING):
            found.append(part.name)
        elif isinstance(part, (ast.Import, ast.ImportFrom)):
            found.extend(statement_names(part))
        elif not isinstance(part, (ast.Lambda, ast.expr)):
            stack.extend(ast.iter_child_nodes(part))
    return found
