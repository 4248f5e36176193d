"""An exception of the person's code as facts, and back as the same exception with a traceback of their own lines."""

from __future__ import annotations

import linecache
import sys
import traceback
from collections.abc import Collection, Sequence
from types import CodeType, FrameType, TracebackType
from typing import Any, Final, NoReturn

from mlstudio_lab.core.errors import NotFound, RunFailed, StudioError
from mlstudio_lab.wire.task import Failure, Payload

_MOST_MESSAGE: Final = 4_000
_MOST_TRACEBACK: Final = 64_000
_MOST_FRAMES: Final = 200


def to_failure(exc: BaseException, files: Collection[str], code: Any = None, blobs: Any = None, *, by: str = "code") -> Failure:
    """What is kept of an exception; its pickled form only when it can be made again from it.

    Args:
        exc: The exception, with its traceback.
        files: File names of the person's own code.
        code: The run's `CodeRefs`, None when its exception cannot be of the person's own class.
        blobs: Where an exception that carries frames or arrays puts them.
        by: "code" for the person's exception, "worker" for what runs it.
    """
    own = _own_frames(exc.__traceback__, files)
    return Failure(
        type=_qualified(type(exc)),
        message=_text(exc)[:_MOST_MESSAGE],
        frames=own,
        payload=_packed(exc, files, code, blobs) if by == "code" else None,
        by=by,
        traceback=_formatted(exc)[-_MOST_TRACEBACK:],
    )


def rebuild(failure: Failure, code: Any = None, blobs: Any = None) -> BaseException:
    """The exception a failure was made of, or a `RunFailed` with its type and message; its traceback shows the person's lines.

    Args:
        failure: What was kept.
        code: The `CodeRefs` of this process, so that the person's own exception class is the live one.
        blobs: Where an exception that carries frames or arrays has them.
    """
    exc = _unpacked(failure, code, blobs)
    if exc is None:
        message = f"{failure.type.removeprefix('builtins.')}: {failure.message}" if failure.message else failure.type
        exc = RunFailed(message, subject=failure.type)
    return exc.with_traceback(_traceback(failure.frames))


def raise_failure(failure: Failure, code: Any = None, blobs: Any = None) -> NoReturn:
    """Raises the person's exception again, as if their lines had run here.

    Args:
        failure: What was kept.
        code: The `CodeRefs` of this process.
        blobs: Where an exception that carries frames or arrays has them.

    Raises:
        BaseException: The person's own, or `RunFailed` when it could not be carried.

    Example:
        >>> raise_failure(Failure("builtins.ValueError", "no rows"))
        Traceback (most recent call last):
        mlstudio_lab.core.errors.RunFailed: ValueError: no rows
    """
    raise rebuild(failure, code, blobs)


def _own_frames(tb: TracebackType | None, files: Collection[str]) -> list[list[Any]]:
    frames: list[list[Any]] = []
    while tb is not None:
        code = tb.tb_frame.f_code
        if code.co_filename in files:
            source = linecache.getline(code.co_filename, tb.tb_lineno).strip()[:500]
            frames.append([code.co_filename, tb.tb_lineno, code.co_name, source, code.co_firstlineno])
        tb = tb.tb_next
    # Endless recursion: its ends tell the story.
    return frames if len(frames) <= _MOST_FRAMES else frames[: _MOST_FRAMES // 2] + frames[-_MOST_FRAMES // 2 :]


def _qualified(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _text(exc: BaseException) -> str:
    try:
        return str(exc)
    except Exception:  # noqa: BLE001 — a person's own __str__ may raise anything
        return f"<{type(exc).__name__} whose text cannot be made>"


def _formatted(exc: BaseException) -> str:
    try:
        return "".join(traceback.format_exception(exc))
    except Exception:  # noqa: BLE001 — formatting calls the person's __str__ and __repr__
        return f"{_qualified(type(exc))}: {_text(exc)}"


def _packed(exc: BaseException, files: Collection[str], code: Any, blobs: Any) -> dict[str, Any] | None:
    """The exception with its causes as a payload, tried out; None when it cannot be made again."""
    if blobs is None:
        return None
    try:
        from mlstudio_lab.calling.chains import pack_chain

        payload = pack_chain(exc, _refs(code), blobs, lambda tb: _own_frames(tb, files))
    except Exception:  # noqa: BLE001 — pickling runs the person's own __reduce__ and constructors
        return None
    return None if payload is None else payload.to_json()


def _unpacked(failure: Failure, code: Any, blobs: Any) -> BaseException | None:
    if failure.payload is None:
        return _own_error(failure)
    try:
        from mlstudio_lab.calling.chains import unpack_chain
        from mlstudio_lab.data.graph import unpack

        store: Any = blobs if blobs is not None else _NoBlobs()
        values = unpack(Payload.from_json(failure.payload), store, _refs(code)).values
        if "chain" in values:
            return unpack_chain(values["chain"], _traceback)
    except Exception:  # noqa: BLE001 — unpickling runs the person's own constructors
        return None
    # As runs were recorded by earlier versions.
    exc, cause = values.get("exception"), values.get("cause")
    if not isinstance(exc, BaseException):
        return None
    if isinstance(cause, BaseException):
        exc.__cause__ = cause
    exc.__suppress_context__ = bool(values.get("suppress"))
    return exc


def _own_error(failure: Failure) -> BaseException | None:
    """An error of this project by its class, when that is what a failure names."""
    module, _, name = failure.type.rpartition(".")
    cls = getattr(sys.modules.get(module), name, None) if module == StudioError.__module__ else None
    return cls(failure.message) if isinstance(cls, type) and issubclass(cls, StudioError) else None


def _refs(code: Any) -> Any:
    if code is not None:
        return code
    from mlstudio_lab.data.code_refs import NoCode

    return NoCode()


class _NoBlobs:
    """Stands where an exception needs no blobs."""

    def open(self, digest: str) -> Any:
        raise NotFound(f"no blob {digest[:12]} here", subject=digest)


def _traceback(frames: Sequence[Sequence[Any]]) -> TracebackType | None:
    tb: TracebackType | None = None
    for file, line, function, _, *more in reversed(frames):
        first = int(more[0]) if more else 1 if function == "<module>" else int(line)
        frame, lasti = _frame(str(file), int(line), str(function), first)
        tb = TracebackType(tb, frame, lasti, int(line))
    return tb


class _Stop(Exception):
    """Ends the code of a made frame."""


def _frame(file: str, line: int, function: str, first: int) -> tuple[FrameType, int]:
    """A finished frame that says it was `function`, which begins at `first`, at `line` of `file`.

    Source of the method: tblib; frames cannot be constructed, so a one-statement code object with another name runs once.
    """
    line = max(line, 1)
    first = min(max(first, 1), line)
    code: CodeType = compile("\n" * (line - first) + "raise stop", file, "exec")
    code = code.replace(co_name=function, co_qualname=function, co_firstlineno=first)
    try:
        exec(code, {"stop": _Stop, "__name__": "__main__", "__file__": file})
    except _Stop as stop:
        tb = stop.__traceback__
        assert tb is not None and tb.tb_next is not None
        return tb.tb_next.tb_frame, tb.tb_next.tb_lasti
    raise AssertionError("a made frame did not stop")
