"""Edges of what nobody traced: every output column depends on every input column."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from mlstudio_lab.core.edges import Edge
from mlstudio_lab.wire.task import Value

MOST: Final = 20_000
"""Edges between two values beyond which one edge between the values as wholes stands for all of them."""


def columns(value: Value | None) -> list[str]:
    """A value's columns; one column "" for a value that has none.

    Example:
        >>> columns(Value("", "int"))
        ['']
    """
    return list(value.schema) if value is not None and value.schema else [""]


def all_to_all(outputs: Mapping[str, Value], inputs: Mapping[str, Value]) -> list[Edge]:
    """Opaque edges from every input column to every output column.

    Args:
        outputs: What is known of each output.
        inputs: What is known of each input.

    Example:
        >>> all_to_all({"y": Value("", "int")}, {"x": Value("", "int")})
        [Edge(output='y', output_column='', input='x', input_column='', kind='opaque', subtype='')]
    """
    return [
        Edge(output, oc, name, ic, "opaque")
        for output, made in outputs.items()
        for name, given in inputs.items()
        for oc, ic in _pairs(columns(made), columns(given))
    ]


def _pairs(made: list[str], given: list[str]) -> Iterable[tuple[str, str]]:
    if len(made) * len(given) > MOST:
        # The column "" means the whole value: still every column to every column, said once.
        return [("", "")]
    return ((oc, ic) for oc in made for ic in given)
