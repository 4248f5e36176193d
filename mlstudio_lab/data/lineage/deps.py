"""What one value inside a plan depends on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping


class Deps:
    """A value's dependency set, with what is known about its parts.

    Attributes:
        bits: The dependency set of the whole value (see `Columns`).
        length: What, beyond the rows of its frame, decides how many values an expression gives (a filter inside it).
        fields: Field -> dependencies, for a struct whose fields can be told apart.
        element: Dependencies of a list's elements, where they are known.
        inner: What decides the lengths of the lists, where `element` is known.
        flat: It has exactly one value for each row of its frame.
    """

    __slots__ = ("bits", "element", "fields", "flat", "inner", "length")

    def __init__(
        self,
        bits: int,
        length: int = 0,
        fields: Mapping[str, Deps] | None = None,
        element: Deps | None = None,
        inner: int = 0,
        flat: bool = False,
    ) -> None:
        self.bits = bits
        self.length = length
        self.fields = fields
        self.element = element
        self.inner = inner
        self.flat = flat

    def adding(self, bits: int, length: int = 0) -> Deps:
        """The same value when `bits` (and for its length `length`) decide about it too."""
        if not bits and not length:
            return self
        return Deps(self.bits | bits, self.length | length, self.fields, self.element, self.inner, self.flat)


NOTHING = Deps(0)
"""A constant."""


class Frame:
    """What a frame depends on.

    Attributes:
        columns: Column -> dependencies.
        rows: What decides which rows there are and in what order; it counts for every column.
        python: Columns in which Python code inside a plan had a part.
    """

    __slots__ = ("columns", "python", "rows")

    def __init__(self, columns: Mapping[str, Deps], rows: int = 0, python: frozenset[str] = frozenset()) -> None:
        self.columns = columns
        self.rows = rows
        self.python = python

    @property
    def bits(self) -> int:
        """Everything that anything in this frame depends on."""
        return union(self.columns.values()) | self.rows

    def of(self, column: str) -> int:
        """All that one column's values depend on, rows included; an unknown column depends on everything here."""
        deps = self.columns.get(column)
        return self.bits if deps is None else deps.bits | self.rows


def union(values: Iterable[Deps]) -> int:
    """The union of the dependency sets of several values."""
    bits = 0
    for deps in values:
        bits |= deps.bits
    return bits
