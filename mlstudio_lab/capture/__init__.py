"""Live code as source bundles: free names, closure, interface, environment lock; nothing is ever executed."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlstudio_lab.capture.bind import bind_arguments, call_arguments
    from mlstudio_lab.capture.captured import Captured, LiveCode
    from mlstudio_lab.capture.cell import capture_cell
    from mlstudio_lab.capture.fresh import Fresh
    from mlstudio_lab.capture.function import capture_definitions, capture_function, capture_source
    from mlstudio_lab.capture.history import History, history_of, install
    from mlstudio_lab.capture.kinds import entry_of, kind_of, public_functions, strays

_HOMES = {
    "Captured": "captured",
    "Fresh": "fresh",
    "History": "history",
    "LiveCode": "captured",
    "bind_arguments": "bind",
    "call_arguments": "bind",
    "capture_cell": "cell",
    "capture_definitions": "function",
    "capture_function": "function",
    "capture_source": "function",
    "entry_of": "kinds",
    "history_of": "history",
    "install": "history",
    "kind_of": "kinds",
    "public_functions": "kinds",
    "strays": "kinds",
}


def __getattr__(name: str) -> Any:
    """A public name, its file loaded when it is first asked for: a kernel that loads the extension pays for the history only."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


__all__ = [
    "Captured",
    "Fresh",
    "History",
    "LiveCode",
    "bind_arguments",
    "call_arguments",
    "capture_cell",
    "capture_definitions",
    "capture_function",
    "capture_source",
    "entry_of",
    "history_of",
    "install",
    "kind_of",
    "public_functions",
    "strays",
]
