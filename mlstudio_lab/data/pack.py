"""Values to a payload: one pickle for the graph of objects, blobs for its frames and arrays."""

from __future__ import annotations

import base64
import io
import pickle
import types
from collections.abc import Mapping, Sequence
from typing import Any, Final

from mlstudio_lab.blobs.store import Blobs
from mlstudio_lab.core.errors import CannotCross, StorageFailed
from mlstudio_lab.data import marks
from mlstudio_lab.data.code_refs import CodeRefs
from mlstudio_lab.data.codecs.encoded import framed
from mlstudio_lab.data.codecs.table import encode
from mlstudio_lab.data.content import digest_values
from mlstudio_lab.data.moment import one_moment
from mlstudio_lab.data.naming import importable, is_code, qualified
from mlstudio_lab.data.nodes import NodeTable
from mlstudio_lab.data.shapes import cannot, is_live, shape_of, stays
from mlstudio_lab.data.updates import state_of
from mlstudio_lab.wire.task import Leaf, Payload, Value

GRAPH: Final = "graph/1"
INLINE_BYTES: Final = 64 * 1024
"""A graph up to this size travels inside the payload; so does a nested array."""
_MOST_SMALL_FRAMES: Final = 32


def pack(
    values: Mapping[str, object],
    blobs: Blobs,
    code: CodeRefs,
    *,
    known: NodeTable | None = None,
    updates: Sequence[int] = (),
    nodes: NodeTable | None = None,
    described: Mapping[str, Value] | None = None,
) -> Payload:
    """Named values as one object graph, in which shared things stay shared.

    Args:
        values: What to carry.
        blobs: Where frames and arrays go.
        code: The person's functions and classes, which travel by name.
        known: Nodes the other side has: a value that is one of them travels as a reference and arrives as that side's
            own object. A copy travels along for readers that have no such object.
        updates: Numbers of nodes of `known` whose own state changed; their new state travels.
        nodes: For inputs, the nodes as they shall be numbered on both sides, over whatever names. Inputs that could not
            be brought up to date afterwards, such as iterators and figures, are refused. Default: `NodeTable.of(values)`.
        described: `digest_values(values)` when it is there already.

    Raises:
        CannotCross: A value cannot be carried; the subject is its name and type.

    Example:
        >>> from pathlib import Path; from mlstudio_lab.blobs.local import LocalBlobs
        >>> payload = pack({"x": [1]}, LocalBlobs(Path("/data/blobs")), NoCode())  # doctest: +SKIP
    """
    with one_moment():
        packing = _Packing(blobs, code, known, set(updates))
        if known is None:
            table = NodeTable.of(values) if nodes is None else nodes
            packing.see(table.nodes)
            if nodes is not None:
                _refuse_what_stays(nodes)
            refs, plain = _named(packing, values, [(dict(values), table.nodes, table.starts), []]), b""
        else:
            states = [packing.state(k, known) for k in updates]
            refs = _named(packing, values, [(dict(values), (), ()), states])
            plain = packing.plain(dict(values))
        graph = framed(b"", [memoryview(refs), memoryview(plain)])
        payload = Payload(leaves=packing.leaves, values=dict(described if described is not None else digest_values(values, code)))
        for leaf, value in packing.leaf_values:
            leaf.content = next((payload.values[n].content for n in values if values[n] is value), "") or _content(value)
    joined = b"".join(graph)
    if len(joined) <= INLINE_BYTES:
        payload.graph = base64.b64encode(joined).decode()
    else:
        payload.graph_blob = blobs.put(GRAPH, [joined]).digest
    return payload


def _refuse_what_stays(nodes: NodeTable) -> None:
    for number, node in enumerate(nodes.nodes):
        if stays(node):
            name, _, kind = nodes.place(number)
            hint = "make it inside the module, or use --where kernel"
            raise CannotCross(f"{name}: a {kind} used elsewhere would not change here", subject=f"{name} ({kind})", hint=hint)


def _content(value: Any) -> str:
    shape = shape_of(value)
    return shape.content() if shape.content is not None and not shape.children else ""


def _named(packing: _Packing, values: Mapping[str, object], parts: Sequence[Any]) -> bytes:
    """The pickle of everything, or the refusal with the name of the value that could not cross."""
    try:
        return packing.dump(*parts)
    except CannotCross as error:
        for name, value in values.items():
            try:
                packing.dump(value)
            except CannotCross as found:
                raise CannotCross(f"{name}: {found.message}", subject=f"{name} ({found.subject})", hint=found.hint) from error
        raise


