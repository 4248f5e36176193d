"""The lineage reader's place in a run: inputs are handed in under its eyes and column edges come out."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from mlstudio_lab.calling.edges import all_to_all
from mlstudio_lab.core.edges import Edge
from mlstudio_lab.wire.task import Value


class Lineage:
    """Follows the inputs' columns while the person's code runs within its block; without polars frames it does nothing.

    Args:
        inputs: Every input by its name.

    Example:
        >>> with Lineage({"x": 1}) as lineage: result = {"return": 2}
        >>> lineage.edges({"return": Value("", "int")}, {"x": Value("", "int")})[0][0].kind
        'opaque'
    """

    def __init__(self, inputs: Mapping[str, Any]) -> None:
        self.inputs = dict(inputs)
        self._tracker: Any = None
        self._mark: int | None = None
        self._results: dict[str, Any] = {}
        if "polars" in sys.modules and any(map(_is_polars, self.inputs.values())):
            from mlstudio_lab.data.lineage import Tracker

            self._tracker = Tracker()
            for name, value in self.inputs.items():
                self._tracker.track(name, value)

    def __enter__(self) -> Lineage:
        if self._tracker is not None:
            self._tracker.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._tracker is not None:
            self._tracker.__exit__(*exception)

    def mark(self) -> None:
        """The results stand: what is read from now on, to show them, decides nothing about them."""
        if self._tracker is not None and self._mark is None:
            self._mark = self._tracker.mark()

    def taken(self, results: Mapping[str, Any]) -> dict[str, Any]:
        """The results with lazy frames executed, and lazy again; asked for after the block.

        Raises:
            Exception: What executing a plan raises.
        """
        self._results = dict(results)
        given = {id(value) for value in self.inputs.values()}
        found = {}
        for name, value in results.items():
            if _is_polars(value) and type(value).__name__ == "LazyFrame" and id(value) not in given:
                found[name] = (self._tracker.collected(value) if self._tracker is not None else value.collect()).lazy()
            else:
                found[name] = value
        return found

    def edges(self, outputs: Mapping[str, Value], inputs: Mapping[str, Value]) -> tuple[list[Edge], list[str]]:
        """The edges of the results, and why some are wider than the truth."""
        if self._tracker is None:
            return all_to_all(outputs, inputs), []
        results = {name: self._results[name] for name in outputs if name in self._results}
        marks = None if self._mark is None else dict.fromkeys(results, self._mark)
        made, why = self._tracker.edges(results, inputs, marks)
        return list(made), list(why)


def _is_polars(value: object) -> bool:
    cls = type(value)
    return cls.__name__ in ("DataFrame", "LazyFrame") and cls.__module__.startswith("polars.")
