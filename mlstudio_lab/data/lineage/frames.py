"""Which frames in memory are known, and what they depend on."""

from __future__ import annotations

import sys
import weakref
from typing import Any

from mlstudio_lab.data.lineage.deps import Frame

_OURS = 2
"""References to a native frame that nobody else holds: the table's own and the one `getrefcount` is called with."""


class _Held:
    __slots__ = ("frame", "native", "wrapper")

    def __init__(self, native: Any, frame: Frame) -> None:
        self.native = native
        self.frame = frame
        self.wrapper: weakref.ref[Any] | None = None


class Frames:
    """A table from native frames (`PyDataFrame` objects) to what they depend on.

    A native frame can be neither subclassed nor weakly referenced, so the table holds it: while an entry exists, its
    address cannot be reused by another frame. An entry goes as soon as nobody else holds the frame.
    """

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held: dict[int, _Held] = {}

    def put(self, native: Any, frame: Frame) -> None:
        """Makes `native` known, or known anew after it was changed in place."""
        held = self._held.get(id(native))
        if held is None:
            self._held[id(native)] = _Held(native, frame)
        else:
            held.frame = frame

    def get(self, native: Any) -> Frame | None:
        """What a native frame depends on, None when it is not known."""
        held = self._held.get(id(native))
        return None if held is None else held.frame

    def adopt(self, wrapper: Any, native: Any) -> None:
        """Ends the entry together with the `polars.DataFrame` that wraps it."""
        key = id(native)
        held = self._held.get(key)
        if held is None:
            return

        def gone(_: Any, key: int = key) -> None:
            # The dying wrapper's own attribute still counts as one reference here.
            held = self._held.get(key)
            if held is not None and sys.getrefcount(held.native) <= _OURS + 1:
                del self._held[key]

        held.wrapper = weakref.ref(wrapper, gone)

    def sweep(self) -> None:
        """Ends the entries of frames that nobody else holds any more."""
        for key, held in list(self._held.items()):
            if sys.getrefcount(held.native) <= _OURS:
                self._held.pop(key, None)

    def __len__(self) -> int:
        return len(self._held)