class _Packing:
    """What one `pack` has met so far."""

    def __init__(self, blobs: Blobs, code: CodeRefs, known: NodeTable | None, changed: set[int]) -> None:
        self.blobs = blobs
        self.code = code
        self.known = known
        self.changed = changed
        self.leaves: list[Leaf] = []
        self.leaf_values: list[tuple[Leaf, Any]] = []
        self.met: dict[int, Any] = {}
        self._leaf_at: dict[int, int] = {}
        self._small = 0
        self._kept: list[Any] = []
        self._stands_for: dict[int, Any] = {}
        self._owners: set[int] = set()

    def see(self, nodes: Sequence[Any]) -> None:
        """Finds arrays that look at each other's memory, which then must travel as one."""
        seen: dict[int, list[tuple[int, int]]] = {}
        for node in nodes:
            if type(node).__name__ == "ndarray" and type(node).__module__ == "numpy":
                from mlstudio_lab.data.codecs.numpy import is_leaf, memory_of

                memory = memory_of(node) if is_leaf(node) else None
                if memory is not None:
                    owner, first, last = memory
                    others = seen.setdefault(id(owner), [])
                    if any(a < last and first < b for a, b in others):
                        self._owners.add(id(owner))
                    others.append((first, last))

    def plain(self, values: dict[str, object]) -> bytes:
        """The same values without references, and the frames and arrays referred to; empty when nothing was.

        Only for readers that lack the live objects, so whatever else the changes refer to is not copied.
        """
        known, self.known = self.known, None
        if not self.met or known is None:
            return b""
        return self.dump((values, {known.place(k): node for k, node in self.met.items() if _may_be_leaf(node)}))

    def dump(self, *values: Any) -> bytes:
        """The pickles of values one after the other, in which later ones share things with earlier ones.

        Raises:
            CannotCross: Something in it cannot be carried.
            StorageFailed: Its blobs cannot be written.
        """
        out = io.BytesIO()
        pickler = _Pickler(out, self) if self.known is None else _ReferringPickler(out, self, self.known)
        try:
            for value in values:
                pickler.dump(value)
        except (CannotCross, StorageFailed):
            # A full disk says nothing about the value.
            raise
        except RecursionError as error:
            raise CannotCross("nested too deeply to be carried", subject="nesting", hint="flatten it, or use --where kernel") from error
        except Exception as error:
            raise cannot(pickler.last) from error
        return out.getvalue()

    def leaf(self, value: Any) -> tuple[Any, ...] | None:
        """How a frame or array is written into the graph, None when it holds Python objects."""
        at = self._leaf_at.get(id(value))
        if at is not None:
            return marks.leaf, (at,)
        if not _may_be_leaf(value):
            return None
        shared = self._view(value)
        if shared is not None:
            return shared
        encoded = encode(value)
        if encoded is None:
            return None
        size = encoded.bytes
        if size < INLINE_BYTES:
            if encoded.columns is None or self._small >= _MOST_SMALL_FRAMES:
                return marks.inline, (encoded.codec, b"".join(encoded.chunks))
            self._small += 1
        ref = self.blobs.put(encoded.codec, encoded.chunks)
        return self._kept_leaf(value, Leaf(encoded.codec, ref.digest, "", size, encoded.columns))

    def state(self, k: int, known: NodeTable) -> tuple[tuple[str, int, str], str, Any]:
        """A changed node's place and new state."""
        node = known.nodes[k]
        kind, state = state_of(node)
        self._stands_for[id(state)] = node
        return known.place(k), kind, state

    def known_leaf(self, k: int, value: Any, known: NodeTable) -> None:
        """Reuses the blob a node was read from, when the node has not changed since."""
        if k in known.leaves and k not in self.changed and id(value) not in self._leaf_at:
            self._kept_leaf(value, known.leaves[k])

    def _kept_leaf(self, value: Any, leaf: Leaf) -> tuple[Any, ...]:
        self._kept.append(value)
        at = self._leaf_at[id(value)] = len(self.leaves)
        if id(value) in self._stands_for:
            self._leaf_at[id(self._stands_for[id(value)])] = at
        self.leaves.append(leaf)
        if not leaf.content:
            self.leaf_values.append((leaf, value))
        return marks.leaf, (at,)

    def _view(self, value: Any) -> tuple[Any, ...] | None:
        if self.known is not None and type(value).__name__ == "ndarray":
            looks = id(value) not in self._stands_for and type(value.base).__name__ == "ndarray"
            return self._view_of_known(value, self.known) if looks else None
        if not self._owners or type(value).__name__ != "ndarray":
            return None
        from mlstudio_lab.data.codecs.numpy import dtype_text, memory_of

        memory = memory_of(value)
        if memory is None or id(memory[0]) not in self._owners or memory[0] is value:
            return None
        owner = memory[0]
        offset = value.__array_interface__["data"][0] - owner.__array_interface__["data"][0]
        return marks.looking_at, (owner, offset, dtype_text(value.dtype), value.shape, value.strides, bool(value.flags.writeable))

    def _view_of_known(self, value: Any, known: NodeTable) -> tuple[Any, ...] | None:
        """A result that looks at the memory of an array the other side has, as a look at that very array."""
        from mlstudio_lab.data.codecs.numpy import dtype_text, memory_of

        memory = memory_of(value)
        if memory is None:
            return None
        owner, first, last = memory
        for node in known.nodes:
            if type(node).__name__ != "ndarray" or not (node.flags.c_contiguous or node.flags.f_contiguous):
                continue
            seen = memory_of(node)
            if seen is not None and seen[0] is owner and seen[1] <= first and last <= seen[2]:
                offset = value.__array_interface__["data"][0] - node.__array_interface__["data"][0]
                return marks.looking_at, (node, offset, dtype_text(value.dtype), value.shape, value.strides, bool(value.flags.writeable))
        return None


