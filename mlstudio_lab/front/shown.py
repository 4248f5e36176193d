"""Cards and progress in a notebook: a live line while a run takes long, and one card each below everything else."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from mlstudio_lab.core.errors import StudioError

if TYPE_CHECKING:
    from mlstudio_lab.client.runs import Run

MOST_CARDS: Final = 3
"""Cards under one cell; more runs than that share one."""

_MOST_EDGES_SHOWN: Final = 20_000


class Shown:
    """What one kernel shows of its runs.

    Args:
        shell: The running IPython.
    """

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._runs: list[Run] = []
        self._bundles: list[dict[str, Any]] = []
        self._live: dict[str, str] = {}
        self._is_kernel = hasattr(shell, "kernel")

    def add(self, run: Run) -> None:
        """Keeps a finished run for the end of the cell."""
        self._runs.append(run)

    def say(self, bundle: dict[str, Any]) -> None:
        """Keeps a mimebundle for the end of the cell."""
        self._bundles.append(bundle)

    def tick(self, view: Mapping[str, Any], elapsed_s: float) -> None:
        """Shows or renews the live line of a run under way; only where outputs can be replaced."""
        if not self._is_kernel:
            return
        from mlstudio_lab.front.cards import progress

        run = str(view["id"])
        update = run in self._live
        self._publish(progress(view, elapsed_s), self._live.setdefault(run, uuid.uuid4().hex), update=update)

    def flush(self, result: Any = None) -> None:
        """Shows what was kept; called when a cell has ended, also after an error.

        Args:
            result: IPython's ExecutionResult; an interrupted cell's runs were asked to stop.
        """
        if not (self._runs or self._bundles or self._live):
            return
        from mlstudio_lab.front.cards import many

        runs, self._runs = self._runs, []
        bundles, self._bundles = self._bundles, []
        live, self._live = self._live, {}
        for bundle in bundles:
            self._publish(bundle)
        quiet = [run for run in runs if run.id not in live]
        is_one = len(quiet) > MOST_CARDS
        if is_one:
            self._publish(many([run.view for run in quiet]))
        for run in runs:
            if run.id in live or not is_one:
                # A progress line becomes the card in its own place, so that none stays behind in the saved notebook.
                place = live.pop(run.id, "")
                self._publish(run_card(run), place, update=bool(place))
        fate = "was asked to stop" if isinstance(getattr(result, "error_in_exec", None), KeyboardInterrupt) else "goes on"
        for view_id, display_id in live.items():
            self._publish({"text/plain": f"run {view_id} {fate}"}, display_id, update=True)

    def _publish(self, bundle: dict[str, Any], display_id: str = "", *, update: bool = False) -> None:
        if not self._is_kernel:
            print(bundle["text/plain"])
            return
        transient = {"display_id": display_id} if display_id else {}
        self._shell.display_pub.publish(data=bundle, metadata={}, transient=transient, update=update)


def run_card(run: Run) -> dict[str, Any]:
    """The mimebundle of a run's card with its lineage.

    Example:
        >>> run_card(run)["text/plain"]  # doctest: +SKIP
        'flights/delay v3: reused: same code, same inputs (run 41)'
    """
    from mlstudio_lab.front.cards import card

    view = run.view
    lineage = None
    if 0 < int(view.get("edges") or 0) <= _MOST_EDGES_SHOWN:
        try:
            lineage = run.lineage()
        except StudioError:
            lineage = None  # a card without its table says more than an error under a cell that worked
    return card(view, lineage)
