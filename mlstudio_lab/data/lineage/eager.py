"""Rules for what polars does to frames in memory without a plan: which columns of the result come from where."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from mlstudio_lab.data.lineage.columns import TRANSFORMATION, Columns
from mlstudio_lab.data.lineage.deps import NOTHING, Deps, Frame, union

Derive = Callable[[Sequence[Frame], list[str], tuple[Any, ...], Columns], Frame | None]
"""(frames taken, names of the result, arguments after the first, columns) -> the result; None when it cannot be told."""

Change = Callable[[Frame, list[str], list[str], tuple[Any, ...], Sequence[Frame]], Frame | None]
"""(frame, names before, names after, arguments, other frames) -> the changed frame; None when it cannot be told."""


def _same(frames: Sequence[Frame], names: list[str], args: tuple[Any, ...], columns: Columns) -> Frame | None:
    frame = frames[0]
    # A column that was not there before is a count (a row index) or was given as a series: Python's own, not the frames'.
    return Frame({name: frame.columns.get(name, NOTHING) for name in names}, frame.rows)


def _stacked(frames: Sequence[Frame], names: list[str], args: tuple[Any, ...], columns: Columns) -> Frame | None:
    rows = 0
    for frame in frames:
        rows |= frame.rows
    return Frame({name: Deps(union(frame.columns.get(name, NOTHING) for frame in frames)) for name in names}, rows)


def _beside(frames: Sequence[Frame], names: list[str], args: tuple[Any, ...], columns: Columns) -> Frame | None:
    made: dict[str, Deps] = {}
    rows = 0
    for frame in frames:
        made.update(frame.columns)
        rows |= frame.rows
    return Frame(made, rows) if made.keys() == set(names) else None


def _nothing(frames: Sequence[Frame], names: list[str], args: tuple[Any, ...], columns: Columns) -> Frame | None:
    return Frame(dict.fromkeys(names, NOTHING))


def _unpivoted(frames: Sequence[Frame], names: list[str], args: tuple[Any, ...], columns: Columns) -> Frame | None:
    frame = frames[0]
    kept = [name for name in names if name in frame.columns]
    made = [name for name in names if name not in frame.columns]
    if len(made) != 2 or made[0] in kept:
        return None
    values = union(deps for name, deps in frame.columns.items() if name not in kept)
    columns_of = {name: frame.columns[name] for name in kept}
    return Frame({**columns_of, made[0]: NOTHING, made[1]: Deps(columns.lifted(values, TRANSFORMATION))}, frame.rows)


DERIVES: Final[dict[str, Derive]] = {
    "clone": _same,
    "head": _same,
    "tail": _same,
    "slice": _same,
    "select": _same,
    "rechunk": _same,
    "with_row_index": _same,
    "gather": _same,
    "gather_with_series": _same,
    "sample_n": _same,
    "sample_frac": _same,
    "hstack": _same,
    "clear": _nothing,
    "vstack": _stacked,
    "unpivot": _unpivoted,
    "concat_df": _stacked,
    "concat_df_diagonal": _stacked,
    "concat_df_horizontal": _beside,
}
"""Methods of native frames, and functions of the Rust module, that give a new frame; anything else is a read."""


def _replaced(frame: Frame, before: list[str], after: list[str], args: tuple[Any, ...], others: Sequence[Frame]) -> Frame | None:
    # What is put in comes from Python; a column that was there under the same name and may have been replaced counts on.
    return Frame({name: frame.columns.get(name, NOTHING) for name in after}, frame.rows)


def _renamed(frame: Frame, before: list[str], after: list[str], args: tuple[Any, ...], others: Sequence[Frame]) -> Frame | None:
    if len(before) != len(after) or not all(name in frame.columns for name in before):
        return None
    return Frame({new: frame.columns[old] for old, new in zip(before, after, strict=True)}, frame.rows)


def _extended(frame: Frame, before: list[str], after: list[str], args: tuple[Any, ...], others: Sequence[Frame]) -> Frame | None:
    rows = frame.rows
    for other in others:
        rows |= other.rows
    return Frame({name: Deps(union(each.columns.get(name, NOTHING) for each in (frame, *others))) for name in after}, rows)


CHANGES: Final[dict[str, Change]] = {
    "set_column_names": _renamed,
    "insert_column": _replaced,
    "replace_column": _replaced,
    "replace": _replaced,
    "hstack_mut": _replaced,
    "vstack_mut": _extended,
    "extend": _extended,
    "shrink_to_fit": _replaced,
}
"""Methods of native frames that change them in place."""
