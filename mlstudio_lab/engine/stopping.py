"""Stopping a run: asked at once, forced after 2.5 s, over within 3 s whatever its executor says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog

from mlstudio_lab.engine.commit import Ending, timed_out
from mlstudio_lab.engine.kernels import interrupt_kernel
from mlstudio_lab.engine.model import KERNEL, Live

if TYPE_CHECKING:
    from mlstudio_lab.engine.running import Running

FORCE_AFTER_S: Final = 2.5
"""A run asked to stop is killed after this."""
GONE_AFTER_S: Final = 2.9
"""And called cancelled after this."""

log = structlog.get_logger("engine")


def time_up(running: Running, live: Live, attempt: str) -> None:
    """Stops an attempt that took longer than its run may."""
    if running.by_attempt.get(attempt) is live and not live.committing:
        live.timed_out = True
        stop(running, live)


def cancel(running: Running, live: Live, force: bool = False) -> None:
    """Asks a run to stop: at once, by force after 2.5 s, over after 3 s."""
    if live.committing:
        return
    first = not live.cancel_asked
    live.cancel_asked = True
    if first or force:
        stop(running, live, force)


def stop(running: Running, live: Live, force: bool = False) -> None:
    """Asks whatever runs it, then forces it, then goes on without it."""
    loop = running.loop
    if live.executor == KERNEL:
        if not live.by_itself:
            interrupt_kernel(live)
        live.timers.append(loop.call_later(0.0 if force else FORCE_AFTER_S, give_up, running, live, live.attempt))
        return
    executor = running.executors[live.executor]
    if live.follows:
        # It waits for the same computation and was never handed out.
        running.background(running.end(live, Ending("cancel", "cancelled", why=live.plan.why)))
        return
    executor.cancel(live.attempt, force)
    if not force:
        live.timers.append(loop.call_later(FORCE_AFTER_S, executor.cancel, live.attempt, True))
    live.timers.append(loop.call_later(GONE_AFTER_S if not force else GONE_AFTER_S - FORCE_AFTER_S, give_up, running, live, live.attempt))


def give_up(running: Running, live: Live, attempt: str) -> None:
    """Ends a stopped run whose executor has not answered."""
    if running.by_attempt.get(attempt) is not live or live.committing:
        return
    log.warning("stopped without an answer", run=live.plan.run, attempt=attempt)
    if live.timed_out:
        running.background(running.end(live, Ending("fail", "timed_out", failure=timed_out(live), why=live.plan.why)))
    else:
        running.background(running.end(live, Ending("cancel", "cancelled", why=live.plan.why)))
