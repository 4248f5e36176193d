"""ML Studio Lab: put `%%module namespace/name` on a cell that already works.

Everything public is loaded when first used, so that importing this package costs a kernel almost nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from mlstudio_lab.client.calls import ModuleHandle as ModuleHandle
    from mlstudio_lab.client.calls import module as module
    from mlstudio_lab.client.datasets import Dataset as Dataset
    from mlstudio_lab.client.runs import Run as Run
    from mlstudio_lab.client.studio import Studio as Studio
    from mlstudio_lab.client.studio import connect as connect
    from mlstudio_lab.core.errors import StudioError as StudioError

    __version__: str

__all__ = ["Dataset", "ModuleHandle", "Run", "Studio", "StudioError", "__version__", "connect", "load_ipython_extension", "module"]

_PLACES: Final = {
    "connect": "client.studio",
    "module": "client.calls",
    "Studio": "client.studio",
    "ModuleHandle": "client.calls",
    "Run": "client.runs",
    "Dataset": "client.datasets",
    "StudioError": "core.errors",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        value: Any = version("mlstudio_lab")
    elif name in _PLACES:
        value = getattr(import_module(f"mlstudio_lab.{_PLACES[name]}"), name)
    else:
        raise AttributeError(f"module 'mlstudio_lab' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)


def load_ipython_extension(ipython: Any) -> None:
    """Adds `%%module` and `%studio` to a notebook; what `%load_ext mlstudio_lab` calls.

    Example:
        >>> get_ipython().run_line_magic("load_ext", "mlstudio_lab")  # doctest: +SKIP
    """
    import_module("mlstudio_lab.front.extension").load(ipython)


def _jupyter_labextension_paths() -> list[dict[str, str]]:
    return [{"src": "labextension", "dest": "@mlstudio/lab"}]


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    return [{"module": "mlstudio_lab", "app": import_module("mlstudio_lab.front.server_extension").StudioApp}]
