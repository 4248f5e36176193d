"""One observation: what a run read, touched and used up."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Collection, Iterator, Mapping, MutableMapping
from types import FrameType
from typing import Any, Final

from mlstudio_lab.calling import rng
from mlstudio_lab.calling.observe import frames, paths
from mlstudio_lab.calling.observe.audit import hook
from mlstudio_lab.calling.observe.wraps import Wraps
from mlstudio_lab.calling.session_state import SessionState
from mlstudio_lab.core.memo import env_digest
from mlstudio_lab.data.files import file_digest
from mlstudio_lab.wire.task import Impurity

__all__ = ["Observer", "declared", "env_digest"]

_MOST_FILES: Final = 2_000
_THROUGH: Final = ("/os.py", "<frozen os>", "<frozen _collections_abc>", "/_collections_abc.py")
_SEED_HINT: Final = "; add --seed N to make it repeatable"


class Observer:
    """Observes the person's code within its block; nested observation is not possible in one process.

    Args:
        files: File names of the person's own code.
        home: The studio's home, whose files do not count.
        declared: Environment variables the captured code names; others read by the person's code are an impurity. None
            when nobody said which.
        seeded: The generators were seeded for this run, so using them is repeatable.
        only_new_threads: Ignore every thread that runs already (the kernel's own).
        keep: Leave wraps in place afterwards (a worker's process is ours).

    Example:
        >>> with Observer(frozenset()) as seen: open("/etc/hostname").close()
        >>> list(seen.effects()["files"])
        ['/etc/hostname']
    """

    def __init__(
        self,
        files: Collection[str],
        *,
        home: str = "",
        declared: Collection[str] | None = None,
        seeded: bool = False,
        only_new_threads: bool = False,
        keep: bool = True,
        ignored_threads: Collection[int] = (),
    ) -> None:
        self.files = frozenset(files)
        self._home = home.rstrip("/")
        self._declared = None if declared is None else frozenset(declared)
        self._seeded = {"random", "numpy", "torch", "polars"} if seeded else set()
        self._only_new = only_new_threads
        self._keep = keep
        self._ignored = frozenset(ignored_threads)
        self._reads: dict[str, tuple[str, tuple[int, ...] | None]] = {}
        self._writes: dict[str, tuple[str, int]] = {}
        self._environment: dict[str, str | None] = {}
        self._found: dict[tuple[str, str, int], Impurity] = {}
        self._saw_cwd = False
        self._listed_environment = False
        self._marks: dict[str, Any] = {}
        self._after: dict[str, Any] = {}
        self._used_before_seed: set[str] = set()
        self._wraps: Wraps | None = None
        self.session = SessionState()

    def __enter__(self) -> Observer:
        hook.install()
        ignored = self._ignored
        if self._only_new:
            ignored |= {t for t in sys._current_frames() if t != threading.get_ident()}
        self._wraps, self._keep = Wraps.for_run(self._keep)
        self._wraps.put(self)
        self._marks = rng.positions()
        hook.ignored = ignored
        hook.watcher = self
        return self

    def __exit__(self, *_: object) -> None:
        hook.watcher = None
        assert self._wraps is not None
        self._wraps.release(keep=self._keep)
        self._judge_generators()

    def refresh(self) -> None:
        """Wraps libraries that were loaded meanwhile."""
        if self._wraps is not None:
            self._wraps.put(self)

    @contextlib.contextmanager
    def in_namespace(self, namespace: MutableMapping[str, Any]) -> Iterator[None]:
        """Names bound to an unwrapped function before (`from time import time`) are bound to the wrapped one meanwhile."""
        wrapped = self._wraps.originals if self._wraps is not None else {}
        swapped = {name: value for name, value in namespace.items() if id(value) in wrapped}
        for name, value in swapped.items():
            namespace[name] = wrapped[id(value)]
        try:
            yield
        finally:
            for name, value in swapped.items():
                if namespace.get(name) is wrapped[id(value)]:
                    namespace[name] = value

    def imported(self) -> None:
        """A library was loaded by the person's code; its generator's start is where observation of it begins."""
        self.refresh()
        for name, mark in rng.positions().items():
            self._marks.setdefault(name, mark)

    # -- what hooks and wraps report ------------------------------------------------------------------------------

    def reads(self, path: str, depth: int = 1) -> None:
        """A file or folder was opened for reading."""
        if path in self._reads or path.startswith("<") or len(self._reads) >= _MOST_FILES:
            return  # "<unknown>" and the like are texts that Python tries to quote in an error
        full = os.path.abspath(path)
        if not paths.is_own(full, self._home) or full in self._writes:
            return
        if os.path.isdir(full) and frames.is_import(self.files, sys._getframe(1)):
            return  # a library looks around while it is imported
        self._reads[path] = (full, _identity(full))

    def writes(self, path: str) -> None:
        """A file was opened for writing, moved or removed."""
        full = os.path.abspath(path)
        if full not in self._writes and paths.is_own(full, self._home) and not frames.is_import(self.files, sys._getframe(1)):
            file, line, _ = frames.person_line(self.files, sys._getframe(1))
            self._writes[full] = (path, line if file else 0)

    def impure(self, what: str, detail: str, frame: FrameType | None = None) -> None:
        """Something makes the result not reusable; the line is that of the nearest frame of the person's code."""
        frame = frame or sys._getframe(1)
        if frames.is_import(self.files, frame):
            return
        _, line, _ = frames.person_line(self.files, frame)
        self._found.setdefault((what, detail, line), Impurity(what, detail, line))

    def clock(self, name: str, frame: FrameType | None) -> None:
        """A clock was read; counts when the person's code reads it, not when a library does."""
        if frames.is_person(self.files, frame):
            self.impure("clock", f"reads the clock ({name})", frame)

    def environment(self, name: str, value: str | None, frame: FrameType | None) -> None:
        """An environment variable was read; counts when the person's code reads it."""
        if self._listed_environment or not frames.is_person(self.files, frame, _THROUGH):
            return
        self._environment[name] = value
        if self._declared is not None and name not in self._declared:
            self.impure("environment", f"reads the environment variable {name} by a computed name", frame)

    def whole_environment(self, frame: FrameType | None) -> None:
        """All of the environment was listed by the person's code."""
        if frames.is_person(self.files, frame, _THROUGH):
            self._listed_environment = True
            self.impure("environment", "reads the whole environment", frame)

    def working_directory(self, frame: FrameType | None) -> None:
        """The working directory was asked for."""
        if frames.is_person(self.files, frame):
            self._saw_cwd = True

    def seeding(self, generator: str) -> None:
        """A global generator is being seeded: what it gives from now on is repeatable."""
        if generator not in self._seeded:
            if rng.positions().get(generator) != self._marks.get(generator):
                self._used_before_seed.add(generator)
            self._seeded.add(generator)

    def is_seeded(self, generator: str) -> bool:
        """Whether a generator was seeded for or within this run."""
        return generator in self._seeded

    # -- what came of it -----------------------------------------------------------------------------------------

    def effects(self) -> dict[str, Any]:
        """`files` (path as opened -> digest, "" for none), `env` (name -> digest or None), `cwd` where it counts."""
        found: dict[str, Any] = {}
        files = {}
        for path, (full, identity) in sorted(self._reads.items()):
            if full in self._writes:
                continue
            files[path] = file_digest(full)
            if _identity(full) != identity:
                self.impure("file", f"{os.path.basename(full)} changed while it was read")
        if files:
            found["files"] = files
        if self._environment:
            found["env"] = {name: env_digest(value) for name, value in sorted(self._environment.items())}
        if self._saw_cwd or any(not os.path.isabs(path) for path in files):
            found["cwd"] = os.getcwd() if self._saw_cwd else ""
        return found

    def impurities(self) -> list[Impurity]:
        """Why the result may not be reused, in order of the lines."""
        for full, (path, line) in self._writes.items():
            if os.path.lexists(full) or not paths.is_temporary(full):
                self._found.setdefault(("file", full, line), Impurity("file", f"writes {os.path.basename(path) or path}", line))
        return sorted(self._found.values(), key=lambda i: (i.line, i.what, i.detail))

    def used_generators(self) -> bool:
        """Whether a global generator's state is not what it was."""
        return self._after != self._marks

    def _judge_generators(self) -> None:
        now = self._after = rng.positions()
        for name, mark in now.items():
            if mark == self._marks.get(name) or (name not in self._marks and name in self._seeded):
                continue
            if name not in self._marks and name == "numpy":
                continue  # numpy was loaded meanwhile, its generator's start is nobody's
            if name not in self._seeded or name in self._used_before_seed:
                what = {"random": "random", "numpy": "numpy.random", "torch": "torch"}[name]
                self._found.setdefault(("random", name, 0), Impurity("random", f"uses {what} without a seed{_SEED_HINT}", 0))


def _identity(path: str) -> tuple[int, ...] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def declared(ambient: Mapping[str, Any]) -> Collection[str] | None:
    """The environment variables a task's captured code names, None when the task does not say."""
    names = ambient.get("env_reads")
    return None if names is None else list(names)
