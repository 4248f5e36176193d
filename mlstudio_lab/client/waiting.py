"""Waiting for a run: what it says is passed on as it comes, Ctrl-C stops it, a restarted service is found again."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, Final

from mlstudio_lab.client.listeners import waiting
from mlstudio_lab.client.session import Session
from mlstudio_lab.core.errors import RunTimedOut, StudioError, Unavailable
from mlstudio_lab.core.run import FINAL

Say = Callable[[Iterable[dict[str, Any]]], None]

FIRST_WAIT_S: Final = 0.15
"""How long the first request waits for the result itself, before what the run says is streamed."""

_TICK_S: Final = 0.5
_LOOK_S: Final = 5.0
_SHOW_PROGRESS_AFTER_S: Final = 1.0
_STOPS_WITHIN_S: Final = 4.0
_LOST_FOR_S: Final = 60.0
_END: Final = None


def follow(session: Session, view: dict[str, Any], say: Say, *, timeout_s: float | None = None) -> dict[str, Any]:
    """The run's final view, or one that asks this process to run it; everything it said meanwhile was said.

    Args:
        session: The connection.
        view: The run as last seen, not final.
        say: Takes output events in order.
        timeout_s: Longest time to wait; the run goes on after it.

    Raises:
        RunTimedOut: It did not end in time.
        Unavailable: The service stayed away.
        KeyboardInterrupt: The person interrupted; the run was asked to stop.
    """
    began = time.monotonic()
    cursor = [0]
    lost_at: float | None = None

    def left() -> float:
        return _LOOK_S if timeout_s is None else max(0.0, min(_LOOK_S, began + timeout_s - time.monotonic()))

    while True:
        try:
            _stream(session, view, say, cursor, began, timeout_s)
            view = session.transport.get(f"/runs/{view['id']}", wait_s=left())
            lost_at = None
        except Unavailable:
            # The service died or is being replaced: the run is adopted by the next one, which is found or started here.
            lost_at = lost_at or time.monotonic()
            cursor[0] = 0
            if time.monotonic() - lost_at > _LOST_FOR_S:
                raise
            with contextlib.suppress(Unavailable):
                view = session.transport.get(f"/runs/{view['id']}", wait_s=1)
                lost_at = None
        if view["state"] in FINAL or view.get("needs"):
            return view
        if timeout_s is not None and time.monotonic() - began > timeout_s:
            raise RunTimedOut(
                f"run {view.get('number')} has not ended after {timeout_s:g} s", subject=view["id"], hint="it goes on; ask again later"
            )


def stop(session: Session, run: str) -> None:
    """Asks a run to stop and waits for its end as long as a forced stop takes; a second Ctrl-C does not wait."""
    with contextlib.suppress(StudioError):
        try:
            session.transport.post(f"/runs/{run}/cancel", {})
            deadline = time.monotonic() + _STOPS_WITHIN_S
            while time.monotonic() < deadline:
                view = session.transport.get(f"/runs/{run}", wait_s=_STOPS_WITHIN_S)
                if view["state"] in FINAL:
                    return
        except KeyboardInterrupt:
            session.transport.post(f"/runs/{run}/cancel", {"force": True})


def _stream(session: Session, view: dict[str, Any], say: Say, cursor: list[int], began: float, timeout_s: float | None) -> None:
    """Says events until the stream ends; read in a thread, so that this one ticks and can be interrupted."""
    events: queue.SimpleQueue[dict[str, Any] | BaseException | None] = queue.SimpleQueue()

    def read() -> None:
        try:
            for event in session.transport.lines(f"/runs/{view['id']}/stream", cursor=cursor[0]):
                events.put(event)
        except StudioError as error:
            events.put(error)
        else:
            events.put(_END)

    threading.Thread(target=read, name="mlstudio-stream", daemon=True).start()
    shown = dict(view)
    while True:
        try:
            event = events.get(timeout=_TICK_S if timeout_s is None else max(0.0, min(_TICK_S, began + timeout_s - time.monotonic())))
        except queue.Empty:
            event = {}
        if event is _END:
            return
        if isinstance(event, BaseException):
            raise event
        cursor[0] = max(cursor[0], int(event.get("n", 0)))
        if event.get("t") == "state" and event.get("executor") == "kernel":
            return
        if event.get("t") == "state":
            shown |= {key: event[key] for key in ("state", "executor") if event.get(key)}
        elif event.get("t") == "progress" and event.get("total"):
            shown["progress"] = min(1.0, float(event.get("done", 0)) / float(event["total"]))
        elif event:
            say([event])
        elapsed = time.monotonic() - began
        if elapsed > _SHOW_PROGRESS_AFTER_S and shown.get("state") not in FINAL:
            for show in waiting:
                show(shown, elapsed)
        if timeout_s is not None and elapsed > timeout_s:
            return
