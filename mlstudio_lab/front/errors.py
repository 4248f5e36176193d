"""How errors look in a notebook: ours as one block, the person's with their own lines only."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from mlstudio_lab.core.errors import StudioError

_PACKAGE: Final = str(Path(__file__).resolve().parent.parent)
_WAITING: Final = frozenset(str(Path(_PACKAGE) / "client" / name) for name in ("waiting.py", "transport.py"))
_RED: Final = "\x1b[31m"
_PLAIN: Final = "\x1b[0m"


def block(error: StudioError) -> list[str]:
    """The lines a notebook shows for an error of this project: what failed, on what, and one next step.

    Example:
        >>> block(StudioError("no module a/x", "a/x", "did you mean a/b?"))[-1]
        '  did you mean a/b?'
    """
    kind = type(error).__name__
    subject = f" [{error.subject}]" if error.subject and error.subject not in error.message else ""
    lines = [f"{_RED}{kind}{_PLAIN}{subject}: {error.message}"]
    return [*lines, f"  {error.hint}"] if error.hint else lines


def render_ours() -> None:
    """Lets IPython show every StudioError as its block, without the frames of this package."""
    setattr(StudioError, "_render_traceback_", block)  # noqa: B010 — a face's hook on a class of core


def show_own_lines(shell: Any, error: BaseException) -> None:
    """Lets IPython show a person's exception without the frames of this package and of the magic machinery.

    Args:
        shell: The running IPython.
        error: The exception on its way out of a magic.
    """
    if isinstance(error, StudioError):
        return
    if isinstance(error, KeyboardInterrupt):
        if _waited(error.__traceback__):
            error._render_traceback_ = lambda: [f"{_RED}KeyboardInterrupt{_PLAIN}: the run was asked to stop"]  # type: ignore[attr-defined]
        return
    own = person_frames(error.__traceback__)

    def render() -> list[str]:
        lines: list[str] = shell.InteractiveTB.structured_traceback(type(error), error, own, tb_offset=0)
        return lines

    try:
        error._render_traceback_ = render  # type: ignore[attr-defined]
    except AttributeError:
        return  # an exception with __slots__ is shown with all its frames


def _waited(traceback: TracebackType | None) -> bool:
    """Whether the client was waiting for a run, so that nothing of the person's own was interrupted here."""
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename in _WAITING:
            return True
        traceback = traceback.tb_next
    return False


def person_frames(traceback: TracebackType | None) -> TracebackType | None:
    """A traceback without the frames of this package, of IPython and of what they call on the way; None when none is left.

    Example:
        >>> person_frames(None) is None
        True
    """
    import IPython

    ours = (_PACKAGE, str(Path(IPython.__file__).resolve().parent))
    kept = []
    while traceback is not None:
        if not traceback.tb_frame.f_code.co_filename.startswith(ours):
            kept.append(traceback)
        traceback = traceback.tb_next
    chain: TracebackType | None = None
    for one in reversed(kept):
        chain = TracebackType(chain, one.tb_frame, one.tb_lasti, one.tb_lineno)
    return chain


def kind_of_failure(failure: Mapping[str, Any]) -> str:
    """What failed a run, as people know it: the exception's type, ours and Python's own without their modules.

    Example:
        >>> kind_of_failure({"type": "builtins.ValueError"}), kind_of_failure({"type": "polars.exceptions.ComputeError"})
        ('ValueError', 'polars.exceptions.ComputeError')
    """
    return str(failure["type"]).removeprefix("builtins.").removeprefix("mlstudio_lab.core.errors.")
