"""The nodes of a set of named values: everything in them that can be shared or changed, in an order both ends agree on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from blake3 import blake3

from mlstudio_lab.data.walk import ByIdentity, ByName, Walk
from mlstudio_lab.wire.task import Leaf


class NodeTable:
    """Mutable and shared things of named values, numbered.

    Two tables over values with equal digests number corresponding nodes alike, in any process. `unpack` gives the
    table of what it unpacked, numbered exactly as on the side that packed.

    Attributes:
        nodes: The things themselves, kept alive.
        index: `id` of a node -> its number.
        leaves: Number -> the blob a node was decoded from; true for as long as the node is unchanged.

    Example:
        >>> inner = []; table = NodeTable.of({"x": [inner, inner]})
        >>> len(table.nodes), table.number(inner)
        (2, 1)
    """

    def __init__(self, nodes: Sequence[Any], leaves: Mapping[int, Leaf] | None = None) -> None:
        self.nodes = list(nodes)
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
        return cls(walk.nodes)

    def number(self, obj: object) -> int | None:
        """The number of a node, None for anything else."""
        return self.index.get(id(obj))

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
