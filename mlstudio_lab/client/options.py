"""How a run shall be done: where, with which limits, from memory or not."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

from mlstudio_lab.core.errors import BadInput, near_matches
from mlstudio_lab.wire.task import Where


@dataclass(frozen=True, slots=True)
class Options:
    """Options of a run, as `%%module` and the command line have them.

    Attributes:
        where: The executor asked for.
        cpus, gpus, memory_bytes, timeout_s: Limits; 0 means none.
        seed: Seeds random number generators before the run.
        reuse: Whether a remembered result will do.
        outputs: Names a cell gives back, None for all it binds or mutates.

    Example:
        >>> Options().with_changes(where="local").where
        'local'
    """

    where: Where = "auto"
    cpus: float = 0.0
    gpus: float = 0.0
    memory_bytes: int = 0
    timeout_s: float = 0.0
    seed: int | None = None
    reuse: bool = True
    outputs: tuple[str, ...] | None = None

    def with_changes(self, **changes: Any) -> Options:
        """The same options with some changed.

        Raises:
            BadInput: There is no such option; the hint has near matches.
        """
        known = [f.name for f in fields(self)]
        for name in changes:
            if name not in known:
                raise BadInput(
                    f"there is no option {name}", subject=name, hint=near_matches(name, known) or f"there are {', '.join(known)}"
                )
        return replace(self, **changes)

    def to_request(self) -> dict[str, Any]:
        """The options as parts of a RunRequest."""
        return {f.name: getattr(self, f.name) for f in fields(self)} | {"outputs": None if self.outputs is None else list(self.outputs)}
