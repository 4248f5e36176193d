"""What code writes below Python, to the file descriptors 1 and 2, brought onto the stage of the run that goes on."""

from __future__ import annotations

import codecs
import ctypes
import os
import select
import threading
from typing import Final

from mlstudio_lab.calling.stage import Stage

_CHUNK: Final = 1 << 16


class Descriptors:
    """Takes over the process's descriptors 1 and 2 for good; text written outside of a run goes where they led before."""

    def __init__(self) -> None:
        self._kinds: dict[int, tuple[str, int]] = {}
        self._decoders: dict[int, codecs.IncrementalDecoder] = {}
        self._stage: Stage | None = None
        self._lock = threading.Lock()
        self._libc = ctypes.CDLL(None)
        for number, kind in ((1, "stdout"), (2, "stderr")):
            kept = os.dup(number)
            reading, writing = os.pipe()
            os.dup2(writing, number)
            os.close(writing)
            os.set_blocking(reading, False)
            self._kinds[reading] = (kind, kept)
            self._decoders[reading] = codecs.getincrementaldecoder("utf-8")("replace")
        self.thread = threading.Thread(target=self._run, name="mlstudio-descriptors", daemon=True)
        self.thread.start()

    def begin(self, stage: Stage) -> None:
        """Text goes to this stage from now on."""
        with self._lock:
            self._stage = stage

    def end(self, stage: Stage) -> None:
        """Brings in what is still underway, then no more for this stage."""
        self._libc.fflush(None)
        with self._lock:
            self._drain()
            self._stage = None

    def _run(self) -> None:
        while True:
            select.select(list(self._kinds), [], [])
            with self._lock:
                self._drain()

    def _drain(self) -> None:
        for reading, (kind, kept) in self._kinds.items():
            while True:
                try:
                    data = os.read(reading, _CHUNK)
                except BlockingIOError:
                    break
                if not data:
                    break
                if self._stage is not None:
                    self._stage.write(kind, self._decoders[reading].decode(data))
                else:
                    os.write(kept, data)
