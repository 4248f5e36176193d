"""What runs inside functions and classes, as far as global names are concerned, and what binds names."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef
ScopeNode = FunctionNode | ast.Lambda | ast.ClassDef


def targets(node: ast.AST) -> Iterator[str]:
    """Names bound by an assignment target or a pattern."""
    for part in ast.walk(node):
        if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store):
            yield part.id
        elif isinstance(part, (ast.MatchAs, ast.MatchStar)) and part.name:
            yield part.name
        elif isinstance(part, ast.MatchMapping) and part.rest:
            yield part.rest


def import_names(node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    """Names an import statement binds."""
    for alias in node.names:
        if alias.name != "*":
            yield alias.asname or (alias.name.partition(".")[0] if isinstance(node, ast.Import) else alias.name)


class Body:
    """Global names read anywhere inside functions and classes.

    Attributes:
        reads: Names in order of first read -> line.
        written: Names rebound through `global`.
    """

    def __init__(self) -> None:
        self.reads: dict[str, int] = {}
        self.written: dict[str, None] = {}

    def scope(self, node: ScopeNode, outer: frozenset[str] = frozenset()) -> None:
        """Reads what runs when the function is called, or what the class's body and methods read; `outer` are not global."""
        if isinstance(node, ast.ClassDef):
            self._class(node, outer)
            return
        body = node.body if isinstance(node.body, list) else [node.body]
        local, declared = local_names(body)
        arguments = node.args
        for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg):
            if argument is not None:
                local.add(argument.arg)
        local.update(_type_parameters(node))
        self.written.update(dict.fromkeys(n for n in declared if n in _stores(body)))
        inside = (outer | local) - declared
        for statement in body:
            self.visit(statement, inside)

    def definition_time(self, node: ScopeNode, outer: frozenset[str]) -> None:
        """What runs when the `def`, `lambda` or `class` statement itself runs."""
        for expression in definition_expressions(node):
            self.visit(expression, outer | set(_type_parameters(node)))

    def _class(self, node: ast.ClassDef, outer: frozenset[str]) -> None:
        # A class body reads its own names first; its methods never see them.
        _local, declared = local_names(node.body)
        seen: set[str] = set(_type_parameters(node))
        self.written.update(dict.fromkeys(n for n in declared if n in _stores(node.body)))
        for statement in node.body:
            if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                self.definition_time(statement, outer | seen)
                self.scope(statement, outer)
                seen.add(statement.name)
                continue
            self.visit(statement, outer | seen, methods=outer)
            seen.update(local_names([statement])[0] - declared)

    def visit(self, node: ast.AST, local: frozenset[str], methods: frozenset[str] | None = None) -> None:
        """Reads one statement or expression; names in `local` are not global, methods of a class body see `methods` only."""
        if isinstance(node, ast.Name):
            if isinstance(node.ctx, ast.Load) and node.id not in local:
                self.reads.setdefault(node.id, node.lineno)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)):
            self.definition_time(node, local)
            self.scope(node, local if methods is None else methods)
        elif isinstance(node, (ast.ListComp, ast.SetComp, ast.GeneratorExp, ast.DictComp)):
            self._comprehension(node, local)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and methods is None:
            if node.value is not None:  # annotations of local variables are never evaluated
                self.visit(node.value, local)
        elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
            if node.target.id not in local:
                self.reads.setdefault(node.target.id, node.lineno)
            self.visit(node.value, local, methods)
        else:
            for child in ast.iter_child_nodes(node):
                self.visit(child, local, methods)

    def _comprehension(self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp, local: frozenset[str]) -> None:
        self.visit(node.generators[0].iter, local)
        inside = local | {name for g in node.generators for name in targets(g.target)}
        for position, generator in enumerate(node.generators):
            if position:
                self.visit(generator.iter, inside)
            for condition in generator.ifs:
                self.visit(condition, inside)
        for part in (node.key, node.value) if isinstance(node, ast.DictComp) else (node.elt,):
            self.visit(part, inside)


def definition_expressions(node: ScopeNode) -> Iterator[ast.expr]:
    """Expressions that run when a `def`, `lambda` or `class` statement runs, in order."""
    if isinstance(node, ast.ClassDef):
        yield from node.decorator_list
        yield from node.bases
        for keyword in node.keywords:
            yield keyword.value
        return
    if not isinstance(node, ast.Lambda):
        yield from node.decorator_list
    yield from node.args.defaults
    yield from (d for d in node.args.kw_defaults if d is not None)
    if not isinstance(node, ast.Lambda):
        a = node.args
        for argument in (*a.posonlyargs, *a.args, *a.kwonlyargs, a.vararg, a.kwarg):
            if argument is not None and argument.annotation is not None:
                yield argument.annotation
        if node.returns is not None:
            yield node.returns


def _type_parameters(node: ast.AST) -> list[str]:
    return [p.name for p in getattr(node, "type_params", ())]


def local_names(body: Iterable[ast.AST]) -> tuple[set[str], set[str]]:
    """Names bound in a function's own scope, and those it declares global."""
    bound: set[str] = set()
    declared: set[str] = set()
    stack = list(body)
    while stack:
        node = stack.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            bound.add(node.name)
            stack.extend(definition_expressions(node))
            continue
        if isinstance(node, ast.Lambda):
            stack.extend(definition_expressions(node))
            continue
        if isinstance(node, (ast.ListComp, ast.SetComp, ast.GeneratorExp, ast.DictComp)):
            # Only a walrus leaves a comprehension.
            bound.update(n.target.id for n in ast.walk(node) if isinstance(n, ast.NamedExpr))
            continue
        if isinstance(node, ast.Name) and isinstance(node.ctx, (ast.Store, ast.Del)):
            bound.add(node.id)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            bound.update(import_names(node))
        elif (isinstance(node, ast.ExceptHandler) and node.name) or (isinstance(node, (ast.MatchAs, ast.MatchStar)) and node.name):
            bound.add(node.name)
        elif isinstance(node, ast.MatchMapping) and node.rest:
            bound.add(node.rest)
        elif isinstance(node, ast.Global):
            declared.update(node.names)
        stack.extend(ast.iter_child_nodes(node))
    return bound, declared


def _stores(body: Iterable[ast.AST]) -> set[str]:
    return local_names(body)[0]
