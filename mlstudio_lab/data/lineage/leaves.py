"""Plan leaves that know which frame they are and cost nothing when the plan runs.

A leaf wraps a native polars plan in `pipe_with_schema`, which polars resolves each time it turns a lazy frame into a plan.
When the plan is to run (or to be explained) the leaf answers with the native plan itself, so the optimizer and the engine
see exactly what they would see without us. When we read the plan, on our own thread, it answers with a scan that carries
the leaf. No address, no name and no shape is compared, so empty frames, equal frames and views of one frame differ.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mlstudio_lab.data.lineage.deps import Frame


class _Mode(threading.local):
    reading = False


_mode = _Mode()


@contextmanager
def reading(on: bool = True) -> Iterator[None]:
    """While it is open, leaves resolved on this thread show themselves (or, with `on=False`, their native plans)."""
    before = _mode.reading
    _mode.reading = on
    try:
        yield
    finally:
        _mode.reading = before


def is_reading() -> bool:
    """Whether this thread is reading a plan."""
    return _mode.reading


class Leaf:
    """Stands for one frame in plans.

    Args:
        frame: What the frame's columns and rows depend on.
    """

    __slots__ = ("_scan", "frame")

    def __init__(self, frame: Frame) -> None:
        self.frame = frame
        self._scan: Any = None

    def __call__(self, plans_and_schemas: Any) -> Any:
        """The native plan polars hands in, or a scan that carries this leaf while a plan is being read."""
        plans, schemas = plans_and_schemas
        if not _mode.reading:
            return plans[0]
        if self._scan is None:
            from polars._plr import PyLazyFrame

            self._scan = PyLazyFrame.scan_from_python_function_pl_schema(
                list(schemas[0].items()),
                self,
                pyarrow=False,
                validate_schema=False,
                is_pure=True,
                explain_name=None,
                explain_detail=None,
            )
        return self._scan

    def __reduce__(self) -> tuple[Any, ...]:
        # A plan that is serialised leaves its run: what its frame depended on does not travel.
        return (Leaf, (Frame({}),))


def leafed(plan: Any, leaf: Leaf) -> Any:
    """The native plan (a PyLazyFrame) with a leaf around it."""
    return plan.pipe_with_schema(leaf)


def leaf_of(node: Any) -> Leaf | None:
    """The leaf a plan node carries, None for any other node."""
    if type(node).__name__ != "PythonScan":
        return None
    carried = node.options[0]
    return carried if type(carried) is Leaf else None
