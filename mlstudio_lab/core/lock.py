"""What a version's code ran against: Python, platform and the distributions it can reach."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlstudio_lab.core.digest import digest


@dataclass(frozen=True, slots=True)
class Lock:
    """An environment as facts: Python's patch version, the platform, and name -> version of the reachable distributions.

    Attributes:
        python: Python's version with its patch, such as "3.11.7".
        platform: `sys.platform`-`machine`, such as "linux-x86_64".
        distributions: (name, version) of everything reachable from the code's imports.
        direct: Names among them that the code imports itself; they follow from the code, so they are not digested.

    Example:
        >>> Lock("3.11.7", "linux-x86_64", (("polars", "2.1.0"),)).digest[:4] != ""
        True
    """

    python: str
    platform: str
    distributions: tuple[tuple[str, str], ...]
    direct: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """The lock's id; the order in which distributions were found does not count."""
        return digest("lock", self.python, self.platform, [[n, v] for n, v in sorted(self.distributions)])

    def to_json(self) -> dict[str, Any]:
        """The lock as plain JSON values."""
        return {"python": self.python, "platform": self.platform, "distributions": dict(self.distributions), "direct": list(self.direct)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Lock:
        """The lock that `to_json` wrote."""
        return cls(data["python"], data["platform"], tuple(sorted(data["distributions"].items())), tuple(data.get("direct", ())))
