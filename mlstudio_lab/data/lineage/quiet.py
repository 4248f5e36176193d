"""Keeps polars' own warnings as they would be without us: each once, and pointing at the person's line."""

from __future__ import annotations

import inspect
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from mlstudio_lab.data.lineage.leaves import is_reading

_OURS = str(Path(__file__).parent)


class _Quiet:
    """Stands in for the `warnings` module inside polars; a plan that is only read has warned, or will, when it runs."""

    @staticmethod
    def warn(*args: Any, **kwargs: Any) -> None:
        if not is_reading():
            kwargs["stacklevel"] = kwargs.get("stacklevel", 1) + 1
            warnings.warn(*args, **kwargs)


@contextmanager
def quiet() -> Iterator[None]:
    """While it is open, polars does not warn about plans that this thread reads."""
    from polars import _warnings

    names = vars(_warnings)
    names["warnings"] = _Quiet
    try:
        yield
    finally:
        names["warnings"] = warnings


def find_stacklevel() -> int:
    """The distance to the first frame outside polars and outside this room, as polars' function of this name gives it."""
    import polars

    inside = (str(Path(polars.__file__).parent), _OURS)
    frame: FrameType | None = sys._getframe()
    level = 0
    while frame is not None and inspect.getfile(frame).startswith(inside):
        frame = frame.f_back
        level += 1
    # This function's own frame stands where polars' frame would.
    return level
