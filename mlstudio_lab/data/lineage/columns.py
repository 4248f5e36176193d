"""The bit positions of a run's input columns, and what one dependency set is made of.

A dependency set is one Python int. Each input column owns `LANES` neighbouring bits, one for each way of depending on it,
so a union of dependency sets is a single `|` whatever the number of columns.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from mlstudio_lab.core.edges import EdgeKind

LANES: Final = 16
"""Bits an input column owns in a dependency set: ten ways of depending on it, and six for "perhaps" of the indirect ones."""

IDENTITY, TRANSFORMATION, AGGREGATION, OPAQUE, FILTER, JOIN, GROUP_BY, SORT, WINDOW, CONDITIONAL = range(10)

_PERHAPS: Final = 6
"""Distance from an indirect lane to the lane that says the same of a column which code that cannot be read may have used."""

NAMES: Final[tuple[tuple[EdgeKind, str], ...]] = (
    ("direct", "IDENTITY"),
    ("direct", "TRANSFORMATION"),
    ("direct", "AGGREGATION"),
    ("opaque", ""),
    ("indirect", "FILTER"),
    ("indirect", "JOIN"),
    ("indirect", "GROUP_BY"),
    ("indirect", "SORT"),
    ("indirect", "WINDOW"),
    ("indirect", "CONDITIONAL"),
)
"""Edge kind and subtype of each lane (OpenLineage's column lineage facet; `opaque` is ours)."""

_INDIRECT: Final = sum(1 << lane for lane in range(FILTER, LANES))
_VAGUE: Final = 1 << OPAQUE | sum(1 << lane for lane in range(FILTER + _PERHAPS, LANES))


@lru_cache(maxsize=1 << LANES)
def _kinds(lanes: int) -> list[tuple[EdgeKind, str]]:
    value = [lane for lane in (AGGREGATION, TRANSFORMATION, IDENTITY, OPAQUE) if lanes >> lane & 1][:1]
    decided = [lane for lane in range(FILTER, FILTER + _PERHAPS) if (lanes | lanes >> _PERHAPS) >> lane & 1]
    return [NAMES[lane] for lane in (*value, *decided)]


PYTHON: Final = "\0python"
"""The source of positions that stand for Python code inside a plan while it is read; no edge names them."""


class Columns:
    """The input columns of one run, numbered in the order in which they were met.

    Example:
        >>> columns = Columns(); x = columns.bit("flights", "delay")
        >>> columns.edges(columns.lifted(x, AGGREGATION))
        [('flights', 'delay', 'direct', 'AGGREGATION')]
    """

    __slots__ = ("_first", "_index", "_indirect", "_names", "_vague")

    def __init__(self) -> None:
        self._names: list[tuple[str, str]] = []
        self._index: dict[tuple[str, str], int] = {}
        self._first = 0
        self._indirect = 0
        self._vague = 0

    def bit(self, source: str, column: str, lane: int = IDENTITY) -> int:
        """The dependency set "this one column, in this lane"; a new column gets the next position."""
        key = (source, column)
        position = self._index.get(key)
        if position is None:
            position = self._index[key] = len(self._names)
            self._names.append(key)
            self._first |= 1 << (LANES * position)
            self._indirect |= _INDIRECT << (LANES * position)
            self._vague |= _VAGUE << (LANES * position)
        return 1 << (LANES * position + lane)

    def present(self, bits: int) -> int:
        """The columns of a set, each as its first lane's bit."""
        if not bits:
            return 0
        bits |= bits >> 8
        bits |= bits >> 4
        bits |= bits >> 2
        bits |= bits >> 1
        return bits & self._first

    def in_lane(self, bits: int, lane: int) -> int:
        """The columns of a set, all of them moved into one lane."""
        return self.present(bits) << lane

    def vague(self, bits: int) -> int:
        """The part of a set that stands for code which cannot be read."""
        return bits & self._vague

    def lifted(self, bits: int, lane: int) -> int:
        """The set with weaker direct lanes raised to `lane`; indirect lanes stay as they are."""
        if not bits or lane == IDENTITY:
            return bits
        first = self._first
        below = bits & first
        raised = below << lane
        for lower in range(TRANSFORMATION, lane):
            part = bits & (first << lower)
            raised |= part << (lane - lower)
            below |= part
        return (bits & ~below) | raised

    def indirect(self, bits: int, lane: int) -> int:
        """What anything decided by this set depends on: all its columns in the indirect `lane`, and its own indirect lanes."""
        if not bits:
            return 0
        vague = self.vague(bits)
        decided = self.present(bits & ~vague) << lane
        if vague:
            decided |= self.present(vague) << (lane + _PERHAPS)
        return decided | (bits & self._indirect)

    def edges(self, bits: int) -> list[tuple[str, str, EdgeKind, str]]:
        """The set as (input, column, kind, subtype), in the order of the columns.

        Of several direct lanes only the strongest counts, and a direct edge makes an opaque one to the same column superfluous.
        """
        names = self._names
        return [(*names[position], *kind) for position, lanes in _positions(bits) for kind in _kinds(lanes)]

    def without(self, bits: int, marks: int) -> int:
        """The set without the columns of `marks`, in whatever lane they are."""
        return bits & ~(self.present(marks) * ((1 << LANES) - 1)) if marks else bits

    def names(self, bits: int) -> list[tuple[str, str]]:
        """The (input, column) pairs of a set."""
        return [self._names[position] for position, _ in _positions(bits)]

    def all_of(self, pairs: Iterable[tuple[str, str]]) -> int:
        """The set of all these columns, opaquely."""
        bits = 0
        for source, column in pairs:
            bits |= self.bit(source, column, OPAQUE)
        return bits


def _positions(bits: int) -> list[tuple[int, int]]:
    # Hexadecimal text is linear to make, where repeated shifts of a long int are quadratic; four digits are one column.
    text = f"{bits:x}"
    text = text.zfill((len(text) + 3) // 4 * 4)
    last = len(text) // 4 - 1
    return [
        (last - place, int(text[4 * place : 4 * place + 4], 16))
        for place in range(last, -1, -1)
        if text[4 * place : 4 * place + 4] != "0000"
    ]
