"""One walk over named values that sees what is shared between them, whatever the depth."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Final, Protocol

from blake3 import blake3

from mlstudio_lab.core.digest import digest
from mlstudio_lab.core.errors import CannotCross
from mlstudio_lab.data.code_refs import CodeRefs
from mlstudio_lab.data.naming import importable, is_code, qualified, text
from mlstudio_lab.data.shapes import SCALARS, Shape, cannot, has_identity, scalar_bytes, shape_of

_SHORT: Final = 64
FIRST: Final = b"r" + bytes(8)
"""A reference to the first node of the name at hand."""


class Namer(Protocol):
    """How a walk writes code, and what it does with values that cannot be taken apart."""

    def code(self, obj: object) -> bytes:
        """Bytes that stand for a function or class."""
        ...

    def refused(self, value: object, error: CannotCross) -> Shape:
        """A shape to stand for a value that has none, or raises the error."""
        ...


class ByContent:
    """Writes code by its digest, for digests that mean the same in every process."""

    def __init__(self, code: CodeRefs) -> None:
        self._code = code

    def code(self, obj: object) -> bytes:
        """The code's digest for the person's own code, its qualified name for importable code.

        Raises:
            CannotCross: It is neither: a lambda or a nested function nobody captured.
        """
        found = self._code.digest_of(obj)
        if found is not None:
            return b"C" + text(found)
        name = importable(obj)
        if name is None:
            raise CannotCross(
                f"{qualified(obj)} is neither the person's captured code nor importable",
                subject=qualified(obj),
                hint="define it at the top of a cell",
            )
        return b"Q" + text(name)

    def refused(self, value: object, error: CannotCross) -> Shape:
        """Raises: a digest is never guessed."""
        raise error


class ByIdentity:
    """Writes code and whatever cannot be taken apart by its identity, for comparisons within one process."""

    def __init__(self) -> None:
        self._kept: list[object] = []

    def code(self, obj: object) -> bytes:
        """The object's identity; it is kept alive so that the identity stays its own."""
        self._kept.append(obj)
        return b"I" + scalar_bytes(id(obj))

    def refused(self, value: object, error: CannotCross) -> Shape:
        """A shape that changes only when another object stands there."""
        self._kept.append(value)
        return Shape(b"identity", scalar_bytes(id(value)))


class ByName:
    """Writes code by its name alone, for finding nodes: instances cross by the names of their classes."""

    def code(self, obj: object) -> bytes:
        """The qualified name."""
        return b"N" + text(qualified(obj))

    def refused(self, value: object, error: CannotCross) -> Shape:
        """A shape without parts: whatever hides inside cannot cross anyway."""
        return Shape(b"refused", text(qualified(type(value))))


