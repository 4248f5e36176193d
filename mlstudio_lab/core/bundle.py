"""A module version's source: the one truth about its code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from mlstudio_lab.core.digest import digest
from mlstudio_lab.core.errors import BadInput
from mlstudio_lab.core.interface import Interface
from mlstudio_lab.core.lock import Lock

Kind = Literal["function", "cell", "sql"]
Role = Literal["import", "constant", "module", "definition", "main", "test"]


@dataclass(frozen=True, slots=True)
class Unit:
    """One piece of source in a bundle.

    Attributes:
        role: `import` (a statement binding a name), `constant` (`NAME = literal`), `module` (a local .py file, by its
            dotted name), `definition` (a def, class or lambda assignment from another cell), `main` (the cell itself or
            the function), `test` (a `%%test` cell).
        name: The name it binds, a module's dotted name, or `main`.
        source: The exact text.
    """

    role: Role
    name: str
    source: str

    def to_json(self) -> dict[str, str]:
        """The unit as plain JSON values."""
        return {"role": self.role, "name": self.name, "source": self.source}


@dataclass(frozen=True, slots=True)
class Bundle:
    """Everything needed to run a module elsewhere; its `id` is the version's id.

    Units stand in the order in which they must be executed: imports, constants and definitions before `main`; local
    modules (`module`) are importable by their dotted name; tests are last. File names and line numbers are not part of
    a bundle, so the same cell is the same version in every kernel.

    Example:
        >>> b = Bundle("cell", "", (Unit("main", "main", "y = x + 1"),), Interface(), Lock("3.11.7", "linux", ()))
        >>> Bundle.from_json(b.to_json()).id == b.id
        True
    """

    kind: Kind
    entry: str
    units: tuple[Unit, ...]
    interface: Interface
    lock: Lock

    @property
    def id(self) -> str:
        """The version id: a digest of exact source, tests, interface and lock."""
        return digest(
            "bundle", self.kind, self.entry, [[u.role, u.name, u.source] for u in self.units], self.interface.to_json(), self.lock.digest
        )

    @property
    def main(self) -> Unit:
        """The cell or function itself."""
        return next(u for u in self.units if u.role == "main")

    def to_json(self) -> dict[str, Any]:
        """The bundle as plain JSON values."""
        return {
            "kind": self.kind,
            "entry": self.entry,
            "units": [u.to_json() for u in self.units],
            "interface": self.interface.to_json(),
            "lock": self.lock.to_json(),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Bundle:
        """The bundle that `to_json` wrote.

        Raises:
            BadInput: Not a bundle: an unknown kind or role, a missing part, or not exactly one main unit.
        """
        try:
            bundle = cls(
                data["kind"],
                str(data["entry"]),
                tuple(Unit(u["role"], str(u["name"]), str(u["source"])) for u in data["units"]),
                Interface.from_json(data["interface"]),
                Lock.from_json(data["lock"]),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise BadInput(f"this is not a source bundle: {error}", subject="bundle", hint="send what Bundle.to_json gives") from error
        roles = [u.role for u in bundle.units]
        if bundle.kind not in get_args(Kind) or any(role not in get_args(Role) for role in roles) or roles.count("main") != 1:
            raise BadInput("this is not a source bundle: unknown kind or role, or not exactly one main unit", subject="bundle")
        return bundle
