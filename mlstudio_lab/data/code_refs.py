"""How code is named in data: functions and classes a person defined travel by name, never by value."""

from __future__ import annotations

from typing import Protocol

from mlstudio_lab.core.errors import CannotCross


class CodeRefs(Protocol):
    """What is known about the person's own functions and classes on this side."""

    def name_of(self, obj: object) -> str | None:
        """A name stable across processes when `obj` is a function or class of the person's, else None."""
        ...

    def find(self, name: str) -> object:
        """The live function or class of that name.

        Raises:
            CannotCross: Nothing of that name is defined here.
        """
        ...

    def digest_of(self, obj: object) -> str | None:
        """The code digest of a function or class of the person's, else None."""
        ...


class NoCode:
    """Code references of a side on which no person has defined anything.

    Example:
        >>> NoCode().name_of(print) is None
        True
    """

    def name_of(self, obj: object) -> str | None:
        """None: nothing is the person's here."""
        return None

    def find(self, name: str) -> object:
        """Nothing can be found here.

        Raises:
            CannotCross: Always.
        """
        raise CannotCross(f"{name} is not defined here", subject=name, hint="define it in the notebook or in the module")

    def digest_of(self, obj: object) -> str | None:
        """None: nothing is the person's here."""
        return None