class Walk:
    """The nodes of named values in an order given by their content, each written once with references to the others.

    A *node* is what can be shared or changed: a list, dict, set, object, array or frame. Everything else is written
    where it stands. Sets are put in the order of their elements' own content, so neither hash seeds nor insertion
    history show.

    Args:
        namer: How code is written.
        content: Whether frames and arrays are read; without, the walk only finds nodes.
    """

    def __init__(self, namer: Namer, *, content: bool = True) -> None:
        self.nodes: list[Any] = []
        self.index: dict[int, int] = {}
        self._namer = namer
        self._content = content
        self._composites: dict[int, bytes] = {}
        self._kept: list[Any] = []
        self._memory: dict[int, list[tuple[int, int, int]]] = {}
        self.starts: list[tuple[int, str]] = [(0, "")]
        self._fresh: dict[int, Any] = {}
        self._frozen = False
        self.unknown = 0

    def freeze(self, namer: Namer, unknown: int) -> None:
        """From now on nodes are numbered over all names, and unknown ones written as new, counted from `unknown`."""
        self.unknown = unknown
        self._frozen = True
        self._namer = namer
        self._content = True
        self.starts = [(0, "")]
        self._composites.clear()
        self._kept.clear()

    def root(self, name: str, value: Any) -> tuple[bytes, Iterator[bytes]]:
        """How a named value refers to its outermost thing, and the bodies of nodes not seen under earlier names.

        Raises:
            CannotCross: A part of the value can neither be taken apart nor digested.
        """
        self.starts.append((len(self.nodes), name))
        self._composites.clear()  # references are written relative to the name they are seen under
        first = len(self.nodes)
        return self.reference(value), self._bodies(first)

    def _bodies(self, at: int) -> Iterator[bytes]:
        while at < len(self.nodes):
            yield self.body(at)
            at += 1

    def forget_last_root(self) -> None:
        """Takes back the newest named value with all its nodes, so that another name owns what it shares."""
        start, _ = self.starts.pop()
        for node in self.nodes[start:]:
            self.index.pop(id(node), None)
        del self.nodes[start:]
        self._memory = {key: [e for e in entries if e[0] < start] for key, entries in self._memory.items()}
        self._composites.clear()

    def body(self, at: int) -> bytes:
        """The own content of node `at`, its children as references.

        Raises:
            CannotCross: A child can neither be taken apart nor digested.
        """
        shape = self._shape(self.nodes[at])
        seen = b"" if shape.memory is None or self._frozen else self._alias(at, shape.memory)
        return self._written(shape) + seen

    def _alias(self, at: int, memory: tuple[Any, int, int]) -> bytes:
        """Which earlier array's memory an array looks at, and from where: writing to one then writes to the other."""
        _, first, last = memory
        found = next((entry for entry in self._memory.get(id(memory[0]), ()) if entry[1] < last and first < entry[2]), None)
        self.look(at, memory)
        return b"" if found is None else b"m" + self._ref(found[0]) + struct.pack(">q", first - found[1])

    def look(self, at: int, memory: tuple[Any, int, int]) -> None:
        """Notes which memory node `at` looks at."""
        self._memory.setdefault(id(memory[0]), []).append((at, memory[1], memory[2]))

    def is_alias(self, memory: tuple[Any, int, int]) -> bool:
        """Whether an array not yet walked looks at memory that an earlier one looks at."""
        return any(entry[1] < memory[2] and memory[1] < entry[2] for entry in self._memory.get(id(memory[0]), ()))

    def reference(self, value: Any) -> bytes:
        """How a value is written where it stands: itself when immutable, else a reference to its node.

        Raises:
            CannotCross: It can neither be taken apart nor digested.
        """
        done = self._quick(value)
        if done is not None:
            return done
        # Immutable things nest without limit and without cycles: an explicit stack instead of recursion.
        stack = [self._open(value)]
        while True:
            top = stack[-1]
            shape, out, position = top[1], top[2], top[3]
            children = shape.children
            while position < len(children):
                child = children[position]
                position += 1
                done = self._quick(child)
                if done is None:
                    top[3] = position
                    stack.append(self._open(child))
                    break
                out.append(done)
            else:
                done = self._closed(top[0], shape, out)
                stack.pop()
                if not stack:
                    return done
                stack[-1][2].append(done)

    def _open(self, value: Any) -> list[Any]:
        shape = self._shape(value)
        self._kept.append(shape)
        if shape.unordered and shape.children:
            shape.children = self._ordered(value, list(shape.children))
        return [value, shape, [], 0]

    def _closed(self, value: Any, shape: Shape, out: list[bytes]) -> bytes:
        done = self._short(b"v", self._joined(shape, out))
        self._composites[id(value)] = done
        self._kept.append(value)
        return done

    def _quick(self, value: Any) -> bytes | None:
        """How a value is written when nothing has to be descended into, else None."""
        if type(value) in SCALARS:
            return self._short(b"s", scalar_bytes(value))
        key = id(value)
        at = self.index.get(key)
        if at is not None:
            return self._ref(at)
        found = self._composites.get(key)
        if found is not None:
            return found
        if is_code(value):
            return self._short(b"c", self._namer.code(value))
        if not has_identity(type(value)) or key in self._fresh:
            return None
        if self._frozen:
            self.unknown += 1
            return b"+" + struct.pack(">Q", self.unknown)
        at = self.index[key] = len(self.nodes)
        self.nodes.append(value)
        return self._ref(at)

    def _shape(self, value: Any) -> Shape:
        try:
            shape = shape_of(value)
        except CannotCross as error:
            return self._namer.refused(value, error)
        if shape.fresh is not None:
            self._fresh.update(shape.fresh)
        return shape

    def _written(self, shape: Shape) -> bytes:
        children = shape.children
        if shape.unordered and children:
            children = self._ordered(None, list(children))
        if not children:
            return self._joined(shape, [])
        return self._joined(shape, [self.reference(child) for child in children])

    def _joined(self, shape: Shape, out: list[bytes]) -> bytes:
        content = shape.content().encode() if shape.content is not None and self._content else b""
        head = struct.pack(">BQBQ", len(shape.tag), len(shape.head), len(content), len(out))
        return b"".join((head, shape.tag, shape.head, content, *out))

    @staticmethod
    def _short(tag: bytes, data: bytes) -> bytes:
        if len(data) <= _SHORT:
            return tag + bytes((len(data),)) + data
        return tag + b"\xff" + blake3(data).digest()

    def _ref(self, at: int) -> bytes:
        start, _ = self.starts[-1]
        if at >= start:
            return b"r" + struct.pack(">Q", at - start)
        for first, name in reversed(self.starts):
            if first <= at:
                return b"a" + text(name) + struct.pack(">Q", at - first)
        raise IndexError(at)

    def _ordered(self, owner: Any, elements: list[Any]) -> list[Any]:
        """Elements of a set in the order of their own content, each digested as if it stood alone.

        Raises:
            CannotCross: Two elements with an identity look the same, so no order tells them apart.
        """
        keyed = []
        for element in elements:
            alone = Walk(self._namer)
            root, bodies = alone.root("", element)
            keyed.append((digest("element", root, *bodies), bool(alone.nodes), element))
        keyed.sort(key=lambda entry: entry[0])
        for (key, has_nodes, _), (next_key, _, _) in pairwise(keyed):
            if has_nodes and key == next_key:
                raise cannot(owner if owner is not None else set())
        return [element for _, _, element in keyed]
