"""Run ids: ULIDs, made by whoever starts a run from a time and randomness handed in."""

from __future__ import annotations

from typing import Final

_CROCKFORD: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def ulid(at_ms: int, random: bytes) -> str:
    """A 26-character ULID; ids made later sort later.

    Args:
        at_ms: Milliseconds since the epoch, 0 to 2**48-1.
        random: Ten random bytes.

    Raises:
        ValueError: Out of range.

    Source: the ULID specification (48 bits of time, 80 of randomness, Crockford base 32).

    Example:
        >>> ulid(0, bytes(10))
        '00000000000000000000000000'
    """
    if not 0 <= at_ms < 1 << 48 or len(random) != 10:
        raise ValueError("a ULID takes 48 bits of milliseconds and ten random bytes")
    value = at_ms << 80 | int.from_bytes(random, "big")
    return "".join(_CROCKFORD[value >> 5 * place & 31] for place in range(25, -1, -1))


def is_ulid(text: str) -> bool:
    """Whether a text has the form of a ULID.

    Example:
        >>> is_ulid("0" * 26), is_ulid("../x")
        (True, False)
    """
    return len(text) == 26 and text[0] in "01234567" and all(c in _CROCKFORD for c in text)
