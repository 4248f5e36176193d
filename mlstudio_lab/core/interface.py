"""What a module takes and gives: ordered ports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Port:
    """One input or output of a module.

    Attributes:
        name: Parameter or variable name; a function's result is `return`.
        type: The annotation's text, or "" where none is written.
        required: Whether a caller must give it.
        default: The default's source text, "" where there is none.
        implicit: True for a free data name the code reads (its live value is taken), False for a parameter.
        variadic: "" for an ordinary parameter, "*" or "**" for the collecting ones.
    """

    name: str
    type: str = ""
    required: bool = True
    default: str = ""
    implicit: bool = False
    variadic: str = ""

    def to_json(self) -> dict[str, Any]:
        """The port as plain JSON values."""
        return {
            "name": self.name,
            "type": self.type,
            "required": self.required,
            "default": self.default,
            "implicit": self.implicit,
            "variadic": self.variadic,
        }


@dataclass(frozen=True, slots=True)
class Interface:
    """A module's inputs and outputs in order.

    Example:
        >>> Interface((Port("flights"),), (Port("return"),)).inputs[0].name
        'flights'
    """

    inputs: tuple[Port, ...] = field(default=())
    outputs: tuple[Port, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """The interface as plain JSON values."""
        return {"inputs": [p.to_json() for p in self.inputs], "outputs": [p.to_json() for p in self.outputs]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Interface:
        """The interface that `to_json` wrote."""
        return cls(tuple(Port(**p) for p in data["inputs"]), tuple(Port(**p) for p in data["outputs"]))
