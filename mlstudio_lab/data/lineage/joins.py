"""Which column of a join's result comes from which side."""

from __future__ import annotations

from typing import Any

from mlstudio_lab.data.lineage.columns import JOIN, TRANSFORMATION, Columns
from mlstudio_lab.data.lineage.deps import Deps, Frame, union

Keys = tuple[list[Deps], list[Deps]]


def joined(node: Any, left: Frame, right: Frame, keys: Keys, columns: Columns) -> tuple[dict[str, Deps], int] | None:
    """The columns of a join's result and what else decides its rows; None for a kind of join that is not known.

    Args:
        node: The plan visitor's Join.
        left: The left input.
        right: The right input.
        keys: What the left and the right keys depend on.
        columns: The run's input columns.
    """
    how, _nulls_equal, _slice, suffix, coalesce, _order = node.options
    kind = how[0] if isinstance(how, tuple) else how
    left_keys = [part.output_name for part in node.left_on]
    right_keys = [part.output_name for part in node.right_on]
    if kind in ("Semi", "Anti"):
        return dict(left.columns), 0
    if kind == "Right":
        return _right(left, right, left_keys if coalesce else [], suffix), 0
    if kind not in ("Inner", "Left", "Full", "Cross", "AsOf", "IEJoin"):
        return None
    made = dict(left.columns)
    dropped: set[str] = set()
    decided = 0
    if kind == "AsOf":
        for frame, by in ((left, how[4]), (right, how[5])):
            for name in by or ():
                decided |= columns.indirect(frame.columns[name].bits, JOIN)
        dropped.update(how[5] or ())
    if coalesce:
        dropped.update(right_keys)
        if kind == "Full":
            for name, own, other in zip(left_keys, *keys, strict=True):
                made[name] = Deps(columns.lifted(union((own, other)), TRANSFORMATION))
    for name, deps in right.columns.items():
        if name not in dropped:
            made[name + suffix if name in left.columns else name] = deps
    return made, decided


def _right(left: Frame, right: Frame, dropped: list[str], suffix: str) -> dict[str, Deps]:
    made = {name: deps for name, deps in left.columns.items() if name not in dropped}
    for name, deps in right.columns.items():
        made[name + suffix if name in made else name] = deps
    return made
