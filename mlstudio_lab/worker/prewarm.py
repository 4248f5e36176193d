"""What a worker imports while nothing waits, so that the first real task does not pay for it."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Final


def _shell() -> None:
    from mlstudio_lab.calling import shell

    shell.warm()


def _import(*names: str) -> Callable[[], None]:
    def step() -> None:
        for name in names:
            importlib.import_module(name)

    return step


_STEPS: Final[list[Callable[[], None]]] = [
    _import("mlstudio_lab.data.graph", "mlstudio_lab.core.code_digest", "inspect", "asyncio"),
    _import("numpy"),
    _import("polars"),
    _import("pyarrow"),
    _import("IPython.display"),
    _shell,
    _import("mlstudio_lab.data.lineage"),
]
_left: Final = list(_STEPS)


def prewarm() -> bool:
    """Does one step; whether none is left. A library that is not installed is passed over."""
    if _left:
        step = _left.pop(0)
        try:
            step()
        except ImportError:
            pass
    return not _left
