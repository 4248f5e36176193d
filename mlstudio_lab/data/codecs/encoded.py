"""What every codec gives: chunks of bytes under a codec's name."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

ALIGN: Final = 64


@dataclass(slots=True)
class Encoded:
    """A value as bytes to store.

    Attributes:
        codec: The codec's name and version, such as "polars/1".
        chunks: The bytes in order.
        columns: Column names for frames, else None.
    """

    codec: str
    chunks: list[bytes | memoryview] = field(default_factory=list)
    columns: list[str] | None = None

    @property
    def bytes(self) -> int:
        """Size of all chunks."""
        return sum(len(memoryview(chunk).cast("B")) if chunk else 0 for chunk in self.chunks)


def framed(head: bytes, buffers: Sequence[memoryview]) -> list[bytes | memoryview]:
    """A head and buffers as chunks, each buffer at a multiple of 64 bytes so that it can be used where it is mapped.

    Layout: head length, buffer count, each buffer's length (all 8 bytes, little-endian), head, padding, buffer, padding…
    """
    out: list[bytes | memoryview] = [struct.pack(f"<{2 + len(buffers)}Q", len(head), len(buffers), *(len(b) for b in buffers)), head]
    at = len(out[0]) + len(head)
    for buffer in buffers:
        pad = -at % ALIGN
        if pad:
            out.append(bytes(pad))
        if len(buffer):
            out.append(buffer)
        at += pad + len(buffer)
    return out


def unframed(data: memoryview) -> tuple[memoryview, list[memoryview]]:
    """The head and buffers that `framed` laid out, as views into the data.

    Example:
        >>> head, buffers = unframed(memoryview(b"".join(framed(b"h", [memoryview(b"abc")]))))
        >>> bytes(head), bytes(buffers[0])
        (b'h', b'abc')
    """
    head_length, count = struct.unpack_from("<2Q", data)
    lengths = struct.unpack_from(f"<{count}Q", data, 16)
    at = 16 + 8 * count
    head = data[at : at + head_length]
    at += head_length
    buffers = []
    for length in lengths:
        at += -at % ALIGN
        buffers.append(data[at : at + length])
        at += length
    return head, buffers
