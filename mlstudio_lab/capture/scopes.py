"""Which global names a piece of source reads, binds and deletes, following the order in which it runs.

Two degrees of reading are told apart. A *certain* read happens before the source itself can have bound the name, so its
value comes from outside. An *uncertain* one may come after a binding in the same source (in a branch, a loop, or through
a function called later); who decides about those knows which cell bound the name last.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache

from mlstudio_lab.capture.bodies import Body, ScopeNode, definition_expressions, import_names, local_names, targets
from mlstudio_lab.core.magic_lines import parse_cell

Expand = Callable[[str], Iterable[str]]


@dataclass(slots=True)
class Names:
    """What a piece of source does with global names.

    Attributes:
        reads: Names needed from outside, in order of first need -> whether the read is certain.
        immediate: Names from outside read while the top level runs, not only inside function bodies.
        bound: Names the top level may bind, in order -> how: "data", "def", "class", "lambda", "import".
        always: Names bound on every path.
        deleted: Names a `del` removes.
        written: Names that functions rebind through `global`.
        lines: Name -> first line at which it is read.
        inner: Name of each function or class bound here -> the global names its body reads.
    """

    reads: dict[str, bool] = field(default_factory=dict)
    immediate: dict[str, None] = field(default_factory=dict)
    bound: dict[str, str] = field(default_factory=dict)
    always: frozenset[str] = frozenset()
    deleted: dict[str, None] = field(default_factory=dict)
    written: dict[str, None] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)
    inner: dict[str, tuple[str, ...]] = field(default_factory=dict)


@lru_cache(maxsize=4096)
def names_of(source: str) -> Names:
    """The names of a piece of source by itself, bodies of its functions included.

    Raises:
        SyntaxError: Not Python.

    Example:
        >>> n = names_of("def f(x): return x * rate"); list(n.reads), n.bound
        (['rate'], {'f': 'def'})
    """
    return flow(parse_cell(source).tree, None)


def flow(tree: ast.Module, expand: Expand | None, called: Iterable[str] | None = None, star: Expand | None = None) -> Names:
    """The names of a tree's top level in the order it runs.

    Args:
        tree: The source.
        expand: Gives the names that a helper from outside reads when it is used; None follows nothing outside.
        called: Functions of this source that are called after its top level has run (a function module's entry); None
            when every function may be.
        star: Gives the names that `from module import *` binds.
    """
    walker = _Flow(expand, star)
    walker.block(tree.body)
    for name in walker.names.inner if called is None else called:
        walker.use(name, 0, certain=False, immediate=False)
    walker.names.always = frozenset(walker.must)
    return walker.names


class _Flow:
    """Follows a top level statement by statement; `must` and `may` are the names bound so far on all or some paths."""

    def __init__(self, expand: Expand | None, star: Expand | None) -> None:
        self.names = Names()
        self.must: set[str] = set()
        self.may: set[str] = set()
        self._expand = expand
        self._star = star
        self._expanded: set[str] = set()
        self._looped: set[str] = set()  # bound later in a loop we are in

    # -- reading and binding

    def use(self, name: str, line: int, *, certain: bool, immediate: bool = True) -> None:
        waiting = [iter((name,))]
        while waiting:
            one = next(waiting[-1], None)
            if one is None:
                waiting.pop()
                continue
            follow = self._touch(one, line, certain=certain, immediate=immediate)
            certain = False  # what is reached through a function may be bound by then
            if follow:
                waiting.append(iter(follow))

    def _touch(self, name: str, line: int, *, certain: bool, immediate: bool) -> Iterable[str]:
        """Notes one read; gives the names read through it, the first time."""
        if name not in self.must:
            sure = certain and name not in self.may and name not in self._looped
            self.names.reads[name] = self.names.reads.get(name, False) or sure
            self.names.lines.setdefault(name, line)
            if immediate:
                self.names.immediate.setdefault(name)
        inner = self.names.inner.get(name) if name in self.may else None
        if name in self._expanded:
            return ()
        if inner is not None:
            self._expanded.add(name)
            return inner
        if self._expand is not None and name not in self.must:
            self._expanded.add(name)
            return self._expand(name)
        return ()

    def bind(self, name: str, how: str) -> None:
        self.must.add(name)
        self.may.add(name)
        before = self.names.bound.get(name)
        self.names.bound[name] = how if before in (None, how) else "data"
        self._expanded.discard(name)
        if how not in ("def", "class", "lambda"):
            self.names.inner.pop(name, None)

    def _define(self, name: str, node: ScopeNode, how: str) -> None:
        body = Body()
        body.scope(node)
        self.names.written.update(body.written)
        self.bind(name, how)
        self.names.inner[name] = tuple(body.reads)

    # -- statements

    def block(self, body: list[ast.stmt]) -> None:
        for statement in body:
            self._statement(statement)

    def _statement(self, node: ast.stmt) -> None:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            for expression in definition_expressions(node):
                self._expression(expression)
            self._define(node.name, node, "def")
        elif isinstance(node, ast.ClassDef):
            self._class(node)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            for name in import_names(node):
                self.bind(name, "import")
            if isinstance(node, ast.ImportFrom) and node.names[0].name == "*" and node.module and self._star is not None:
                for name in self._star(node.module):
                    self.bind(name, "import")
        elif isinstance(node, ast.Assign):
            self._expression(node.value)
            for target in node.targets:
                self._target(target, node.value)
        elif isinstance(node, ast.AnnAssign):
            self._expression(node.annotation)
            if node.value is not None:
                self._expression(node.value)
                self._target(node.target, node.value)
        elif isinstance(node, ast.AugAssign):
            if isinstance(node.target, ast.Name):
                self.use(node.target.id, node.lineno, certain=True)
            else:
                self._expression(node.target)
            self._expression(node.value)
            if isinstance(node.target, ast.Name):
                self.bind(node.target.id, "data")
        elif isinstance(node, ast.Delete):
            for target in node.targets:
                self._delete(target)
        elif isinstance(node, (ast.For, ast.AsyncFor)):
            self._expression(node.iter)
            self._loop([node.target], node.body, node.orelse)
        elif isinstance(node, ast.While):
            self._looped_names(node.body, lambda: self._expression(node.test))
            self._loop([], node.body, node.orelse)
        elif isinstance(node, ast.If):
            self._expression(node.test)
            self._branches([node.body, node.orelse])
        elif isinstance(node, (ast.With, ast.AsyncWith)):
            for item in node.items:
                self._expression(item.context_expr)
                if item.optional_vars is not None:
                    self._target(item.optional_vars, None)
            self.block(node.body)
        elif isinstance(node, (ast.Try, ast.TryStar)):
            self._try(node)
        elif isinstance(node, ast.Match):
            self._expression(node.subject)
            self._match(node)
        elif isinstance(node, ast.Global):
            pass
        else:
            for child in ast.iter_child_nodes(node):
                if isinstance(child, ast.expr):
                    self._expression(child)
                elif type(node).__name__ == "TypeAlias" and isinstance(child, ast.Name):
                    self.bind(child.id, "data")

    def _class(self, node: ast.ClassDef) -> None:
        for expression in definition_expressions(node):
            self._expression(expression)
        body = Body()
        body.scope(node)
        now, later = Body(), body.reads
        for statement in node.body:
            if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)):
                now.definition_time(statement, frozenset())
            else:
                now.visit(statement, frozenset(), methods=frozenset())
        for name, line in later.items():
            if name in now.reads:
                self.use(name, line, certain=True)
        self.names.written.update(body.written)
        self.bind(node.name, "class")
        self.names.inner[node.name] = tuple(later)

    def _target(self, target: ast.expr, value: ast.expr | None) -> None:
        if isinstance(target, ast.Name):
            if isinstance(value, ast.Lambda):
                self._define(target.id, value, "lambda")
            else:
                self.bind(target.id, "data")
        elif isinstance(target, (ast.Tuple, ast.List)):
            for part in target.elts:
                self._target(part, None)
        elif isinstance(target, ast.Starred):
            self._target(target.value, None)
        else:  # x.a = …, x[i] = … read x
            self._expression(target)

    def _delete(self, target: ast.expr) -> None:
        if isinstance(target, ast.Name):
            self.use(target.id, target.lineno, certain=True)
            self.must.discard(target.id)
            self.names.deleted.setdefault(target.id)
            self.names.bound.pop(target.id, None)
        elif isinstance(target, (ast.Tuple, ast.List)):
            for part in target.elts:
                self._delete(part)
        else:
            self._expression(target)

    def _looped_names(self, body: list[ast.stmt], visit: Callable[[], None]) -> None:
        before = self._looped
        self._looped = before | local_names(body)[0]
        visit()
        self._looped = before

    def _loop(self, head: list[ast.expr], body: list[ast.stmt], orelse: list[ast.stmt]) -> None:
        # What the body binds counts as bound afterwards: a loop that never runs is the rare case, and a name missing
        # then is noticed when the code asks for it.
        for target in head:
            self._target(target, None)
        self._looped_names(body, lambda: self.block(body))
        self.block(orelse)

    def _branches(self, branches: list[list[ast.stmt]]) -> None:
        before = set(self.must)
        after: set[str] | None = None
        for branch in branches:
            self.must = set(before)
            self.block(branch)
            if not (branch and isinstance(branch[-1], (ast.Raise, ast.Return, ast.Continue, ast.Break))):
                after = set(self.must) if after is None else after & self.must
        self.must = before if after is None else after

    def _try(self, node: ast.Try | ast.TryStar) -> None:
        start = set(self.must)
        self.block(node.body)
        self.block(node.orelse)
        whole = set(self.must)
        for handler in node.handlers:
            self.must = set(start)
            if handler.type is not None:
                self._expression(handler.type)
            if handler.name:
                self.must.add(handler.name)
                self.may.add(handler.name)
            self.block(handler.body)
            if handler.name:
                self.must.discard(handler.name)
        # The body's bindings count as made, like a loop's.
        self.must = whole
        self.block(node.finalbody)

    def _match(self, node: ast.Match) -> None:
        before = set(self.must)
        cases = []
        for case in node.cases:
            self.must = set(before)
            for part in ast.walk(case.pattern):
                if isinstance(part, ast.MatchValue):
                    self._expression(part.value)
                elif isinstance(part, ast.MatchClass):
                    self._expression(part.cls)
            for name in targets(case.pattern):
                self.bind(name, "data")
            if case.guard is not None:
                self._expression(case.guard)
            self.block(case.body)
            cases.append(self.must)
        self.must = before if not cases else set.intersection(before | cases[0], *cases) if _catches_all(node) else before

    # -- expressions

    def _expression(self, node: ast.AST) -> None:
        if isinstance(node, ast.Name):
            if isinstance(node.ctx, ast.Load):
                self.use(node.id, node.lineno, certain=True)
        elif isinstance(node, ast.NamedExpr):
            self._expression(node.value)
            self.bind(node.target.id, "data")
        elif isinstance(node, (ast.ListComp, ast.SetComp, ast.GeneratorExp, ast.DictComp)):
            body = Body()
            body.visit(node, frozenset())
            for name, line in body.reads.items():
                self.use(name, line, certain=True)
            for part in ast.walk(node):
                if isinstance(part, ast.NamedExpr):
                    self.bind(part.target.id, "data")
        elif isinstance(node, ast.Lambda):
            for expression in definition_expressions(node):
                self._expression(expression)
            body = Body()
            body.scope(node)
            for name, line in body.reads.items():
                self.use(name, line, certain=False)
        else:
            for child in ast.iter_child_nodes(node):
                self._expression(child)


def _catches_all(node: ast.Match) -> bool:
    last = node.cases[-1]
    return isinstance(last.pattern, ast.MatchAs) and last.pattern.pattern is None and last.guard is None
