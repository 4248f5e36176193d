"""The ledger: one thread writes, committing together what came together; any thread reads."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import queue
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from mlstudio_lab.blobs.disk import make_folder, storage
from mlstudio_lab.core.clock import Clock
from mlstudio_lab.core.errors import BadInput, Conflict, NotFound, Unavailable
from mlstudio_lab.ledger.connection import Connection
from mlstudio_lab.ledger.places import MOUNTS, check_local
from mlstudio_lab.ledger.schema import bring_up, check_readable, connect, sqlite_storage, storage_error

T = TypeVar("T")

FILE: Final = "ledger.db"
MOST_TOGETHER: Final = 512
"""Writes in one commit at most, so that the first of a flood is not kept waiting by the last."""
SOON_S: Final = 0.5
"""How long `write_soon` may wait for company; the law says one second."""


class _Job:
    """A function to run inside the next transaction, and where its result goes."""

    __slots__ = ("error", "fn", "future", "result", "soon")

    def __init__(self, fn: Callable[[Connection], Any], soon: bool) -> None:
        self.fn = fn
        self.soon = soon
        self.future: Future[Any] = Future()
        self.result: Any = None
        self.error: BaseException | None = None

    def settle(self, error: BaseException | None) -> None:
        if error is not None:
            self.future.set_exception(error)
        else:
            self.future.set_result(self.result)


class _Savepoint:
    """Keeps one job's failure from touching the others of its transaction: the job is undone and carries the error."""

    __slots__ = ("job", "raw")

    def __init__(self, raw: sqlite3.Connection, job: _Job) -> None:
        self.raw = raw
        self.job = job

    def __enter__(self) -> None:
        self.raw.execute("SAVEPOINT job")

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> bool:
        self.job.error = error
        if self.raw.in_transaction:
            if error is not None:
                self.raw.execute("ROLLBACK TO job")
            self.raw.execute("RELEASE job")
        return True


