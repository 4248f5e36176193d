"""scikit-learn's bunches, whose own reduction writes what it never reads back."""

from __future__ import annotations

from typing import Any

from mlstudio_lab.data.shapes import Reader, Shape


def reader_of(kind: type) -> Reader | None:
    """How a Bunch is taken apart, None for everything else: estimators reduce well by themselves."""
    return (_bunch, True) if kind.__name__ == "Bunch" and issubclass(kind, dict) else None


def _bunch(value: dict[str, Any]) -> Shape:
    return Shape(b"sklearn.bunch", b"", [part for pair in value.items() for part in pair])
