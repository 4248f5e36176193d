"""What a run says, in order: both text streams, displays and figures; streamed as it comes, kept within bounds."""

from __future__ import annotations

import io
import sys
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, Final

MOST_BYTES: Final = 8 << 20
"""Output beyond this is neither streamed nor kept; a notice says so."""

_GATHER_S: Final = 0.02
_GATHER_CHARS: Final = 16_384

Emit = Callable[[dict[str, Any]], None]


class Stage:
    r"""Collects a run's output and hands it on in order.

    Within its block `sys.stdout` and `sys.stderr` are its own, and `display` of IPython comes here. Text is gathered for
    at most 20 ms or 16 kB before it is handed on, so a loop of small prints costs few messages.

    Args:
        emit: Takes each event: {"t": "stdout"|"stderr", "text"}, {"t": "display", "data", "metadata", "display_id",
            "update"}, {"t": "result", "data", "metadata"}, {"t": "clear", "wait"}, {"t": "progress", …}. Called from
            any thread.
        through: Also let text reach the streams that stood before (the kernel's own).

    Example:
        >>> events = []
        >>> with Stage(events.append) as stage: print("hello")
        >>> stage.log
        [{'t': 'stdout', 'text': 'hello\\n'}]
    """

    def __init__(self, emit: Emit, *, through: bool = False) -> None:
        self._emit = emit
        self._through = through
        self._lock = threading.RLock()
        self._kind = ""
        self._parts: list[str] = []
        self._chars = 0
        self._bytes = 0
        self._full = False
        self._log: list[dict[str, Any]] = []
        self._text: list[str] = []
        self._text_kind = ""
        self._open = False
        self._before: tuple[Any, Any] = (None, None)

    def __enter__(self) -> Stage:
        self._before = (sys.stdout, sys.stderr)
        self._open = True
        _open_stages.append(self)
        sys.stdout, sys.stderr = _streams
        return self

    def __exit__(self, *_: object) -> None:
        sys.stdout, sys.stderr = self._before
        _open_stages.remove(self)
        self.flush()
        self._open = False

    @property
    def log(self) -> list[dict[str, Any]]:
        """Every event so far, neighbouring text of one stream joined."""
        with self._lock:
            self.flush()
            self._close_text()
            return list(self._log)

    def write(self, kind: str, text: str) -> None:
        """Takes text of one stream; after the run it is dropped, whoever still prints."""
        with self._lock:
            if not self._open or self._full or not text:
                return
            if kind != self._kind:
                self.flush()
                self._kind = kind
            first = not self._parts
            self._parts.append(text)
            self._chars += len(text)
            if self._chars >= _GATHER_CHARS:
                self.flush()
                return
        if first:
            _flusher.wake(self)

    def event(self, event: dict[str, Any], size: int = 64) -> None:
        """Takes any other event, after the text before it."""
        with self._lock:
            self.flush()
            if not self._open or self._full:
                return
            self._count(size)
            if not self._full:
                self._close_text()
                self._log.append(event)
                self._emit(event)

    def display(
        self,
        data: dict[str, Any],
        metadata: dict[str, Any] | None = None,
        *,
        kind: str = "display",
        display_id: str = "",
        update: bool = False,
    ) -> None:
        """Takes a mimebundle; bytes in it become base64 text."""
        clean = {mime: _plain(value) for mime, value in data.items()}
        event: dict[str, Any] = {"t": kind, "data": clean, "metadata": metadata or {}}
        if display_id:
            event["display_id"] = display_id
        if update:
            event["update"] = True
        self.event(event, sum(len(v) if isinstance(v, str) else 256 for v in clean.values()))

    def clear(self, wait: bool = False) -> None:
        """Takes a `clear_output`."""
        self.event({"t": "clear", "wait": wait})

    def progress(self, done: float, total: float, text: str = "") -> None:
        """Takes how far the work is."""
        self.event({"t": "progress", "done": done, "total": total, "text": text})

    def flush(self) -> None:
        """Hands on the text gathered so far."""
        with self._lock:
            if not self._parts:
                return
            text, kind = "".join(self._parts), self._kind
            self._parts.clear()
            self._chars = 0
            room = MOST_BYTES - self._bytes
            self._count(len(text))
            if self._full:
                text = text[: max(room, 0)]
            if text:
                self._say(kind, text)
            if self._full:
                self._say("stderr", f"\n[output beyond {MOST_BYTES >> 20} MB is not kept]\n")

    def _count(self, size: int) -> None:
        self._bytes += size
        self._full = self._bytes > MOST_BYTES

    def _say(self, kind: str, text: str) -> None:
        if kind != self._text_kind:
            self._close_text()
            self._text_kind = kind
        self._text.append(text)
        self._emit({"t": kind, "text": text})

    def _close_text(self) -> None:
        if self._text:
            self._log.append({"t": self._text_kind, "text": "".join(self._text)})
            self._text.clear()
        self._text_kind = ""


def _plain(value: Any) -> Any:
    if isinstance(value, (bytes, bytearray)):
        import base64

        return base64.b64encode(value).decode()
    return value


_open_stages: Final[list[Stage]] = []


class _Stream(io.TextIOBase):
    """A text stream of the process that writes on whatever stage is open.

    One for good: a log handler that keeps the stream of one run must not fall silent in the next.
    """

    encoding = "utf-8"
    errors = "replace"

    def __init__(self, number: int) -> None:
        self._number = number
        self._kind = ("stdout", "stderr")[number]
        self.name = f"<{self._kind}>"
        self.buffer = _Bytes(self)

    def write(self, text: str, /) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        below = self._below()
        if _open_stages:
            _open_stages[-1].write(self._kind, text)
        if below is not None:
            below.write(text)
        return len(text)

    def writelines(self, lines: Iterable[str], /) -> None:  # type: ignore[override]
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        if (below := self._below()) is not None:
            below.flush()

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return False

    def fileno(self) -> int:
        return self._number + 1

    def _below(self) -> Any:
        """The stream text also goes to: the notebook's when it is let through, the process's own outside of a run."""
        if not _open_stages:
            return (sys.__stdout__, sys.__stderr__)[self._number]
        stage = _open_stages[-1]
        return stage._before[self._number] if stage._through else None


class _Bytes(io.RawIOBase):
    """The bytes door of a text stream."""

    def __init__(self, stream: _Stream) -> None:
        self._stream = stream

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        raw = bytes(data)
        self._stream.write(raw.decode("utf-8", "replace"))
        return len(raw)


_streams: Final = (_Stream(0), _Stream(1))


class _Flusher:
    """One sleeping thread of the process that hands on text when its 20 ms are over."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._due: list[tuple[float, Stage]] = []
        self._thread: threading.Thread | None = None

    def wake(self, stage: Stage) -> None:
        with self._changed:
            self._due.append((time.monotonic() + _GATHER_S, stage))
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="mlstudio-output", daemon=True)
                self._thread.start()
            elif len(self._due) == 1:
                self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._due:
                    self._changed.wait()
                at, stage = self._due.pop(0)
            pause = at - time.monotonic()
            if pause > 0:
                time.sleep(pause)
            try:
                stage.flush()
            except OSError:
                # Whoever listened is gone; the run itself goes on and its outcome is durable.
                continue


_flusher = _Flusher()
