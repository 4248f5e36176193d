"""What `%load_ext mlstudio_lab` does; kept light, everything heavy is imported when first used."""

from __future__ import annotations

from typing import Any

from mlstudio_lab.capture.history import install
from mlstudio_lab.client.listeners import finished, waiting, widget_factory
from mlstudio_lab.front.errors import render_ours
from mlstudio_lab.front.magics import StudioMagics
from mlstudio_lab.front.shown import Shown


def load(shell: Any) -> None:
    """Adds the magics to a shell, and begins to remember which cell defined what and to show cards of runs.

    Args:
        shell: The running IPython.
    """
    if "module" in shell.magics_manager.magics["cell"]:
        return
    install(shell)
    render_ours()
    shown = Shown(shell)
    shell.register_magics(StudioMagics(shell, shown))
    shell.events.register("post_run_cell", shown.flush)
    shell.input_transformers_cleanup.append(_keep_empty)
    shell.display_formatter.mimebundle_formatter.for_type_by_name("mlstudio_lab.client.runs", "Run", _card)
    finished.append(shown.add)
    waiting.append(shown.tick)
    widget_factory.append(_widget)


def _keep_empty(lines: list[str]) -> list[str]:
    """A `%%module` line with nothing below it reaches the magic, which says what to do; IPython alone would not."""
    if len(lines) == 1 and lines[0].startswith(("%%module", "%%test")):
        return [lines[0].rstrip("\n") + "\n", "\n"]
    return lines


def _card(run: Any, include: object = None, exclude: object = None) -> dict[str, Any]:
    from mlstudio_lab.front.shown import run_card

    return run_card(run)


def _widget(lineage: Any) -> Any:
    from mlstudio_lab.front.widgets import LineageWidget

    return LineageWidget(lineage)
