"""The lineage reader's place in a run: polars frames go in tracked and their column edges come out."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, Final

from mlstudio_lab.calling.edges import all_to_all
from mlstudio_lab.core.edges import Edge
from mlstudio_lab.wire.task import Value

_FRAMES: Final = ("DataFrame", "LazyFrame")


def _is_polars(value: object) -> bool:
    cls = type(value)
    return cls.__name__ in _FRAMES and cls.__module__.startswith("polars.")


class Visitors:
    """Tracks the polars frames among a run's inputs within its block; does nothing when there are none.

    Args:
        named: Every input by its name.

    Attributes:
        inputs: The same, for their descriptions.
    """

    def __init__(self, named: Mapping[str, Any]) -> None:
        self.inputs = dict(named)
        self._swapped: dict[int, Any] = {}
        self._back: dict[int, Any] = {}
        self._plans: dict[str, Any] = {}
        self._tracker: Any = None

    def __enter__(self) -> Visitors:
        frames = {name: value for name, value in self.inputs.items() if _is_polars(value)} if "polars" in sys.modules else {}
        tracker = _tracker() if frames else None
        if tracker is not None:
            tracker.__enter__()
            self._tracker = tracker
            for name, value in frames.items():
                tracked = tracker.track(name, value)
                if tracked is not value:
                    self._swapped[id(value)] = tracked
                    self._back[id(tracked)] = value
        return self

    def __exit__(self, *exc: Any) -> None:
        if self._tracker is not None:
            self._tracker.__exit__(*exc)

    def handed(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The values with tracked frames in place of plain ones."""
        return {name: self._swapped.get(id(value), value) for name, value in values.items()}

    def handed_list(self, values: list[Any]) -> list[Any]:
        """The same for positional arguments."""
        return [self._swapped.get(id(value), value) for value in values]

    def taken(self, results: Mapping[str, Any]) -> dict[str, Any]:
        """The results as they go back: the inputs' own frames in place of tracked ones, lazy frames executed and lazy again."""
        self._plans = dict(results)
        found = {}
        for name, value in results.items():
            back = self._back.get(id(value), value)
            if back is value and _is_polars(value) and type(value).__name__ == "LazyFrame":
                back = (self._tracker.collected(value) if self._tracker is not None else value.collect()).lazy()
            found[name] = back
        return found

    def edges(self, outputs: Mapping[str, Value], inputs: Mapping[str, Value]) -> tuple[list[Edge], list[str]]:
        """The edges of the results: as the tracker read them, or everything on everything."""
        if self._tracker is None:
            return all_to_all(outputs, inputs), []
        made, why = self._tracker.edges({name: self._plans[name] for name in outputs if name in self._plans}, inputs)
        return list(made), list(why)


def _tracker() -> Any:
    try:
        from mlstudio_lab.data.lineage import Tracker
    except ImportError:
        return None
    return Tracker()
