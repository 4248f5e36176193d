"""The life of a run: its states and the one function that advances them."""

from __future__ import annotations

from typing import Final, Literal

from mlstudio_lab.core.errors import Conflict

RunState = Literal["queued", "running", "succeeded", "failed", "cancelled"]
RunEvent = Literal["start", "requeue", "succeed", "fail", "cancel"]

FINAL: Final = frozenset({"succeeded", "failed", "cancelled"})
"""States that never change again."""

_NEXT: Final[dict[tuple[RunState, RunEvent], RunState]] = {
    ("queued", "start"): "running",
    ("queued", "succeed"): "succeeded",  # a memo hit never runs
    ("queued", "fail"): "failed",
    ("queued", "cancel"): "cancelled",
    ("running", "requeue"): "queued",  # its worker died; a new attempt follows
    ("running", "succeed"): "succeeded",
    ("running", "fail"): "failed",
    ("running", "cancel"): "cancelled",
}


def advance(state: RunState, event: RunEvent) -> RunState:
    """The state after an event; the only way a run's state changes.

    Raises:
        Conflict: The state does not allow the event; final states allow none.

    Example:
        >>> advance("queued", "start")
        'running'
    """
    try:
        return _NEXT[state, event]
    except KeyError:
        raise Conflict(f"a run that is {state} cannot {event}", subject=state) from None
