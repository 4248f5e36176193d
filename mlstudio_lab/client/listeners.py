"""Who wants to hear of runs in this process: faces put themselves here; light to import, because they do it at start."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

finished: Final[list[Callable[[Any], None]]] = []
"""Called with each Run whose final state was seen in this process; faces show cards with it."""

waiting: Final[list[Callable[[dict[str, Any], float], None]]] = []
"""Called with a run's view and the seconds waited so far, while it takes longer than a second."""

widget_factory: Final[list[Callable[[Any], Any]]] = []
"""What makes a live widget of a Lineage, where a notebook extension is loaded."""
