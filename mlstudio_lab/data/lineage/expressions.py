"""Rules for expressions: what a value depends on, given what the columns of its frame depend on.

Each rule knows one construct of polars' plan. A construct without a rule, or one the visitor refuses to show, may have used
every column of the frame: it becomes opaque, it is never skipped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from mlstudio_lab.data.lineage.columns import (
    AGGREGATION,
    CONDITIONAL,
    FILTER,
    IDENTITY,
    OPAQUE,
    PYTHON,
    SORT,
    TRANSFORMATION,
    WINDOW,
    Columns,
)
from mlstudio_lab.data.lineage.deps import NOTHING, Deps, union
from mlstudio_lab.data.lineage.functions import DECIDED_BY, PASSING, aggregates, counts_rows, keeps_length, name_of

Env = Mapping[str, Deps]


def many(value: Any) -> list[Any]:
    """The value's items: none for None, the value itself when it is not a sequence."""
    if value is None:
        return []
    return list(value) if isinstance(value, (list, tuple)) else [value]


class Expressions:
    """Reads the expressions of one plan.

    Args:
        view: The plan visitor's `view_expression`.
        dtype_of: The dtype of an expression of the node being read, None where it is unknown.
        columns: The run's input columns.
        unreadable: Exceptions by which the visitor refuses; they widen.
    """

    def __init__(
        self,
        view: Callable[[int], Any],
        dtype_of: Callable[[int], Any],
        columns: Columns,
        unreadable: tuple[type[BaseException], ...],
    ) -> None:
        self._view = view
        self._dtype_of = dtype_of
        self._structs: list[Deps] = []
        self._columns = columns
        self._unreadable = unreadable
        self.why: set[str] = set()
        self.received = 0
        self.marks: list[int] = []
        self._rules: dict[str, Callable[[Any, Env], Deps]] = {
            "Column": self._column,
            "Literal": self._constant,
            "Len": self._constant,
            "BinaryExpr": self._binary,
            "Cast": self._cast,
            "Alias": self._alias,
            "Ternary": self._ternary,
            "Agg": self._aggregate,
            "Filter": self._filter,
            "Gather": self._gather,
            "Slice": self._slice,
            "Sort": self._sort,
            "SortBy": self._sort_by,
            "Window": self._window,
            "Rolling": self._rolling,
            "Explode": self._explode,
            "StructEval": self._struct_eval,
        }

    def read(self, index: int, env: Env) -> Deps:
        """What the expression at `index` of the plan's arena depends on."""
        try:
            node = self._view(index)
            rule = self._rules.get(type(node).__name__)
            if rule is not None:
                return rule(node, env)
            if type(node).__name__ == "Function":
                return self._function(index, node, env)
            reason = f"the expression {type(node).__name__}"
        except self._unreadable as error:
            reason = str(error)[:60]
            if reason == "field" and self._structs:
                return self._structs[-1]
        # What polars refuses to show can be Python code of the person: it is followed by a mark of its own, so that it is
        # known afterwards which columns and rows it had a part in.
        self.why.add(f"not readable: {reason}")
        mark = self._columns.bit(PYTHON, str(len(self.marks)))
        self.marks.append(mark)
        everything = self._columns.in_lane(union(env.values()), OPAQUE)
        self.received |= everything
        return Deps(everything | mark, length=everything | mark)

    def _column(self, node: Any, env: Env) -> Deps:
        deps = env[node.name]
        return deps if deps.flat else Deps(deps.bits, 0, deps.fields, deps.element, deps.inner, flat=True)

    def _constant(self, node: Any, env: Env) -> Deps:
        return NOTHING

    def _made_of(self, parts: Iterable[Deps], lane: int) -> Deps:
        bits = length = 0
        flat = False
        for part in parts:
            bits |= part.bits
            length |= part.length
            flat = flat or part.flat
        return Deps(self._columns.lifted(bits, lane), 0 if flat else length, flat=flat)

    def _binary(self, node: Any, env: Env) -> Deps:
        # Sums of a thousand terms are left-deep trees: walked, not recursed into.
        parts = [self.read(node.right, env)]
        left = node.left
        while True:
            try:
                inner = self._view(left)
            except self._unreadable:
                break
            if type(inner).__name__ != "BinaryExpr":
                break
            parts.append(self.read(inner.right, env))
            left = inner.left
        parts.append(self.read(left, env))
        return self._made_of(parts, TRANSFORMATION)

    def _cast(self, node: Any, env: Env) -> Deps:
        return self._made_of([self.read(node.expr, env)], TRANSFORMATION)

    def _alias(self, node: Any, env: Env) -> Deps:
        return self.read(node.expr, env)

    def _decided(self, deps: Deps, lane: int) -> int:
        return self._columns.indirect(deps.bits | deps.length, lane)

    def _ternary(self, node: Any, env: Env) -> Deps:
        condition = self.read(node.predicate, env)
        value = self._made_of([self.read(node.truthy, env), self.read(node.falsy, env)], TRANSFORMATION)
        flat = value.flat or condition.flat
        return Deps(
            value.bits | self._decided(condition, CONDITIONAL),
            0 if flat else value.length | condition.length,
            flat=flat,
        )

    def _aggregate(self, node: Any, env: Env) -> Deps:
        first, *others = many(node.arguments)
        value = self.read(first, env)
        bits = self._columns.lifted(value.bits, AGGREGATION) | value.length
        for other in others:
            bits |= self._decided(self.read(other, env), CONDITIONAL)
        if node.name == "implode":
            return Deps(bits, element=value, inner=value.length)
        return Deps(bits)

    def _filter(self, node: Any, env: Env) -> Deps:
        return self._subset(self.read(node.input, env), [self.read(node.by, env)])

    def _gather(self, node: Any, env: Env) -> Deps:
        return self._subset(self.read(node.expr, env), [self.read(node.idx, env)])

    def _slice(self, node: Any, env: Env) -> Deps:
        return self._subset(self.read(node.input, env), [self.read(node.offset, env), self.read(node.length, env)])

    def _subset(self, value: Deps, by: list[Deps]) -> Deps:
        decided = 0
        for deps in by:
            decided |= self._decided(deps, FILTER)
        return Deps(value.bits | decided, value.length | decided, value.fields, value.element, value.inner)

    def _sort(self, node: Any, env: Env) -> Deps:
        value = self.read(node.expr, env)
        return value.adding(self._decided(value, SORT))

    def _sort_by(self, node: Any, env: Env) -> Deps:
        value = self.read(node.expr, env)
        for by in many(node.by):
            value = value.adding(self._decided(self.read(by, env), SORT))
        return value

    def _window(self, node: Any, env: Env) -> Deps:
        value = self.read(node.function, env)
        bits = self._columns.lifted(value.bits, TRANSFORMATION) | value.length
        decided = 0
        for by in many(node.partition_by) + many(node.order_by):
            decided |= self._decided(self.read(by, env), WINDOW)
        if getattr(node.options, "kind", "over") == "explode":
            return Deps(bits | decided, value.length | decided)
        return Deps(bits | decided, flat=True)

    def _rolling(self, node: Any, env: Env) -> Deps:
        value = self.read(node.function, env)
        decided = self._decided(self.read(node.index_column, env), WINDOW)
        return Deps(self._columns.lifted(value.bits, AGGREGATION) | value.length | decided, flat=True)

    def _explode(self, node: Any, env: Env) -> Deps:
        value = self.read(node.expr if hasattr(node, "expr") else node.input, env)
        if value.element is not None:
            return Deps(value.element.bits | value.inner, value.length | value.inner, value.element.fields)
        return Deps(self._columns.lifted(value.bits, TRANSFORMATION), value.length | self._decided(value, FILTER))

    def _function(self, index: int, node: Any, env: Env) -> Deps:
        family, member = name_of(node.function_data)
        inputs = [self.read(index, env) for index in node.input]
        if member in ("as_struct", "asstruct"):
            value = self._made_of(inputs, TRANSFORMATION)
            fields = self._fields_of(index, inputs)
            return Deps(value.bits, value.length, fields, flat=value.flat)
        if family == "StructFunction" and inputs and inputs[0].fields:
            part = self._struct(member, node.function_data, inputs[0])
            if part is not None:
                return part
        decided = 0
        if member in DECIDED_BY and len(inputs) > 1:
            decided = self._decided(inputs.pop(), DECIDED_BY[member])
        lane = AGGREGATION if aggregates(family, member) else IDENTITY if member in PASSING else TRANSFORMATION
        value = self._made_of(inputs, lane)
        if aggregates(family, member):
            return Deps(value.bits | value.length | decided)
        if keeps_length(family, member):
            return Deps(value.bits | decided, value.length, flat=value.flat)
        if counts_rows(member):
            return Deps(value.bits | decided, value.length)
        return Deps(value.bits | decided, value.length | self._decided(value, FILTER) | decided)

    def _struct(self, member: str, data: tuple[Any, ...], struct: Deps) -> Deps | None:
        fields = struct.fields or {}
        if member == "fieldbyname" and data[1] in fields:
            field = fields[data[1]]
            return Deps(field.bits, struct.length, field.fields, field.element, field.inner, struct.flat)
        if member == "renamefields" and len(data[1]) == len(fields):
            renamed = dict(zip(data[1], fields.values(), strict=True))
            return Deps(struct.bits, struct.length, renamed, flat=struct.flat)
        return None

    def _fields_of(self, index: int, inputs: list[Deps]) -> dict[str, Deps] | None:
        names = [field.name for field in getattr(self._dtype_of(index), "fields", ())]
        if len(names) != len(inputs) or len(set(names)) != len(names):
            return None
        return dict(zip(names, inputs, strict=True))

    def _struct_eval(self, node: Any, env: Env) -> Deps:
        struct = self.read(node.expr, env)
        self._structs.append(self._made_of([struct], TRANSFORMATION))
        try:
            given = {part.output_name: self.read(part.node, env) for part in node.evaluation}
        finally:
            self._structs.pop()
        whole = self._made_of([struct, *given.values()], TRANSFORMATION)
        fields = {**struct.fields, **given} if struct.fields and node.variant == "with_fields" else None
        return Deps(whole.bits, whole.length, fields, flat=whole.flat)
