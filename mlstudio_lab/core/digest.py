"""The one way bytes become an id: BLAKE3 over kind-tagged, length-framed, canonical parts.

Every part is written as one tag byte, an eight-byte big-endian length and its payload, so no two different sequences of
parts share an encoding: ``("ab", "c")`` and ``("a", "bc")`` differ, as do ``1``, ``1.0``, ``True`` and ``"1"``.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from typing import Final

from blake3 import blake3

type_tags: Final = {
    "none": b"N",
    "false": b"F",
    "true": b"T",
    "int": b"i",
    "float": b"f",
    "str": b"s",
    "bytes": b"b",
    "list": b"l",
    "map": b"m",
    "kind": b"K",
}

Part = None | bool | int | float | str | bytes | bytearray | memoryview | list["Part"] | tuple["Part", ...] | Mapping[str, "Part"]


def _frame(tag: bytes, payload: bytes | bytearray | memoryview) -> bytes:
    return tag + struct.pack(">Q", len(payload)) + bytes(payload)


class Digester:
    """An incremental digest of one kind of thing; equal sequences of parts give equal digests, others do not.

    Args:
        kind: What is being named ("bundle", "memo", …); two kinds never share a digest.

    Example:
        >>> a = Digester("demo"); a.add("x"); a.add(1); b = Digester("demo"); b.add("x"); b.add(1)
        >>> a.hex() == b.hex()
        True
    """

    __slots__ = ("_hash",)

    def __init__(self, kind: str) -> None:
        self._hash = blake3(max_threads=blake3.AUTO)
        self._hash.update(_frame(type_tags["kind"], kind.encode()))

    def add(self, part: Part) -> None:
        """Adds one part; mappings are written in key order, sequences in their own order.

        Raises:
            TypeError: The part is of a type with no canonical encoding here.
        """
        if part is None:
            self._hash.update(_frame(type_tags["none"], b""))
        elif part is True:
            self._hash.update(_frame(type_tags["true"], b""))
        elif part is False:
            self._hash.update(_frame(type_tags["false"], b""))
        elif isinstance(part, str):
            self._hash.update(_frame(type_tags["str"], part.encode("utf-8", "surrogatepass")))
        elif isinstance(part, int):
            self._hash.update(_frame(type_tags["int"], str(part).encode()))
        elif isinstance(part, float):
            # The bits, not the value: 0.0 and -0.0 differ, a NaN equals itself.
            self._hash.update(_frame(type_tags["float"], struct.pack(">d", part)))
        elif isinstance(part, (bytes, bytearray, memoryview)):
            self.add_buffer(part)
        elif isinstance(part, Mapping):
            self._hash.update(_frame(type_tags["map"], struct.pack(">Q", len(part))))
            for key in sorted(part):
                self.add(key)
                self.add(part[key])
        elif isinstance(part, (list, tuple)):
            self._hash.update(_frame(type_tags["list"], struct.pack(">Q", len(part))))
            for item in part:
                self.add(item)
        else:
            raise TypeError(f"no canonical encoding for {type(part).__name__}")

    def add_buffer(self, data: bytes | bytearray | memoryview) -> None:
        """Adds raw bytes as one part without copying them."""
        view = memoryview(data).cast("B")
        self._hash.update(type_tags["bytes"] + struct.pack(">Q", len(view)))
        self._hash.update(view)

    def add_buffers(self, chunks: Iterable[bytes | bytearray | memoryview]) -> None:
        """Adds several buffers as one part, as `add_buffer` of their concatenation, without joining them."""
        views = [memoryview(chunk).cast("B") for chunk in chunks]
        self._hash.update(type_tags["bytes"] + struct.pack(">Q", sum(map(len, views))))
        for view in views:
            self._hash.update(view)

    def hex(self) -> str:
        """The digest so far, 64 lower-case hex digits."""
        return self._hash.hexdigest()


def digest(kind: str, *parts: Part) -> str:
    """The digest of a kind-tagged sequence of parts, 64 lower-case hex digits.

    Example:
        >>> digest("demo", "ab", "c") == digest("demo", "a", "bc")
        False
    """
    digester = Digester(kind)
    for part in parts:
        digester.add(part)
    return digester.hex()


def digest_each(kind: str, parts: Iterable[Part]) -> str:
    """The digest of an iterable's parts, as `digest` of the unpacked iterable.

    Example:
        >>> digest_each("demo", iter(["a"])) == digest("demo", "a")
        True
    """
    return digest(kind, *parts)
