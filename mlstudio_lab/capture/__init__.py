"""Live code as source bundles: free names, closure, interface, environment lock; nothing is ever executed."""

from mlstudio_lab.capture.bind import bind_arguments, call_arguments
from mlstudio_lab.capture.captured import Captured, LiveCode
from mlstudio_lab.capture.cell import capture_cell
from mlstudio_lab.capture.fresh import Fresh
from mlstudio_lab.capture.function import capture_definitions, capture_function, capture_source
from mlstudio_lab.capture.history import History, history_of, install
from mlstudio_lab.capture.kinds import entry_of, kind_of, public_functions, strays

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
