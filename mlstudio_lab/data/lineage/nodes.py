"""Rules for plan nodes: what each column and the rows of a node depend on, given its inputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from mlstudio_lab.data.lineage.columns import (
    AGGREGATION,
    FILTER,
    GROUP_BY,
    JOIN,
    SORT,
    TRANSFORMATION,
    Columns,
)
from mlstudio_lab.data.lineage.deps import NOTHING, Deps, Frame, union
from mlstudio_lab.data.lineage.expressions import Env, Expressions, many

Rule = Callable[[Any, list[str], Sequence[Frame]], Frame | None]


class Nodes:
    """Knows the nodes of polars' plans; `rule` gives None for a node it does not know.

    Args:
        expressions: Reads the expressions in the nodes.
        columns: The run's input columns.
    """

    def __init__(self, expressions: Expressions, columns: Columns) -> None:
        self._expressions = expressions
        self._columns = columns
        self._rules: dict[str, Rule] = {
            "Cache": self._same,
            "Slice": self._same,
            "SimpleProjection": self._projection,
            "Select": self._select,
            "HStack": self._with_columns,
            "Filter": self._filter,
            "Gather": self._gather,
            "Sort": self._sort,
            "Distinct": self._distinct,
            "GroupBy": self._group_by,
            "Union": self._union,
            "HConcat": self._side_by_side,
            "MergeSorted": self._merge_sorted,
            "MapFunction": self._map_function,
            "Join": self._join,
        }
        self._functions: dict[str, Callable[[Any, list[str], Frame], Frame | None]] = {
            "rechunk": lambda function, names, frame: frame,
            "hint_sorted": lambda function, names, frame: frame,
            "explode": self._explode,
            "unnest": self._unnest,
            "unpivot": self._unpivot,
            "row_index": self._row_index,
            "rename": self._rename,
        }

    def rule(self, node: Any) -> Rule | None:
        """The rule for a node as the plan visitor shows it."""
        return self._rules.get(type(node).__name__)

    def _expr(self, part: Any, env: Env) -> Deps:
        return self._expressions.read(part.node, env)

    def _decided(self, deps: Deps, lane: int) -> int:
        return self._columns.indirect(deps.bits | deps.length, lane)

    def _same(self, node: Any, names: list[str], inputs: Sequence[Frame]) -> Frame:
        return inputs[0]

    def _projection(self, node: Any, names: list[str], inputs: Sequence[Frame]) -> Frame:
        return Frame({name: inputs[0].columns[name] for name in names}, inputs[0].rows)

    def _select(self, node: Any, names: list[str], inputs: Sequence[Frame]) -> Frame:
        env, rows = inputs[0].columns, inputs[0].rows
        made = {part.output_name: self._expr(part, env) for part in node.expr}
        # A column with one value a row fixes the number of rows; anything else next to it has to fit or polars refuses.
        if not any(deps.flat for deps in made.values()):
            for deps in made.values():
                rows |= deps.length
        return Frame(made, rows)

    def _with_columns(self, node: Any, names: list[str], inputs: Sequence[Frame]) -> Frame:
        env = inputs[0].columns
        made = {part.output_name: self._expr(part, env) for part in node.exprs}
        if not env:
            return self._select_like(made, inputs[0].rows)
        return Frame({**env, **made}, inputs[0].rows)

    def _select_like(self, made: dict[str, Deps], rows: int) -> Frame:
        # Columns added to a frame without columns decide its rows.
        for deps in made.values():
            rows |= deps.length
        return Frame(made, rows)

    def _filter(self, node: Any, names: list[str], inputs: Sequence[Frame]) -> Frame:
        frame = inputs[0]
        return Frame(frame.columns, frame.rows | self._decided(self._expr(node.predicate, frame.columns), FILTER))

    def _gather(self, node: Any, names: list[str], inputs: Sequence[Frame]) -> Frame:
        frame, *positions = inputs
        rows = frame.rows
        for other in positions:
            rows |= self._columns.indirect(other.bits, FILTER)
        return Frame(frame.columns, rows)

    def _sort(self, node: Any, names: list[str], inputs: Sequence[Frame]) -> Frame:
        rows = inputs[0].rows
        for part in node.by_column:
            rows |= self._decided(self._expr(part, inputs[0].columns), SORT)
        return Frame(inputs[0].columns, rows)

    def _distinct(self, node: Any, names: list[str], inputs: Sequence[Frame]) -> Frame:
        columns, rows = inputs[0].columns, inputs[0].rows
        subset = columns if node.options[1] is None else node.options[1]
        for name in subset:
            rows |= self._decided(columns[name], GROUP_BY)
        return Frame(columns, rows)

    def _group_by(self, node: Any, names: list[str], inputs: Sequence[Frame]) -> Frame | None:
        if node.apply:
            return None
        env, rows = inputs[0].columns, inputs[0].rows
        made: dict[str, Deps] = {}
        for part in node.keys:
            made[part.output_name] = key = self._expr(part, env)
            rows |= self._decided(key, GROUP_BY)
        for options in (getattr(node.options, "dynamic", None), getattr(node.options, "rolling", None)):
            if options is None:
                continue
            index = str(options.index_column)
            rows |= self._decided(env[index], GROUP_BY)
            moment = Deps(self._columns.lifted(env[index].bits, TRANSFORMATION))
            made.update({name: moment for name in names if name in ("_lower_boundary", "_upper_boundary")})
            # A rolling window keeps the index as it is; a dynamic one gives the window's start.
            made[index] = env[index] if getattr(node.options, "dynamic", None) is None else moment
        for part in node.aggs:
            value = self._expr(part, env)
            if value.flat:
                # Without an aggregation the group's values become a list of them.
                bits = self._columns.lifted(value.bits, AGGREGATION)
                made[part.output_name] = Deps(bits, element=value, inner=value.length)
            else:
                bits = self._columns.lifted(value.bits, AGGREGATION) | value.length
                made[part.output_name] = Deps(bits, 0, value.fields, value.element, value.inner)
        return Frame({name: made[name] for name in names}, rows)

    def _union(self, node: Any, names: list[str], inputs: Sequence[Frame]) -> Frame:
        rows = 0
        for frame in inputs:
            rows |= frame.rows
        return Frame({name: _either([frame.columns[name] for frame in inputs]) for name in names}, rows)

    def _side_by_side(self, node: Any, names: list[str], inputs: Sequence[Frame]) -> Frame | None:
        made: dict[str, Deps] = {}
        rows = 0
        for frame in inputs:
            if made.keys() & frame.columns.keys():
                return None
            made.update(frame.columns)
            rows |= frame.rows
        return Frame(made, rows)

    def _merge_sorted(self, node: Any, names: list[str], inputs: Sequence[Frame]) -> Frame:
        rows = 0
        for frame in inputs:
            rows |= frame.rows
            for key in many(node.key):
                rows |= self._decided(frame.columns[key], SORT)
        return Frame({name: _either([frame.columns[name] for frame in inputs]) for name in names}, rows)

    def _map_function(self, node: Any, names: list[str], inputs: Sequence[Frame]) -> Frame | None:
        rule = self._functions.get(str(node.function[0]))
        return None if rule is None else rule(node.function, names, inputs[0])

    def _explode(self, function: Any, names: list[str], frame: Frame) -> Frame:
        columns, rows = dict(frame.columns), frame.rows
        for name in function[1]:
            value = columns[name]
            if value.element is None:
                rows |= self._decided(value, FILTER)
                columns[name] = Deps(self._columns.lifted(value.bits, TRANSFORMATION))
            else:
                rows |= value.inner
                element = value.element
                columns[name] = Deps(element.bits, 0, element.fields, element.element, element.inner)
        return Frame(columns, rows)

    def _unnest(self, function: Any, names: list[str], frame: Frame) -> Frame | None:
        made: dict[str, Deps] = {}
        structs = list(function[1])
        prefix = function[2] if len(function) > 2 else None
        for name in structs:
            for field, deps in (frame.columns[name].fields or {}).items():
                made[field if prefix is None else f"{name}{prefix}{field}"] = deps
        kept = {name: deps for name, deps in frame.columns.items() if name not in structs}
        vague = [frame.columns[name] for name in structs if not frame.columns[name].fields]
        unknown = Deps(self._columns.lifted(union(vague), TRANSFORMATION))
        columns: dict[str, Deps] = {}
        for name in names:
            if name in kept:
                columns[name] = kept[name]
            elif name in made:
                columns[name] = made[name]
            elif vague:
                columns[name] = unknown
            else:
                return None
        return Frame(columns, frame.rows)

    def _unpivot(self, function: Any, names: list[str], frame: Frame) -> Frame:
        _, index, on, variable, value = function[:5]
        on = list(on) if on is not None else [name for name in frame.columns if name not in index]
        columns = {name: frame.columns[name] for name in index}
        columns[variable] = NOTHING
        columns[value] = Deps(self._columns.lifted(union(frame.columns[name] for name in on), TRANSFORMATION))
        return Frame(columns, frame.rows)

    def _row_index(self, function: Any, names: list[str], frame: Frame) -> Frame:
        return Frame({function[1]: NOTHING, **frame.columns}, frame.rows)

    def _rename(self, function: Any, names: list[str], frame: Frame) -> Frame:
        renamed = dict(zip(function[1], function[2], strict=True))
        return Frame({renamed.get(name, name): deps for name, deps in frame.columns.items()}, frame.rows)

    def _join(self, node: Any, names: list[str], inputs: Sequence[Frame]) -> Frame | None:
        from mlstudio_lab.data.lineage.joins import joined

        left, right = inputs
        keys = [self._expr(part, left.columns) for part in node.left_on], [self._expr(part, right.columns) for part in node.right_on]
        rows = left.rows | right.rows
        for deps in (*keys[0], *keys[1]):
            rows |= self._decided(deps, JOIN)
        by = joined(node, left, right, keys, self._columns)
        if by is None:
            return None
        columns, decided = by
        rows |= decided
        if getattr(node, "predicate", None) is not None:
            rows |= self._decided(self._expr(node.predicate, columns), JOIN)
        return Frame({name: columns[name] for name in names}, rows)


def _either(values: list[Deps]) -> Deps:
    first = values[0]
    if all(value is first for value in values):
        return first
    fields = None
    if all(value.fields and value.fields.keys() == (first.fields or {}).keys() for value in values):
        fields = {name: _either([(value.fields or {})[name] for value in values]) for name in first.fields or {}}
    return Deps(union(values), fields=fields)
