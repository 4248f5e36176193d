"""Names people type: `namespace/name`, and references to one version of it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from mlstudio_lab.core.errors import BadName

_WORD: Final = r"[a-z][a-z0-9]*(?:[-_][a-z0-9]+)*"
_NAME: Final = re.compile(rf"({_WORD})/({_WORD})")
_TAG: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")
_NUMBER: Final = re.compile(r"v([1-9][0-9]{0,9})")
_DIGEST: Final = re.compile(r"[0-9a-f]{12,64}")
MAX_NAME: Final = 128
"""Longest `namespace/name`, in characters."""


@dataclass(frozen=True, slots=True)
class Name:
    """A thing's name in a namespace; two names are the same thing only when they are the same text.

    Example:
        >>> Name.parse("flights/delay").namespace
        'flights'
    """

    namespace: str
    name: str

    @classmethod
    def parse(cls, text: str) -> Name:
        """The name a text spells.

        Raises:
            BadName: Not `namespace/name` of lower-case words joined by single hyphens or underscores.
        """
        match = _NAME.fullmatch(text) if len(text) <= MAX_NAME else None
        if match is None:
            shown = text.encode("unicode_escape").decode()[:80]
            raise BadName(
                f"{shown!r} is not a name",
                subject=shown,
                hint="write namespace/name in lower-case letters, digits, - and _, such as flights/delay",
            )
        return cls(match[1], match[2])

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"

    @property
    def distribution(self) -> str:
        """The wheel's distribution name; different names never share one, also after PEP 503 normalisation.

        PEP 503 makes ``-`` and ``_`` the same, so a name with more than the one separator ``/`` says in a last word
        which separator stood where: ``a-b/c`` gives ``mlstudio-a-b-c-hs`` and ``a/b-c`` gives ``mlstudio-a-b-c-sh``.
        """
        text = str(self)
        marks = "".join({"/": "s", "-": "h", "_": "u"}[c] for c in text if c in "/-_")
        words = re.sub(r"[/_-]", "-", text)
        return f"mlstudio-{words}" if marks == "s" else f"mlstudio-{words}-{marks}"

    @property
    def import_name(self) -> str:
        """The wheel's import name, the distribution name with underscores."""
        return self.distribution.replace("-", "_")


@dataclass(frozen=True, slots=True)
class Ref:
    """A name and which of its versions: a tag, a number, a digest, or (all empty) the person's default.

    Example:
        >>> Ref.parse("flights/delay@v3").number
        3
    """

    name: Name
    tag: str = ""
    number: int = 0
    digest: str = ""

    @classmethod
    def parse(cls, text: str) -> Ref:
        """The reference a text spells: `ns/name`, `ns/name@tag`, `ns/name@v3` or `ns/name@<12 or more hex digits>`.

        Raises:
            BadName: The name or the part after `@` is malformed.
        """
        head, at, tail = text.partition("@")
        name = Name.parse(head)
        if not at:
            return cls(name)
        if number := _NUMBER.fullmatch(tail):
            return cls(name, number=int(number[1]))
        if _DIGEST.fullmatch(tail):
            return cls(name, digest=tail)
        if _TAG.fullmatch(tail):
            return cls(name, tag=tail)
        shown = tail.encode("unicode_escape").decode()[:80]
        raise BadName(
            f"{shown!r} is not a tag, a version number or a digest",
            subject=shown,
            hint="write @latest, @v3 or @ and at least 12 hex digits",
        )

    def __str__(self) -> str:
        tail = self.tag or (f"v{self.number}" if self.number else self.digest)
        return f"{self.name}@{tail}" if tail else str(self.name)
