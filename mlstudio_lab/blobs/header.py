"""The 64 bytes in front of every blob's data."""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from mlstudio_lab.core.digest import Digester
from mlstudio_lab.core.errors import BadInput, Corrupt, Incompatible

SIZE: Final = 64
"""Bytes of a header; data starts here, so a mapped blob's data is 64-byte aligned as Arrow wants it."""
MAGIC: Final = b"MLSB"
VERSION: Final = 1
MAX_KIND: Final = 32

Raw = bytes | memoryview
"""A stretch of memory."""
Packed = bytes
"""A header as stored; `Header` itself has an attribute called bytes."""

_LAYOUT: Final = struct.Struct("<4sBB2xQ32s16x")
_KIND: Final = re.compile(r"[a-z0-9][a-z0-9._/+-]*")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Header:
    """What a blob's file says of its data.

    Attributes:
        kind: What the bytes are, as a codec and its version: "arrow/1", "numpy/1", "log/1".
        bytes: Length of the data after the header.
    """

    kind: str
    bytes: int

    def pack(self) -> Packed:
        """The header as its 64 bytes.

        Raises:
            BadInput: The kind is not 1 to 32 lower-case letters, digits and ``._/+-``.
        """
        raw = self.kind.encode("ascii", "replace")
        if len(raw) > MAX_KIND or not _KIND.fullmatch(self.kind):
            shown = self.kind.encode("unicode_escape").decode()[:64]
            raise BadInput(f"{shown!r} is not a kind of blob", subject=shown, hint='name a codec and its version, such as "arrow/1"')
        return _LAYOUT.pack(MAGIC, VERSION, len(raw), self.bytes, raw)

    @classmethod
    def parse(cls, raw: Raw, subject: str) -> Header:
        """The header that `pack` wrote.

        Args:
            raw: At least the file's first 64 bytes, or all it has when it is shorter.
            subject: The blob's name, for messages.

        Raises:
            Corrupt: Not a header.
            Incompatible: Written by a newer version of this project.
        """
        if len(raw) < SIZE or bytes(raw[:4]) != MAGIC:
            raise _damaged(subject, "it has no blob header")
        _, version, length, size, kind = _LAYOUT.unpack(raw[:SIZE])
        if version != VERSION:
            raise Incompatible(
                f"blob {subject} has header version {version}, this studio reads {VERSION}", subject=subject, hint="update mlstudio_lab"
            )
        if length > MAX_KIND or bytes(raw[:SIZE]) != _LAYOUT.pack(MAGIC, VERSION, length, size, kind[:length]):
            raise _damaged(subject, "its header is garbled")
        try:
            return cls(kind[:length].decode("ascii"), size)
        except UnicodeDecodeError:
            raise _damaged(subject, "its header is garbled") from None


def blob_digest(header: bytes, chunks: Sequence[Raw]) -> str:
    """A blob's name: the digest of its header and its data, each framed.

    Example:
        >>> blob_digest(Header("log/1", 0).pack(), []) == blob_digest(Header("log/1", 0).pack(), [b""])
        True
    """
    digester = Digester("blob")
    digester.add(header)
    digester.add_buffers(chunks)
    return digester.hex()


def is_digest(text: str) -> bool:
    """Whether a text has the form of a digest.

    Example:
        >>> is_digest("0" * 64), is_digest("../x")
        (True, False)
    """
    return _DIGEST.fullmatch(text) is not None


def check_digest(text: str) -> str:
    """The text itself when it can name a blob; ids become file names, so nothing else may pass.

    Raises:
        BadInput: Not 64 lower-case hex digits.
    """
    if not isinstance(text, str) or not is_digest(text):
        shown = str(text).encode("unicode_escape").decode()[:80]
        raise BadInput(f"{shown!r} is not a blob's digest", subject=shown, hint="a digest is 64 lower-case hex digits")
    return text


def _damaged(subject: str, how: str) -> Corrupt:
    return Corrupt(f"blob {subject} is damaged: {how}", subject=subject, hint="run what made it again; mlstudio fsck lists all damage")