_LEAF_VENDORS: Final = frozenset({"polars", "numpy", "pandas", "pyarrow"})


def _may_be_leaf(value: Any) -> bool:
    kind = type(value)
    if (kind.__module__ or "").partition(".")[0] not in _LEAF_VENDORS:
        return False
    # A small pandas series or index pickles well by itself, and stays shared with the frame it stands in.
    return kind.__module__ != "pandas" or hasattr(value, "columns") or getattr(value, "nbytes", 0) >= INLINE_BYTES


class _Pickler(pickle.Pickler):
    """Writes code by name and frames as leaves; everything else as pickle does."""

    def __init__(self, out: io.BytesIO, packing: _Packing) -> None:
        super().__init__(out, protocol=5)
        self._packing = packing
        self.last: Any = None

    def reducer_override(self, obj: Any) -> Any:
        """How code, modules, frames, arrays and figures are written."""
        self.last = obj
        if is_code(obj):
            name = self._packing.code.name_of(obj)
            if name is not None:
                return marks.code, (name,)
            if importable(obj) is None:
                named = qualified(obj)
                raise CannotCross(f"{named} is defined where nothing can name it", subject=named, hint="define it at the top of a cell")
            return NotImplemented
        kind = type(obj)
        if kind is types.ModuleType:
            return __import__("importlib").import_module, (obj.__name__,)
        if kind is memoryview:
            return memoryview, (obj.obj if obj.contiguous and obj.format == "B" and obj.nbytes == len(obj.obj) else bytes(obj),)
        if is_live(kind):
            raise cannot(obj)
        if isinstance(obj, dict) and getattr(obj, "__dict__", None) is obj:
            items: Any = obj
            return marks.own_attributes, (kind,), None, None, iter(dict.items(items))
        leaf = self._packing.leaf(obj)
        if leaf is not None:
            return leaf
        return _figure(obj) if kind.__module__ == "matplotlib.figure" else NotImplemented


class _ReferringPickler(_Pickler):
    """Writes nodes the other side has as references to them."""

    def __init__(self, out: io.BytesIO, packing: _Packing, known: NodeTable) -> None:
        super().__init__(out, packing)
        self._known = known
        self._index = known.index

    def persistent_id(self, obj: Any) -> tuple[str, int, str] | None:
        """The place of a node the other side has."""
        k = self._index.get(id(obj))
        if k is None:
            return None
        if k not in self._packing.met:
            self._packing.met[k] = obj
            self._packing.known_leaf(k, obj, self._known)
        return self._known.place(k)


def _figure(figure: Any) -> Any:
    """A figure that does not put itself into pyplot again when it arrives."""
    parts = figure.__reduce_ex__(4)
    state = parts[2] if len(parts) > 2 else None
    if not isinstance(state, dict) or "_restore_to_pylab" not in state:
        return NotImplemented
    return (*parts[:2], {**state, "_restore_to_pylab": False}, *parts[3:])
