"""Which input columns an output column came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

EdgeKind = Literal["direct", "indirect", "opaque"]


@dataclass(frozen=True, slots=True, order=True)
class Edge:
    """One output column depends on one input column.

    Attributes:
        output: The output's name: `return` for a function's result, else the variable.
        output_column: A column, or "" for a value that has no columns.
        input: The input's parameter or variable name inside a run; outside, the Dataset's name or `name@digest`.
        input_column: A column, or "" for a value that has no columns.
        kind: `direct` (its value is made from it), `indirect` (it decided which rows, order or branch), `opaque` (it
            could have been read, so it counts).
        subtype: For direct edges IDENTITY, TRANSFORMATION or AGGREGATION; for indirect ones FILTER, JOIN, GROUP_BY,
            SORT, WINDOW or CONDITIONAL; "" for opaque ones. Source: OpenLineage's column lineage facet.

    Example:
        >>> Edge("return", "delay", "flights", "arr_delay", "direct", "AGGREGATION").kind
        'direct'
    """

    output: str
    output_column: str
    input: str
    input_column: str
    kind: EdgeKind
    subtype: str = ""

    def to_json(self) -> dict[str, str]:
        """The edge as plain JSON values."""
        return {
            "output": self.output,
            "output_column": self.output_column,
            "input": self.input,
            "input_column": self.input_column,
            "kind": self.kind,
            "subtype": self.subtype,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Edge:
        """The edge that `to_json` wrote."""
        return cls(**{k: data[k] for k in ("output", "output_column", "input", "input_column", "kind", "subtype")})
