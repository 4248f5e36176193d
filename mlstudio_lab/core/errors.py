"""Every refusal people meet: what failed, on which named thing, what was expected, and one next step.

Each class carries a stable `code`; `STATUS` is the one table from codes to HTTP. Browsers and scripts branch on codes,
never on messages.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Final


class StudioError(Exception):
    """The base of every error this project raises on purpose.

    Args:
        message: What failed and what was expected, as one sentence.
        subject: The named thing it failed on.
        hint: One next step.

    Example:
        >>> str(NotFound("no module flights/dely", subject="flights/dely", hint="did you mean flights/delay?"))
        'no module flights/dely (did you mean flights/delay?)'
    """

    code = "studio_error"

    def __init__(self, message: str, subject: str = "", hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.subject = subject
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (self.message, self.subject, self.hint))


class BadName(StudioError, ValueError):
    """A name or reference that cannot name anything."""

    code = "bad_name"


class BadInput(StudioError, ValueError):
    """A value, argument or option that does not fit what was asked for."""

    code = "bad_input"


class BadArgument(BadInput, TypeError):
    """A call whose arguments do not fit the function; a `TypeError` too, as Python's own is."""


class NotFound(StudioError, LookupError):
    """A name that names nothing here, or nothing this person may see."""

    code = "not_found"


class CaptureRefused(StudioError, ValueError):
    """Source that cannot be made a module faithfully; the message has the line, the hint has the fix."""

    code = "capture_refused"


class CannotCross(StudioError, TypeError):
    """A value that cannot be carried to another process or digested; the subject is its name and type."""

    code = "cannot_cross"


class Conflict(StudioError, RuntimeError):
    """Somebody was faster, or the thing is in a state in which this cannot be done."""

    code = "conflict"


class Denied(StudioError, PermissionError):
    """A person who may not do this."""

    code = "denied"


class Unavailable(StudioError, ConnectionError):
    """The studio, an executor or a cluster does not answer."""

    code = "unavailable"


class Incompatible(StudioError, RuntimeError):
    """Two versions of our own things that do not fit: a newer ledger, another wire major, an unknown blob header."""

    code = "incompatible"


class Corrupt(StudioError, RuntimeError):
    """Stored bytes that are not what was written."""

    code = "corrupt"


class StorageFailed(StudioError, OSError):
    """A home that cannot be written: read-only, full, or on a file system that cannot hold a ledger."""

    code = "storage_failed"


class RunFailed(StudioError, RuntimeError):
    """A run whose code raised, or whose worker died; the person's own exception is the `__cause__` where it crossed."""

    code = "run_failed"


class RunCancelled(StudioError, RuntimeError):
    """A run that was stopped on request."""

    code = "run_cancelled"


class RunTimedOut(StudioError, TimeoutError):
    """A run that took longer than its `--timeout`."""

    code = "run_timed_out"


STATUS: Final[dict[str, int]] = {
    "studio_error": 500,
    "bad_name": 422,
    "bad_input": 422,
    "not_found": 404,
    "capture_refused": 422,
    "cannot_cross": 422,
    "conflict": 409,
    "denied": 403,
    "unavailable": 503,
    "incompatible": 426,
    "corrupt": 500,
    "storage_failed": 507,
    "run_failed": 500,
    "run_cancelled": 409,
    "run_timed_out": 504,
}
"""HTTP status of each error code."""

ERRORS: Final[dict[str, type[StudioError]]] = {
    cls.code: cls
    for cls in (
        StudioError, BadName, BadInput, NotFound, CaptureRefused, CannotCross, Conflict, Denied, Unavailable, Incompatible,
        Corrupt, StorageFailed, RunFailed, RunCancelled, RunTimedOut,
    )
}  # fmt: skip
"""The error class of each code, for the side that receives one."""


def near_matches(name: str, candidates: Iterable[str], most: int = 3) -> str:
    """A hint naming the closest candidates, or an empty string when none is close.

    Example:
        >>> near_matches("flights/dely", ["flights/delay", "shop/basket"])
        'did you mean flights/delay?'
    """
    found = difflib.get_close_matches(name, list(candidates), n=most, cutoff=0.6)
    return f"did you mean {' or '.join(found)}?" if found else ""
