"""The bit positions of a run's input columns, and what one dependency set is made of.

A dependency set is one Python int. Each input column owns `LANES` neighbouring bits, one for each way of depending on it,
so a union of dependency sets is a single `|` whatever the number of columns.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from mlstudio_lab.core.edges import EdgeKind

LANES: Final = 10
"""Bits an input column owns in a dependency set."""

IDENTITY, TRANSFORMATION, AGGREGATION, OPAQUE, FILTER, JOIN, GROUP_BY, SORT, WINDOW, CONDITIONAL = range(LANES)

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

_INDIRECT_LANES: Final = sum(1 << lane for lane in range(FILTER, LANES))
_LANE_MASK: Final = (1 << LANES) - 1


@lru_cache(maxsize=64)
def _ones(count: int) -> int:
    return ((1 << (LANES * count)) - 1) // _LANE_MASK if count else 0


class Columns:
    """The input columns of one run, numbered in the order in which they were met.

    Example:
        >>> columns = Columns(); x = columns.bit("flights", "delay")
        >>> columns.edges(columns.lifted(x, AGGREGATION))
        [('flights', 'delay', 'direct', 'AGGREGATION')]
    """

    __slots__ = ("_first", "_index", "_names")

    def __init__(self) -> None:
        self._names: list[tuple[str, str]] = []
        self._index: dict[tuple[str, str], int] = {}
        self._first = 0

    def bit(self, source: str, column: str, lane: int = IDENTITY) -> int:
        """The dependency set "this one column, in this lane"; a new column gets the next position."""
        key = (source, column)
        position = self._index.get(key)
        if position is None:
            position = self._index[key] = len(self._names)
            self._names.append(key)
            self._first = _ones(len(self._names))
        return 1 << (LANES * position + lane)

    def present(self, bits: int) -> int:
        """The columns of a set, each as its first lane's bit."""
        if not bits:
            return 0
        bits |= bits >> 5
        bits = bits | (bits >> 1) | (bits >> 2) | (bits >> 3) | (bits >> 4)
        return bits & self._first

    def in_lane(self, bits: int, lane: int) -> int:
        """The columns of a set, all of them moved into one lane."""
        return self.present(bits) << lane

    def only(self, bits: int, lane: int) -> int:
        """The part of a set that is in one lane."""
        return bits & (self._first << lane)

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
        return self.in_lane(bits, lane) | (bits & (self._first * _INDIRECT_LANES))

    def edges(self, bits: int) -> list[tuple[str, str, EdgeKind, str]]:
        """The set as (input, column, kind, subtype), in the order of the columns.

        Of several direct lanes only the strongest counts, and a direct edge makes an opaque one to the same column superfluous.
        """
        found: list[tuple[str, str, EdgeKind, str]] = []
        for position, lanes in _positions(bits):
            source, column = self._names[position]
            for lane in (AGGREGATION, TRANSFORMATION, IDENTITY, OPAQUE):
                if lanes >> lane & 1:
                    found.append((source, column, *NAMES[lane]))
                    break
            for lane in range(FILTER, LANES):
                if lanes >> lane & 1:
                    found.append((source, column, *NAMES[lane]))
        return found

    def names(self, bits: int) -> list[tuple[str, str]]:
        """The (input, column) pairs of a set."""
        return [self._names[position] for position, _ in _positions(bits)]

    def all_of(self, pairs: Iterable[tuple[str, str]]) -> int:
        """The set of all these columns, opaquely."""
        bits = 0
        for source, column in pairs:
            bits |= self.bit(source, column, OPAQUE)
        return bits


def _positions(bits: int) -> Iterable[tuple[int, int]]:
    # Sets are sparse or short; walking bytes is linear where repeated shifts of a long int are quadratic.
    text = bits.to_bytes((bits.bit_length() + 7) // 8 or 1, "little")
    position, lanes = -1, 0
    for index, byte in enumerate(text):
        while byte:
            low = byte & -byte
            place, lane = divmod(index * 8 + low.bit_length() - 1, LANES)
            if place != position:
                if lanes:
                    yield position, lanes
                position, lanes = place, 0
            lanes |= 1 << lane
            byte ^= low
    if lanes:
        yield position, lanes
