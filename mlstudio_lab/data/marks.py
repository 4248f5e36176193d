"""What stands in a graph's pickle for things that are not in it; only `unpack` gives these names a meaning."""

from __future__ import annotations

from typing import NoReturn

from mlstudio_lab.core.errors import CannotCross


def _outside(what: str) -> NoReturn:
    raise CannotCross(f"{what} means something only while a payload is unpacked", subject=what, hint="use data.graph.unpack")


def code(name: str) -> object:
    """The person's function or class of that name."""
    _outside(f"code {name}")


def leaf(at: int) -> object:
    """The frame or array stored as leaf `at`."""
    _outside(f"leaf {at}")


def inline(codec: str, data: bytes) -> object:
    """A small frame or array written by a codec."""
    _outside(f"a value written by {codec}")


def looking_at(owner: object, offset: int, dtype: str, shape: tuple[int, ...], strides: tuple[int, ...], writeable: bool) -> object:
    """An array that looks at another's memory."""
    _outside("an array looking at another's memory")


def own_attributes(cls: type) -> object:
    """An empty dictionary of that class whose attributes are its items."""
    _outside("a dictionary that is its own attributes")
