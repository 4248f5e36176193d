"""What a run changes in its process that a notebook would keep: options, warning filters, environment, folder, import path."""

from __future__ import annotations

import os
import sys
import warnings
from typing import Any, Final

from mlstudio_lab.calling import options

_NAMES: Final = {
    "filters": "the warning filters", "cwd": "the working directory", "path": "sys.path", "recursion": "the recursion limit",
}  # fmt: skip


class SessionState:
    """Compares a process's session state before and after the person's code; what imports change does not count.

    The kernel imports what a cell imports, so whatever a library sets up for itself is set up there too.

    Example:
        >>> state = SessionState(); state.begin(); os.environ["NEW_ONE"] = "1"; state.changed()
        'the environment variable NEW_ONE'
    """

    def __init__(self) -> None:
        self._before: dict[str, Any] | None = None

    def begin(self) -> None:
        """The person's code begins."""
        self._before = self.take()

    def take(self) -> dict[str, Any]:
        """The state now; about 50 microseconds."""
        held: Any = getattr(os.environ, "_data", os.environ)
        return {
            "options": options.take(),
            "env": dict(held),
            "filters": list(warnings.filters),
            "cwd": _folder(),
            "path": list(sys.path),
            "recursion": sys.getrecursionlimit(),
        }

    def excuse(self, before: dict[str, Any]) -> None:
        """What has changed since `before` counts as there from the beginning.

        Args:
            before: What `take` gave.
        """
        base = self._before
        if base is None:
            return
        for part, now in self.take().items():
            was = before[part]
            if now == was:
                continue
            if isinstance(now, dict):
                for key in now.keys() | was.keys():
                    if now.get(key) != was.get(key):
                        base[part] = {**base[part], key: now[key]} if key in now else {k: v for k, v in base[part].items() if k != key}
            elif base[part] == was:
                base[part] = now

    def changed(self) -> str:
        """What of the session is not as it was, for people; "" when all is."""
        before = self._before
        if before is None:
            return ""
        now = self.take()
        if now == before:
            return ""
        for part, name in _NAMES.items():
            if now[part] != before[part]:
                return name
        for key in (*now["options"], *before["options"]):
            if now["options"].get(key) != before["options"].get(key):
                return f"the options of {key}"
        names = sorted(os.fsdecode(k) for k in now["env"].keys() | before["env"].keys() if now["env"].get(k) != before["env"].get(k))
        return f"the environment variable {names[0]}" if names else ""


def _folder() -> str:
    try:
        return os.getcwd()
    except OSError:
        return ""
