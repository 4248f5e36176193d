"""What runs attempts: the protocol that local workers, the Ray bridge and fakes share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from mlstudio_lab.wire.task import Outcome, Task

OnEvent = Callable[[dict[str, Any]], None]
"""Takes one output event of an attempt; the first is {"t": "state", "state": "running", "worker": {"host", "pid", …}}."""

OnOutcome = Callable[[Outcome], None]
"""Takes how an attempt ended; called at most once, after the outcome file is durable."""


class OnLost(Protocol):
    """Takes an attempt that ended without an outcome."""

    def __call__(self, attempt: str, reason: str = "", *, infrastructure: bool = False) -> None:
        """Reports the loss.

        Args:
            attempt: Which one.
            reason: For people: "its worker ended with exit code 3", "its worker was killed by signal 9".
            infrastructure: True when the code cannot be to blame: it never started, or a whole cluster went.
        """
        ...


class Executor(Protocol):
    """Runs attempts somewhere; owns its queue, its workers and their replacement, never a retry.

    Every method returns at once and may be called from any thread; callbacks may come on any thread.

    Attributes:
        name: `local` or `ray`; what `--where` names.
        lost: Set by the engine before `start`.
    """

    name: str
    lost: OnLost

    def start(self) -> None:
        """Begins to make workers; `ready` turns true when one waits."""
        ...

    def ready(self) -> bool:
        """Whether a task handed over now would start without waiting for workers to be made."""
        ...

    def submit(self, task: Task, on_event: OnEvent, on_outcome: OnOutcome) -> None:
        """Takes one attempt; ends with exactly one of `on_outcome` and `lost`."""
        ...

    def cancel(self, attempt: str, force: bool) -> None:
        """Asks an attempt to stop, or (force) kills whatever runs it; an unknown attempt is ignored.

        A queued attempt is dropped and reported as `lost`.
        """
        ...

    def status(self) -> dict[str, Any]:
        """{"name", "ready", "workers", "busy", "queued", "detail", "members": [{"worker", "pid", "state", "run"}]}."""
        ...

    def adopt(self, attempt: str, fence: int, run: str, on_event: OnEvent, on_outcome: OnOutcome) -> None:
        """Takes up an attempt that an earlier service submitted; ends as `submit` does, at once with `lost` if nothing runs it."""
        ...

    def leave(self) -> None:
        """Lets go of everything at the end of this service; what can outlive it stays hot for the next one."""
        ...

    def close(self) -> None:
        """Ends every worker it started; nothing is reported for attempts under way."""
        ...
