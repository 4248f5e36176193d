"""What a run said, said again here: text on the streams, displays in the cell, with fresh display ids."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Iterable
from typing import Any


class Replay:
    r"""Says events in this process as they come; one object a run, because display ids are renewed consistently.

    In a notebook displays appear in the cell; elsewhere their plain text is printed.

    Example:
        >>> Replay().say([{"t": "stdout", "text": "hello\n"}])
        hello
    """

    def __init__(self) -> None:
        self._ids: dict[str, str] = {}

    def say(self, events: Iterable[dict[str, Any]]) -> None:
        """Says each event; kinds that are no output (states, progress) are passed over."""
        said = False
        for event in events:
            said = True
            kind = event.get("t")
            if kind == "stdout":
                sys.stdout.write(str(event.get("text", "")))
            elif kind == "stderr":
                sys.stderr.write(str(event.get("text", "")))
            elif kind in ("display", "update_display", "result"):
                self._display(event, update=kind == "update_display" or bool(event.get("update")))
            elif kind == "clear":
                self._clear(bool(event.get("wait")))
        if said:
            sys.stdout.flush()

    def _display(self, event: dict[str, Any], *, update: bool) -> None:
        data = event.get("data") or {}
        shell = _shell()
        if shell is None:
            if "text/plain" in data:
                sys.stdout.write(f"{data['text/plain']}\n")
            return
        old = event.get("display_id") or (event.get("transient") or {}).get("display_id")
        transient = {}
        if old:
            # A run replayed in another cell must not write into the first one's output.
            transient["display_id"] = self._ids.setdefault(str(old), uuid.uuid4().hex)
        sys.stdout.flush()
        shell.display_pub.publish(data=data, metadata=event.get("metadata") or {}, transient=transient, update=update)

    def _clear(self, wait: bool) -> None:
        shell = _shell()
        if shell is not None:
            shell.display_pub.clear_output(wait=wait)


def _shell() -> Any:
    """The running IPython, or None; never the reason why IPython is imported."""
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython is not None else None
