"""Lazy frames are computed once for one submission, though both their digest and their bytes are wanted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

_now: ContextVar[dict[int, tuple[Any, Any]] | None] = ContextVar("mlstudio_lab_moment", default=None)


@contextmanager
def one_moment(kept: dict[int, tuple[Any, Any]] | None = None) -> Iterator[None]:
    """Inside, each lazy frame is collected at most once, so that its digest and its bytes are of the same rows.

    Args:
        kept: Where the frames are remembered, for a moment that is entered more than once; its owner lets them go.

    Example:
        >>> with one_moment():
        ...     pass
    """
    found = kept if kept is not None else _now.get()
    token = _now.set({} if found is None else found)
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