class Ledger:
    """Everything remembered in one home.

    Open it with `Ledger.open`; there is one writer per folder at a time, also across processes.

    Example:
        >>> import tempfile
        >>> from mlstudio_lab.ledger import events
        >>> from mlstudio_lab.testing import FakeClock
        >>> clock = FakeClock()
        >>> with Ledger.open(Path(tempfile.mkdtemp()), clock) as ledger:
        ...     ledger.write(lambda c: events.append(c, "run", "01", {"state": "queued"}, clock.now())).result()
        1
    """

    def __init__(self, folder: Path, clock: Clock, lock: int | None) -> None:
        self.folder = folder
        self.path = folder / FILE
        self.clock = clock
        self._lock = lock
        self._idle: deque[sqlite3.Connection] = deque()
        self._closed = False
        self._closing = threading.Lock()
        self._pending: deque[_Job] = deque()
        self._asleep = False
        self._bell: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._writer: sqlite3.Connection | None = None
        self._numbers = itertools.count(1)
        self._thread: threading.Thread | None = None

    @classmethod
    def open(cls, folder: Path, clock: Clock, *, writing: bool = True, mounts: Path = MOUNTS) -> Self:
        """The ledger in a folder, made or migrated as needed.

        Args:
            folder: Made when missing; must be on a local disk.
            clock: Tells the time for backups.
            writing: False opens one that is there for reading only, also beside a studio that writes it.
            mounts: Linux's list of mounts.

        Raises:
            StorageFailed: The folder is on a network file system, read-only or full.
            Incompatible: The ledger was written by a newer studio.
            Conflict: Another process writes this ledger.
            NotFound: There is none, and `writing` is False.
            Corrupt: The file is not a database any more.
        """
        folder = folder.absolute()
        if not writing:
            return cls._open_reading(folder, clock)
        check_local(folder, mounts)
        with storage(folder):
            make_folder(folder)
            lock = _lock(folder)
        try:
            bring_up(folder / FILE, clock.now())
            ledger = cls(folder, clock, lock)
            with sqlite_storage(ledger.path):
                highest = ledger._connect_writer().execute("SELECT coalesce(max(number), 0) FROM runs").fetchone()[0]
        except BaseException:
            os.close(lock)
            raise
        ledger._numbers = itertools.count(highest + 1)
        ledger._thread = threading.Thread(target=ledger._write_loop, name="ledger-writer", daemon=True)
        ledger._thread.start()
        return ledger

    @classmethod
    def _open_reading(cls, folder: Path, clock: Clock) -> Self:
        ledger = cls(folder, clock, None)
        if not ledger.path.is_file():
            raise NotFound(f"no ledger in {folder}", subject=str(folder), hint="start the studio once: mlstudio up")
        with sqlite_storage(ledger.path):
            raw = connect(ledger.path, writing=False)
            ledger._idle.append(raw)
            check_readable(raw, ledger.path)
        return ledger

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def next_run_number(self) -> int:
        """A run number nobody else gets; one that is never written leaves a gap until the next start."""
        return next(self._numbers)

    def write(self, fn: Callable[[Connection], T]) -> Future[T]:
        """Runs a function in the next transaction; the future resolves when its effects survive power loss.

        Args:
            fn: Takes the connection. When it raises, its own effects alone are undone and the future carries its error;
                when the commit fails, the future carries `StorageFailed` and nothing was stored.

        Raises:
            Unavailable: The ledger is closed.
        """
        return self._enqueue(fn, soon=False)

    def write_soon(self, fn: Callable[[Connection], T]) -> Future[T]:
        """As `write`, but waits up to a second for company; only for what may be lost, such as that a memo was hit.

        Args:
            fn: Takes the connection.

        Raises:
            Unavailable: The ledger is closed.
        """
        return self._enqueue(fn, soon=True)

    def read(self, fn: Callable[[Connection], T]) -> T:
        """What a function reads from one unchanging state of the ledger: all that was acknowledged before the call.

        Args:
            fn: Takes a connection that cannot write.

        Raises:
            Unavailable: The ledger is closed.
            StorageFailed: The file cannot be read.
            Corrupt: The file is damaged.
        """
        if self._closed:
            raise self._is_closed()
        try:
            raw = self._idle.pop()
        except IndexError:
            with sqlite_storage(self.path):
                raw = connect(self.path, writing=False)
        try:
            raw.execute("BEGIN")
            return fn(Connection(raw, _no_number))
        except sqlite3.Error as error:
            ours = storage_error(error, self.path)
            if ours is None:
                raise
            raise ours from error
        finally:
            if raw.in_transaction:
                raw.execute("ROLLBACK")
            if self._closed:
                raw.close()
            else:
                self._idle.append(raw)

    def flush(self) -> None:
        """Returns when everything written before, also soon, is stored; for readers that must see a hit's record."""
        if self._thread is not None and not self._closed:
            self.write(lambda _c: None).result()

    def close(self) -> None:
        """Stores what is queued and lets the folder go; closing twice does nothing."""
        with self._closing:
            if self._closed:
                return
            self._closed = True
            self._bell.put(None)
        if self._thread is not None:
            self._thread.join()
        while self._idle:
            self._idle.pop().close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _is_closed(self) -> Unavailable:
        return Unavailable("the ledger is closed", subject=str(self.path), hint="start the studio: mlstudio up")

    def _enqueue(self, fn: Callable[[Connection], T], *, soon: bool) -> Future[T]:
        if self._thread is None and not self._closed:
            raise BadInput("this ledger was opened for reading", subject=str(self.path))
        job = _Job(fn, soon)
        # Under the lock so that no job can follow the writer's last one.
        with self._closing:
            if self._closed:
                raise self._is_closed()
            self._pending.append(job)
            # A record that may wait does not wake a writer that will look by itself: waking it costs more than the record.
            if self._asleep or not soon or len(self._pending) >= MOST_TOGETHER:
                self._asleep = False
                self._bell.put(None)
        return job.future

    def _connect_writer(self) -> sqlite3.Connection:
        if self._writer is None:
            self._writer = connect(self.path, writing=True)
        return self._writer

    def _write_loop(self) -> None:
        waiting: list[_Job] = []
        until = 0.0
        while True:
            with self._closing:
                while self._pending and len(waiting) < MOST_TOGETHER:
                    waiting.append(self._pending.popleft())
                    if len(waiting) == 1:
                        until = time.monotonic() + SOON_S
                last = self._closed
                self._asleep = not waiting
            if not waiting:
                if last:
                    break
                self._bell.get()
            elif last or len(waiting) >= MOST_TOGETHER or any(not job.soon for job in waiting) or time.monotonic() >= until:
                self._commit_together(waiting)
                waiting = []
            else:
                with contextlib.suppress(queue.Empty):
                    self._bell.get(timeout=max(0.0, until - time.monotonic()))
        if self._writer is not None:
            self._writer.close()

    def _commit_together(self, jobs: list[_Job]) -> None:
        jobs = [job for job in jobs if job.future.set_running_or_notify_cancel()]
        refusal: BaseException | None = None
        try:
            raw = self._connect_writer()
            raw.execute("BEGIN IMMEDIATE")
            connection = Connection(raw, self.next_run_number)
            for job in jobs:
                with _Savepoint(raw, job):
                    job.result = job.fn(connection)
                if not raw.in_transaction:
                    # SQLite gives up the whole transaction by itself on a full disk or a failed read.
                    refusal = self._refusal(job.error)
                    break
            else:
                raw.execute("COMMIT")
        except sqlite3.Error as error:
            refusal = self._refusal(error)
        if refusal is not None:
            self._give_up_connection()
        for job in jobs:
            job.settle(refusal or self._refusal(job.error))

    def _refusal(self, error: BaseException | None) -> BaseException | None:
        if not isinstance(error, sqlite3.Error):
            return error
        ours = storage_error(error, self.path)
        if ours is None:
            return error
        ours.__cause__ = error
        return ours

    def _give_up_connection(self) -> None:
        """After a failure of the disk the next batch starts with a fresh connection: no state is trusted."""
        if self._writer is not None:
            with contextlib.suppress(sqlite3.Error):
                self._writer.close()
            self._writer = None


def _no_number() -> int:
    raise BadInput("a reading connection gives no run numbers", subject="ledger")


def _lock(folder: Path) -> int:
    fd = os.open(folder / "writer.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise Conflict(
            f"another process writes the ledger in {folder}", subject=str(folder), hint="stop the other studio: mlstudio down"
        ) from None
    except OSError:
        os.close(fd)
        raise
    return fd
