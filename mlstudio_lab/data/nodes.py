"""The nodes of a set of named values: everything in them that can be shared or changed, in an order both ends agree on."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any

from blake3 import blake3

from mlstudio_lab.data.naming import qualified
from mlstudio_lab.data.walk import ByIdentity, ByName, Walk
from mlstudio_lab.wire.task import Leaf


class NodeTable:
    """Mutable and shared things of named values, numbered.

    Between processes a node is meant by the name it was first met under and its number there, so that tables over
    values with equal digests agree name by name, whatever other names there are. `unpack` gives the table of what it
    unpacked, numbered exactly as on the side that packed.

    Attributes:
        nodes: The things themselves, kept alive.
        index: `id` of a node -> its number.
        starts: The first node's number and the name, for each name in order.
        leaves: Number -> the blob a node was decoded from; true for as long as the node is unchanged.

    Example:
        >>> inner = []; table = NodeTable.of({"x": [inner, inner]})
        >>> len(table.nodes), table.number(inner)
        (2, 1)
    """

    def __init__(self, nodes: Sequence[Any] = (), starts: Sequence[tuple[int, str]] = (), leaves: Mapping[int, Leaf] | None = None) -> None:
        self.nodes = list(nodes)
        self.starts = list(starts)
        self.index = {id(node): at for at, node in enumerate(self.nodes)}
        self.leaves = dict(leaves or {})
        self._namer = ByIdentity()
        self._unknown = 0

    @classmethod
    def of(cls, values: Mapping[str, object]) -> NodeTable:
        """The nodes of the values, names in sorted order, each node's parts in their own order.

        Raises:
            CannotCross: A set holds two objects that nothing tells apart.
        """
        walk = Walk(ByName(), content=False)
        for name in sorted(values):
            _, bodies = walk.root(name, values[name])
            for _ in bodies:
                pass
        return cls(walk.nodes, walk.starts[1:])

    def number(self, obj: object) -> int | None:
        """The number of a node, None for anything else."""
        return self.index.get(id(obj))

    def place(self, number: int) -> tuple[str, int, str]:
        """What means a node in any process: the name it was first met under, its number there, its type."""
        start, name = self.starts[bisect_right(self.starts, number, key=lambda entry: entry[0]) - 1]
        return name, number - start, qualified(type(self.nodes[number]))

    def at(self, place: tuple[str, int, str]) -> int | None:
        """The number of the node at a place, None when there is no such node here.

        Example:
            >>> table = NodeTable.of({"x": [[]]})
            >>> table.at(table.place(1)), table.at(("y", 0, "builtins.list"))
            (1, None)
        """
        name, local, kind = place
        for position, (start, found) in enumerate(self.starts):
            if found == name:
                end = self.starts[position + 1][0] if position + 1 < len(self.starts) else len(self.nodes)
                number = start + local
                return number if number < end and qualified(type(self.nodes[number])) == kind else None
        return None

    def snapshot(self) -> list[bytes]:
        """Each node's own present state; frames and arrays by content, other nodes in it by number."""
        walk = Walk(ByName(), content=False)
        walk.nodes, walk.index = self.nodes, self.index
        walk.freeze(self._namer, self._unknown)
        found = [_short(walk.body(at)) for at in range(len(self.nodes))]
        self._unknown = walk.unknown  # nothing unknown is ever taken for something met before
        return found

    def changed(self, snapshot: Sequence[bytes]) -> list[int]:
        """The numbers of nodes whose own state is no longer that of the snapshot; a changed part does not change its owner.

        Example:
            >>> inner = []; outer = [inner]; table = NodeTable.of({"x": outer})
            >>> before = table.snapshot(); inner.append(1); table.changed(before)
            [1]
        """
        return [at for at, (before, now) in enumerate(zip(snapshot, self.snapshot())) if before != now]


def _short(body: bytes) -> bytes:
    return body if len(body) <= 64 else blake3(body).digest()
