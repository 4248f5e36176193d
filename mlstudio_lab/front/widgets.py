"""Live views of lineage and warnings, for a running kernel and only when asked; their state is not worth saving.

What a widget displays carries the same table as the static view beside it, so an exported notebook loses nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from mlstudio_lab.client import markup
from mlstudio_lab.client.lineage import Lineage

_STATIC = Path(__file__).parent / "static"


class LiveView(anywidget.AnyWidget):
    """A foldable, searchable view with keyboard support.

    Args:
        lineage: Column edges to show, None for none.
        warnings: Warnings to show as JSON, None for none.

    Example:
        >>> LiveView(run.lineage(), run.view["warnings"])  # doctest: +SKIP
    """

    _esm = _STATIC / "lineage.js"
    _css = _STATIC / "lineage.css"
    shows = traitlets.List(traitlets.Unicode()).tag(sync=True)
    lineage = traitlets.Dict().tag(sync=True)
    warnings: traitlets.List[Any] = traitlets.List().tag(sync=True)

    def __init__(self, lineage: Lineage | None, warnings: Sequence[Mapping[str, Any]] | None) -> None:
        shows = [name for name, part in (("warnings", warnings), ("lineage", lineage)) if part is not None]
        said = [dict(w) for w in warnings or ()]
        super().__init__(shows=shows, lineage=lineage.to_json() if lineage is not None else {}, warnings=said)
        self._html = _warnings_html(said) if warnings is not None else ""
        self._text = "\n".join(str(w.get("text", "")) for w in said)
        if lineage is not None:
            self._html += markup.box([lineage.html()], f"Lineage of {lineage.subject}")
            self._text = f"{self._text}\n{lineage!r}".strip()

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        found = super()._repr_mimebundle_(**kwargs)
        if found is None:
            return None
        data, metadata = found if isinstance(found, tuple) else (found, {})
        return {**data, "text/html": self._html, "text/plain": self._text or "no warnings"}, metadata


class LineageWidget(LiveView):
    """Column lineage with search.

    Args:
        lineage: The edges to show.

    Example:
        >>> LineageWidget(run.lineage())  # doctest: +SKIP
    """

    def __init__(self, lineage: Lineage) -> None:
        super().__init__(lineage, None)


class WarningsWidget(LiveView):
    """Labelled columns that arrived somewhere new.

    Args:
        warnings: A run's warnings as JSON.

    Example:
        >>> WarningsWidget(run.view["warnings"])  # doctest: +SKIP
    """

    def __init__(self, warnings: Sequence[Mapping[str, Any]]) -> None:
        super().__init__(None, warnings)


def run_widget(view: Mapping[str, Any], lineage: Lineage | None) -> LiveView:
    """A run's warnings and lineage in one live view.

    Example:
        >>> run_widget(run.view, run.lineage())  # doctest: +SKIP
    """
    return LiveView(lineage, list(view.get("warnings") or ()))


def _warnings_html(warnings: Sequence[Mapping[str, Any]]) -> str:
    lines = [f"<div>{markup.chip(w.get('label', ''), 'warn')} {markup.text(w.get('text', ''))}</div>" for w in warnings]
    return markup.box(lines or [markup.muted("no warnings")], "Warnings")
