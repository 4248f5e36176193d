"""Reads a polars plan: column by column, node by node, from the leaves up.

The plan is polars' own resolved one, without optimizations, so names, wildcards, selectors and SQL are already resolved.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

from mlstudio_lab.data.lineage.columns import LANES, OPAQUE, Columns
from mlstudio_lab.data.lineage.deps import Deps, Frame
from mlstudio_lab.data.lineage.expressions import Expressions
from mlstudio_lab.data.lineage.leaves import leaf_of, reading
from mlstudio_lab.data.lineage.nodes import Nodes
from mlstudio_lab.data.lineage.quiet import quiet

TESTED: Final = frozenset({(15, 2), (16, 0)})
"""Plan versions (`NodeTraverser.version()`) of polars 2.0 and 2.1, on which every rule here is tested."""


_ALL_LANES: Final = (1 << LANES) - 1


class UntestedPlan(RuntimeError):
    """A plan of a polars version on which no rule here was tested; nothing in it may be believed."""


class Reading:
    """What a plan says.

    Attributes:
        frame: What its result depends on.
        names: Its columns, in order.
        received: What Python code inside the plan (UDFs, unknown constructs) may see when it runs.
        writes: It ends in a sink.
        why: What was widened and why.
    """

    __slots__ = ("frame", "names", "received", "why", "writes")

    def __init__(self, frame: Frame, names: list[str], received: int, writes: bool, why: list[str]) -> None:
        self.frame = frame
        self.names = names
        self.received = received
        self.writes = writes
        self.why = why


@lru_cache(maxsize=1)
def unreadable() -> tuple[type[BaseException], ...]:
    """The exceptions by which polars, or a rule that meets something new, says that a construct cannot be read."""
    from polars.exceptions import PanicException, PolarsError

    # RecursionError: an expression nested too deeply to walk is as unknown as any other.
    return (NotImplementedError, PanicException, PolarsError, LookupError, AttributeError, TypeError, ValueError, RecursionError)


def _visit(plan: Any, *, pushdown: bool = False) -> Any:
    import polars as pl

    flags = pl.QueryOptFlags.none()
    if pushdown:
        flags.projection_pushdown = True
    with reading(), quiet():
        return plan.with_optimizations(flags._pyoptflags).visit()


def read(plan: Any, columns: Columns, everything: int) -> Reading:
    """What the plan's result depends on.

    Args:
        plan: A PyLazyFrame.
        columns: The run's input columns; files scanned by the plan are added as `file:PATH`.
        everything: The set an unknown leaf depends on.

    Raises:
        UntestedPlan: The installed polars is none of the tested ones.
        PolarsError: The plan does not resolve; running it would raise the same.
    """
    visitor = _visit(plan)
    if tuple(visitor.version()) not in TESTED:
        raise UntestedPlan(f"polars' plan version {visitor.version()} is untested")
    walk = _Walk(visitor, columns, everything)
    frame = walk.run()
    received = walk.expressions.received | walk.received
    if received or walk.expressions.marks:
        frame, received = _narrowed(plan, frame, received, walk, columns)
    return Reading(frame, walk.names, received, walk.writes, sorted(walk.why | walk.expressions.why))


class _Walk:
    def __init__(self, visitor: Any, columns: Columns, everything: int) -> None:
        self._visitor = visitor
        self._columns = columns
        self._everything = everything
        self._context: int | None = None
        self.expressions = Expressions(visitor.view_expression, self._dtype_of, columns, unreadable())
        self._nodes = Nodes(self.expressions, columns)
        self.why: set[str] = set()
        self.received = 0
        self.vague = False
        self.writes = False
        self.names: list[str] = []

    def _dtype_of(self, index: int) -> Any:
        if self._context is None:
            return None
        self._visitor.set_node(self._context)
        try:
            return self._visitor.get_dtype(index)
        except unreadable():
            return None

    def run(self) -> Frame:
        visitor = self._visitor
        root = visitor.get_node()
        frames: dict[int, Frame] = {}
        # Plans of hundreds of nodes are deeper than Python's stack: an explicit one, children first.
        stack = [(root, False)]
        while stack:
            number, ready = stack.pop()
            if number in frames:
                continue
            visitor.set_node(number)
            inputs = list(visitor.get_inputs())
            if ready or not inputs:
                frames[number] = self._node(number, inputs, [frames[child] for child in inputs])
            else:
                stack.append((number, True))
                stack.extend((child, False) for child in inputs if child not in frames)
        return frames[root]

    def _node(self, number: int, numbers: list[int], inputs: list[Frame]) -> Frame:
        visitor = self._visitor
        visitor.set_node(number)
        self.names = names = list(visitor.get_schema())
        try:
            node = visitor.view_current_node()
        except unreadable() as error:
            return self._unknown(names, inputs, str(error).split(" {")[0][:60])
        kind = type(node).__name__
        if kind == "Sink":
            self.writes = True
            return Frame({}, inputs[0].bits)
        if not inputs:
            return self._leaf(node, kind, names)
        rule = self._nodes.rule(node)
        self._context = numbers[0]
        try:
            frame = None if rule is None else rule(node, names, inputs)
        except unreadable() as error:
            return self._unknown(names, inputs, f"{kind} ({type(error).__name__})")
        if frame is None:
            detail = node.function[0] if kind == "MapFunction" else ""
            return self._unknown(names, inputs, f"{kind} {detail}".strip())
        if frame.columns.keys() != set(names):
            return self._unknown(names, inputs, f"{kind} with other columns than expected")
        return frame

    def _leaf(self, node: Any, kind: str, names: list[str]) -> Frame:
        leaf = leaf_of(node)
        if leaf is not None:
            if leaf.frame.columns.keys() >= set(names) and node.options[4] is None:
                return leaf.frame
            return self._unknown(names, [leaf.frame], "a leaf with other columns than expected")
        if kind == "Scan" and node.predicate is None and node.paths:
            # The file's own columns; a column made by the scan (row index, file path) counts as one of them.
            made = {name: Deps(self._of_files(node.paths, name)) for name in names}
            return Frame(made)
        return self._unknown(names, [], f"a frame that was not handed in ({kind})")

    def _of_files(self, paths: list[Any], name: str) -> int:
        bits = 0
        for path in paths:
            bits |= self._columns.bit(f"file:{path}", name)
        return bits

    def _unknown(self, names: list[str], inputs: list[Frame], what: str) -> Frame:
        self.why.add(f"not readable: {what}")
        self.vague = True
        bits = 0
        for frame in inputs:
            bits |= frame.bits
        bits = self._columns.in_lane(bits, OPAQUE)
        if not inputs:
            bits |= self._everything
        self.received |= bits
        everything = Deps(bits)
        return Frame(dict.fromkeys(names, everything), bits)


def _needed(plan: Any) -> int | None:
    """The columns polars itself asks the leaves for when the plan runs; None when that cannot be told."""
    visitor = _visit(plan, pushdown=True)
    bits = 0
    stack = [visitor.get_node()]
    while stack:
        visitor.set_node(stack.pop())
        inputs = list(visitor.get_inputs())
        if inputs:
            stack.extend(inputs)
            continue
        try:
            node = visitor.view_current_node()
        except unreadable():
            return None
        leaf = leaf_of(node)
        if leaf is None or node.options[4] is not None:
            return None
        wanted = leaf.frame.columns if node.options[1] is None else node.options[1]
        bits |= leaf.frame.rows
        for name in wanted:
            bits |= leaf.frame.of(name)
    return bits


def _narrowed(plan: Any, frame: Frame, received: int, walk: _Walk, columns: Columns) -> tuple[Frame, int]:
    """The frame, and what Python code in the plan receives, without columns that polars never hands to that code.

    A Python function inside an expression gets only its own arguments, and polars asks the leaves only for what is used:
    what an output column made with Python asks for bounds what that Python code can have received.
    """
    import polars as pl
    from polars.selectors import by_name

    marks = 0
    for mark in walk.expressions.marks:
        marks |= mark
    exact = not walk.vague

    def needed(part: Any) -> int | None:
        need = _needed(part) if exact else None
        return None if need is None else columns.present(need) * _ALL_LANES

    made: dict[str, Deps] = {}
    touched: set[str] = set()
    seen = used = 0
    for name, deps in frame.columns.items():
        bits = deps.bits
        if walk.vague or columns.present(bits) & marks:
            touched.add(name)
            seen |= columns.present(bits) & marks
            need = needed(plan.select([by_name(name).as_expr()._pyexpr]))
            if need is None:
                exact = False
            else:
                bits &= ~(columns.vague(bits) & ~need)
                used |= need
            deps = Deps(columns.without(bits, marks), flat=deps.flat)
        made[name] = deps
    rows = frame.rows
    if walk.vague or columns.present(rows) & marks:
        touched.update(frame.columns)
        seen |= columns.present(rows) & marks
        need = needed(plan.select([pl.len()._pyexpr]))
        if need is None:
            exact = False
        else:
            rows &= ~(columns.vague(rows) & ~need)
            used |= need
        rows = columns.without(rows, marks)
    # Python code whose result is used nowhere may run all the same: then nothing bounds what it receives.
    if exact and seen == marks:
        received &= used
    return Frame(made, rows, frozenset(touched)), columns.without(received, marks)
