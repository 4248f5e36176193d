"""A payload to values: fresh objects each time, arrays writable, frames on mapped memory.

Only workers and kernels may call this: a pickle runs code. The service never does.
"""

from __future__ import annotations

import base64
import io
import mmap
import os
import pickle
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from mlstudio_lab.blobs.store import Blobs
from mlstudio_lab.core.errors import CannotCross
from mlstudio_lab.data import marks
from mlstudio_lab.data.code_refs import CodeRefs
from mlstudio_lab.data.codecs.encoded import unframed
from mlstudio_lab.data.codecs.table import decode, wants_writable
from mlstudio_lab.data.nodes import NodeTable
from mlstudio_lab.data.updates import Update
from mlstudio_lab.wire.task import Leaf, Payload

_MAP_FROM: Final = 1 << 20


@dataclass(slots=True)
class Unpacked:
    """What a payload held.

    Attributes:
        values: The named values.
        updates: New states of nodes of `known`; see `apply_updates`.
        nodes: The nodes of the values, numbered as on the side that packed them; empty for results.
    """

    values: dict[str, Any]
    updates: list[Update] = field(default_factory=list)
    nodes: NodeTable = field(default_factory=NodeTable)


def unpack(payload: Payload, blobs: Blobs, code: CodeRefs, *, known: NodeTable | None = None) -> Unpacked:
    """The values of a payload; what was shared is shared again, and nodes of `known` are those very objects.

    Raises:
        CannotCross: Code it names is not defined here, or an object refuses to be built.
        NotFound: A blob is missing.
        Corrupt: A blob is damaged.

    Example:
        >>> unpack(payload, blobs, NoCode()).values["x"]  # doctest: +SKIP
        [1]
    """
    data = memoryview(base64.b64decode(payload.graph)) if payload.graph else blobs.open(payload.graph_blob).data
    _, (refs, plain) = unframed(data)

    def reader(pickled: memoryview, live: _Live | None) -> _Unpickler:
        return _Unpickler(pickled, payload.leaves, blobs, code, live)

    try:
        if known is None and len(plain):
            return Unpacked(reader(plain, None).load()[0])
        live = None if known is None else _Live(known, lambda: reader(plain, None).load()[1] if len(plain) else {})
        first = reader(refs, live)
        values, nodes, starts = first.load()
        states = first.load() if known is not None else []
    except RecursionError as error:
        raise CannotCross("nested too deeply to be carried", subject="nesting", hint="flatten it") from error
    updates = []
    for place, kind, state in states:
        number = known.at(place) if known is not None else None
        if number is not None:  # what nobody here holds needs no new state
            updates.append(Update(number, kind, state))
    table = NodeTable(nodes, starts)
    table.leaves = {table.index[key]: payload.leaves[at] for key, at in first.leaf_of.items() if key in table.index}
    return Unpacked(values, updates, table)


class _Live:
    """This side's own objects, by the places a payload means them by; copies for those that are not here."""

    def __init__(self, known: NodeTable, copies: Callable[[], dict[tuple[str, int, str], Any]]) -> None:
        self._known = known
        self._make_copies = copies
        self._copies: dict[tuple[str, int, str], Any] | None = None

    def find(self, place: tuple[str, int, str]) -> Any:
        """The live object at a place, else a copy of it.

        Raises:
            CannotCross: There is neither.
        """
        number = self._known.at(place)
        if number is not None:
            return self._known.nodes[number]
        if self._copies is None:
            self._copies = self._make_copies()
        if place not in self._copies:
            raise _not_here(place)
        return self._copies[place]


def _not_here(place: tuple[str, int, str]) -> CannotCross:
    subject = f"{place[0]} ({place[2]})"
    return CannotCross("the result refers to a live object that is not here", subject=subject, hint="run it again without reuse")


class _Unpickler(pickle.Unpickler):
    """Gives the marks in a graph their meaning."""

    def __init__(self, data: memoryview, leaves: list[Leaf], blobs: Blobs, code: CodeRefs, live: _Live | None) -> None:
        super().__init__(io.BytesIO(data))
        self._leaves = leaves
        self._blobs = blobs
        self._live = live
        self._decoded: dict[int, Any] = {}
        self.leaf_of: dict[int, int] = {}
        self._marks = {
            "code": code.find,
            "leaf": self._leaf,
            "inline": _inline,
            "looking_at": _looking_at,
            "own_attributes": _own_attributes,
        }

    def find_class(self, module: str, name: str) -> Any:
        """The meaning of a mark, or the global of that name."""
        if module == marks.__name__:
            return self._marks[name]
        return super().find_class(module, name)

    def persistent_load(self, place: tuple[str, int, str]) -> Any:
        """This side's own object at that place.

        Raises:
            CannotCross: It is not here.
        """
        if self._live is None:
            raise _not_here(place)
        return self._live.find(place)

    def _leaf(self, at: int) -> Any:
        if at not in self._decoded:
            leaf = self._leaves[at]
            value = self._decoded[at] = decode(leaf.codec, _memory(self._blobs, leaf))
            self.leaf_of[id(value)] = at
        return self._decoded[at]


def _memory(blobs: Blobs, leaf: Leaf) -> memoryview:
    """A leaf's bytes; mapped copy-on-write where values are written to and the store is a folder."""
    blob = blobs.open(leaf.blob)
    path = getattr(blobs, "path", None)
    if not wants_writable(leaf.codec) or path is None or blob.bytes < _MAP_FROM:
        return blob.data
    fd = os.open(path(leaf.blob), os.O_RDONLY)
    try:
        whole = mmap.mmap(fd, 0, access=mmap.ACCESS_COPY)
    finally:
        os.close(fd)
    return memoryview(whole)[-blob.bytes :]


def _inline(codec: str, data: bytes) -> Any:
    return decode(codec, memoryview(data))


def _own_attributes(cls: Any) -> Any:
    made = cls.__new__(cls)
    made.__dict__ = made
    return made


def _looking_at(owner: Any, offset: int, dtype: str, shape: tuple[int, ...], strides: tuple[int, ...], writeable: bool) -> Any:
    import numpy as np

    from mlstudio_lab.data.codecs.numpy import dtype_of

    memory = owner.reshape(-1, order="A").view(np.uint8)
    array = np.ndarray(shape, dtype_of(dtype), memory.data, offset, strides)
    array.flags.writeable = writeable
    return array
