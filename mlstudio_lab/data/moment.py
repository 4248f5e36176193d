"""Lazy frames are computed once for one submission, though both their digest and their bytes are wanted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

_now: ContextVar[dict[int, tuple[Any, Any]] | None] = ContextVar("mlstudio_lab_moment", default=None)


@contextmanager
def one_moment() -> Iterator[None]:
    """Inside, each lazy frame is collected at most once, so that its digest and its bytes are of the same rows.

    Example:
        >>> with one_moment():
        ...     pass
    """
    token = _now.set({} if _now.get() is None else _now.get())
    try:
        yield
    finally:
        _now.reset(token)


def collected(lazy: Any) -> Any:
    """The frame a lazy frame gives now; inside `one_moment` always the same one."""
    known = _now.get()
    if known is None:
        return lazy.collect()
    found = known.get(id(lazy))
    if found is None:
        # The lazy frame is kept beside its frame, so that its identity is not given to another.
        found = known[id(lazy)] = (lazy, lazy.collect())
    return found[1]
