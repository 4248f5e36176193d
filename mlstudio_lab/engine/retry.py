"""Whether a lost attempt is tried again: decisions as values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

MOST_ATTEMPTS: Final = 3
"""Attempts of one run, the first included."""

MOST_DEATHS: Final = 2
"""Workers one run may take with it before its code is held to be the reason."""


@dataclass(frozen=True, slots=True)
class Loss:
    """An attempt that ended without an outcome.

    Attributes:
        reason: For people, such as "its worker was killed by signal 9 (SIGKILL)".
        infrastructure: True when the code cannot be to blame.
    """

    reason: str
    infrastructure: bool = False


@dataclass(frozen=True, slots=True)
class GiveUp:
    """No further attempt; why, for people."""

    message: str
    hint: str


def decide(losses: Sequence[Loss]) -> GiveUp | None:
    """None for one more attempt, else why there is none.

    Args:
        losses: Every attempt of the run so far, oldest first; none of them has an outcome.

    Example:
        >>> decide([Loss("its worker ended with exit code 3")]) is None
        True
        >>> decide([Loss("its worker ended with exit code 3")] * 2).message
        'the code ended its worker twice: its worker ended with exit code 3'
    """
    deaths = [loss for loss in losses if not loss.infrastructure]
    if len(deaths) >= MOST_DEATHS:
        last = deaths[-1].reason
        if "signal 9" in last:
            hint = "it may have run out of memory: give it less data, or --where kernel to see where"
        elif "exit code" in last:
            hint = "look for os._exit or a native crash; a module ends by returning"
        else:
            hint = "look for native code that crashes; --where kernel runs it in the notebook's own process"
        return GiveUp(f"the code ended its worker twice: {last}", hint)
    if len(losses) >= MOST_ATTEMPTS:
        return GiveUp(
            f"{len(losses)} attempts were lost, the last because {losses[-1].reason}", "look at: mlstudio status, then run it again"
        )
    return None
