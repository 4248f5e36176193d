"""Stopping the person's code from outside: on request, when its time is over, when its memory is."""

from __future__ import annotations

import ctypes
import os
import signal
import threading
from collections.abc import Callable
from typing import Any, Final

_LOOK_S: Final = 0.05
_GRACE_S: Final = 2.0
"""How long code that was asked to stop may take before its process is given up."""


class Interrupt:
    """One run's way to be stopped; `armed` only while the person's code runs.

    On the main thread SIGINT is sent, which also ends `time.sleep` and input; on another thread Python raises at the
    next instruction. KeyboardInterrupt is raised at most once a run, whoever asks how often.

    Attributes:
        reason: "cancel", "time" or "memory" once asked, else "".
    """

    def __init__(self) -> None:
        self.reason = ""
        self._thread = threading.get_ident()
        self._armed = False
        self._raised = False
        self._lock = threading.Lock()

    def __enter__(self) -> Interrupt:
        global _current
        self._thread = threading.get_ident()
        _current = self
        self._armed = True
        if self.reason:
            self.handle()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        global _current
        self._armed = False
        _current = None
        with self._lock:
            if self._raised and kind is not KeyboardInterrupt:
                # An exception that was set for this thread and not raised yet must not reach our own code.
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._thread), None)

    def ask(self, reason: str) -> None:
        """Asks the code to stop, from any thread."""
        with self._lock:
            self.reason = self.reason or reason
            if not self._armed or self._raised:
                return
            if self._thread == threading.main_thread().ident and signal.getsignal(signal.SIGINT) in _HANDLERS:
                signal.pthread_kill(self._thread, signal.SIGINT)
            else:
                self._raised = True
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._thread), ctypes.py_object(KeyboardInterrupt))

    def handle(self) -> None:
        """What SIGINT does on the main thread.

        Raises:
            KeyboardInterrupt: The code runs and was not interrupted yet.
        """
        if self._armed and not self._raised:
            self._raised = True
            self.reason = self.reason or "cancel"
            raise KeyboardInterrupt


_current: Interrupt | None = None


def on_sigint(*_: object) -> None:
    """The signal handler of a worker: stops what runs, ignored while nothing does.

    Raises:
        KeyboardInterrupt: Code runs.
    """
    if _current is not None:
        _current.handle()


_HANDLERS: Final = (on_sigint, signal.default_int_handler)
"""SIGINT handlers that raise KeyboardInterrupt; another's (a Ray worker's) may do anything."""


class Limits:
    """Watches a run's time and memory from a thread of its own; no thread when there are no limits.

    Args:
        interrupt: How to stop the code.
        timeout_s: Seconds, 0 for no limit.
        memory_bytes: Resident bytes of this process, 0 for no limit.
        give_up: Called with the reason when the code has not stopped two seconds after it was asked; ends the process.
    """

    def __init__(self, interrupt: Interrupt, timeout_s: float, memory_bytes: int, give_up: Callable[[str], None] | None = None) -> None:
        self._interrupt = interrupt
        self._timeout_s = timeout_s
        self._memory_bytes = memory_bytes
        self._give_up = give_up
        self._done = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Limits:
        if self._timeout_s or self._memory_bytes:
            self._thread = threading.Thread(target=self._watch, name="mlstudio-limits", daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()

    def _watch(self) -> None:
        reason = self._wait()
        if not reason:
            return
        self._interrupt.ask(reason)
        if not self._done.wait(_GRACE_S) and self._give_up is not None:
            self._give_up(reason)

    def _wait(self) -> str:
        if not self._memory_bytes:
            return "" if self._done.wait(self._timeout_s) else "time"
        left = self._timeout_s or float("inf")
        while not self._done.wait(min(_LOOK_S, left)):
            left -= _LOOK_S
            if left <= 0:
                return "time"
            if resident_bytes() > self._memory_bytes:
                return "memory"
        return ""


_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


def resident_bytes() -> int:
    """Resident memory of this process.

    Example:
        >>> resident_bytes() > 0
        True
    """
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * _PAGE
    except OSError:
        return peak_bytes()


def forget_peak() -> None:
    """Starts the measurement of the peak anew, where the system can."""
    try:
        with open("/proc/self/clear_refs", "wb") as file:
            file.write(b"5")
    except OSError:
        return


def peak_bytes() -> int:
    """Peak resident memory of this process, since `forget_peak` where the system can tell."""
    try:
        with open("/proc/self/status", "rb") as file:
            for line in file:
                if line.startswith(b"VmHWM:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    import resource

    found: Any = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(found) * (1 if os.uname().sysname == "Darwin" else 1024)
