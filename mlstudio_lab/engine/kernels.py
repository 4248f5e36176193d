"""Runs that a person's own kernel executes: whether it still lives, and how it is interrupted."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Final

from mlstudio_lab.core.errors import RunFailed
from mlstudio_lab.engine.commit import Ending, failure
from mlstudio_lab.engine.model import Live
from mlstudio_lab.engine.outcomes import is_alive

if TYPE_CHECKING:
    from mlstudio_lab.engine.running import Running

KERNEL_LOOK_S: Final = 1.0
"""How often it is looked whether a kernel that runs something still lives."""


def watch_kernel(running: Running, live: Live) -> None:
    """Ends a run as failed when the kernel that executes it is gone."""
    attempt, pid, started = live.attempt, int(live.worker.get("pid") or 0), int(live.worker.get("started") or 0)

    def look() -> None:
        if running.by_attempt.get(attempt) is not live or live.committing:
            return
        if is_alive(pid, started) or not pid:
            live.timers.append(running.loop.call_later(KERNEL_LOOK_S, look))
            return
        ending = Ending("fail", "lost", failure=failure("worker", "the kernel died", RunFailed), why=live.plan.why)
        running.background(running.end(live, ending))

    live.timers.append(running.loop.call_later(KERNEL_LOOK_S, look))


def interrupt_kernel(live: Live) -> None:
    """Does what Ctrl-C in the notebook would do."""
    pid = int(live.worker.get("pid") or 0)
    if pid and is_alive(pid, int(live.worker.get("started") or 0)):
        try:
            os.kill(pid, signal.SIGINT)
        except (ProcessLookupError, PermissionError):
            pass
