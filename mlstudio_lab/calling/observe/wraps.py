"""Wraps around clocks, entropy, generators' seeds and the environment, which no audit event reports."""

from __future__ import annotations

import builtins
import contextlib
import os
import random
import secrets
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Final

from mlstudio_lab.calling import rng
from mlstudio_lab.calling.local_modules import LocalModules
from mlstudio_lab.calling.observe import frames, readers

if TYPE_CHECKING:
    from mlstudio_lab.calling.observe.observer import Observer

_CLOCKS: Final = (
    "time", "time_ns", "perf_counter", "perf_counter_ns", "monotonic", "monotonic_ns", "process_time", "process_time_ns",
    "localtime", "gmtime", "ctime", "strftime", "asctime",
)  # fmt: skip
_GIVEN_TIME: Final = {"localtime": 1, "gmtime": 1, "ctime": 1, "asctime": 1, "strftime": 2}
"""Clocks that read nothing when they are given this many arguments."""


class Wraps:
    """The wraps of one process; they do nothing while no observer is active.

    In a worker they stand for good, so that a run pays nothing for putting them; in a kernel they are taken away after
    each run.
    """

    _standing: ClassVar[Wraps | None] = None

    def __init__(self) -> None:
        self.observer: Observer | None = None
        self._undo: list[tuple[Any, str, Any]] = []
        self._done: set[str] = set()
        self.originals: dict[int, Any] = {}

    @classmethod
    def for_run(cls, keep: bool) -> tuple[Wraps, bool]:
        """The wraps for one run, and whether they stay: always where some stand already, for two layers would see twice."""
        if cls._standing is None and keep:
            cls._standing = Wraps()
        return (cls._standing, True) if cls._standing is not None else (Wraps(), False)

    @classmethod
    def take_away(cls) -> None:
        """Takes the standing wraps away."""
        standing, cls._standing = cls._standing, None
        if standing is not None:
            standing.release(keep=False)

    def put(self, observer: Observer) -> None:
        """Wraps what is loaded and not wrapped yet, and reports to the observer from now on."""
        self.observer = observer
        for module in _WRAPPED:
            if module not in self._done and module in sys.modules and _ready(module):
                self._done.add(module)
                _WRAPPED[module](self)

    def release(self, *, keep: bool) -> None:
        """Reports to nobody; takes the wraps away unless they are to stay."""
        self.observer = None
        if not keep:
            for owner, name, original in reversed(self._undo):
                setattr(owner, name, original)
            self._undo.clear()
            self._done.clear()
            self.originals.clear()

    def wrap(self, owner: Any, name: str, make: Callable[[Any], Any]) -> None:
        """Replaces an attribute by what `make` makes of it; absent attributes are left out."""
        original = owner.__dict__.get(name) if isinstance(owner, type) else getattr(owner, name, None)
        if original is None:
            return
        wrapped = make(original)
        for attribute in ("__name__", "__qualname__", "__doc__", "__module__", "__text_signature__"):
            try:
                setattr(wrapped, attribute, getattr(original, attribute))
            except (AttributeError, TypeError):
                continue
        self._undo.append((owner, name, original))
        self.originals[id(original)] = wrapped
        setattr(owner, name, wrapped)


_quiet: Final = threading.local()
"""Set while one source of entropy draws from another: it is reported once, by the name the person used."""


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    before = getattr(_quiet, "now", False)
    _quiet.now = True
    try:
        yield
    finally:
        _quiet.now = before


def _ready(module: str) -> bool:
    """Whether a module has been imported to its end."""
    spec = getattr(sys.modules[module], "__spec__", None)
    return not getattr(spec, "_initializing", False)


def _builtins(wraps: Wraps) -> None:
    """Libraries imported during a run are wrapped at once, and the randomness their import uses up is put back."""

    def outer(original: Any) -> Any:
        def __import__(name: str, globals: Any = None, locals: Any = None, fromlist: Any = (), level: int = 0) -> Any:
            observer = wraps.observer
            if observer is None or level or name in sys.modules or getattr(_importing, "now", False):
                return original(name, globals, locals, fromlist, level)
            if _is_local(name):
                session = observer.session.take()
                try:
                    return original(name, globals, locals, fromlist, level)
                finally:
                    observer.session.excuse(session)
            before, marks, session = rng.rng_state(), rng.positions(), observer.session.take()
            _importing.now = True
            try:
                return original(name, globals, locals, fromlist, level)
            finally:
                _importing.now = False
                now = rng.positions()
                if any(now[generator] != mark for generator, mark in marks.items()):
                    rng.set_rng_state(before)
                observer.session.excuse(session)
                if wraps.observer is observer:
                    observer.imported()

        return __import__

    wraps.wrap(builtins, "__import__", outer)


_importing: Final = threading.local()


def _is_local(name: str) -> bool:
    """Whether a name is one of the bundle's own files, whose code is the person's."""
    first = sys.meta_path[0]
    return isinstance(first, LocalModules) and first.serves(name)


def _time(wraps: Wraps) -> None:
    def make(name: str) -> Callable[[Any], Any]:
        given = _GIVEN_TIME.get(name, -1)

        def outer(original: Any) -> Any:
            def clock(*args: Any) -> Any:
                observer = wraps.observer
                if observer is not None and len(args) != given:
                    observer.clock(f"time.{name}", sys._getframe(1))
                return original(*args)

            return clock

        return outer

    for name in _CLOCKS:
        wraps.wrap(time, name, make(name))


def _entropy(wraps: Wraps, label: str) -> Callable[[Any], Any]:
    def outer(original: Any) -> Any:
        def entropy(*args: Any, **kwargs: Any) -> Any:
            observer = wraps.observer
            if observer is None or getattr(_quiet, "now", False):
                return original(*args, **kwargs)
            frame = sys._getframe(1)
            name = frame.f_code.co_filename
            if name.endswith("/uuid.py") and frame.f_back is not None:
                frame = frame.f_back
            # tempfile names its files with random letters, numpy fills generators it unpickles twice, libraries name their
            # own parts with uuids; no result depends on these.
            if not name.endswith(("/tempfile.py", "/numpy/random/_pickle.py")) and not (
                ("uuid" in label or name.endswith("/uuid.py")) and not frames.is_person(observer.files, frame)
            ):
                observer.impure("random", f"uses {label}", frame)
            with _quietly():
                return original(*args, **kwargs)

        return entropy

    return outer


def _random(wraps: Wraps) -> None:
    wraps.wrap(random, "_urandom", _entropy(wraps, "the system's randomness"))

    def module_seed(original: Any) -> Any:
        def seed(a: Any = None, version: int = 2) -> Any:
            observer = wraps.observer
            if observer is not None and a is not None:
                observer.seeding("random")
            return original(a, version)

        return seed

    def instance_seed(original: Any) -> Any:
        def seed(self: Any, a: Any = None, version: int = 2) -> Any:
            observer = wraps.observer
            if observer is not None and a is None and not isinstance(self, random.SystemRandom) and not _for_tempfile():
                observer.impure("random", "makes a generator without a seed (random.Random)", sys._getframe(1))
            return original(self, a, version)

        return seed

    wraps.wrap(random, "seed", module_seed)
    wraps.wrap(random.Random, "seed", instance_seed)


def _for_tempfile() -> bool:
    frame: Any = sys._getframe(1)
    for _ in range(4):
        frame = frame.f_back if frame is not None else None
        if frame is not None and frame.f_code.co_filename.endswith("/tempfile.py"):
            return True
    return False


def _os(wraps: Wraps) -> None:
    wraps.wrap(os, "urandom", _entropy(wraps, "the system's randomness (os.urandom)"))

    def getcwd(original: Any) -> Any:
        def cwd() -> Any:
            if wraps.observer is not None:
                wraps.observer.working_directory(sys._getframe(1))
            return original()

        return cwd

    wraps.wrap(os, "getcwd", getcwd)

    environ = type(os.environ)

    def getitem(original: Any) -> Any:
        def __getitem__(self: Any, key: Any) -> Any:
            observer = wraps.observer
            if observer is None or self is not os.environ or not isinstance(key, str):
                return original(self, key)
            try:
                value = original(self, key)
            except KeyError:
                observer.environment(key, None, sys._getframe(1))
                raise
            observer.environment(key, value, sys._getframe(1))
            return value

        return __getitem__

    def iterate(original: Any) -> Any:
        def __iter__(self: Any) -> Any:
            if wraps.observer is not None and self is os.environ:
                wraps.observer.whole_environment(sys._getframe(1))
            return original(self)

        return __iter__

    wraps.wrap(environ, "__getitem__", getitem)
    wraps.wrap(environ, "__iter__", iterate)


def _uuid(wraps: Wraps) -> None:
    for name in ("uuid1", "uuid4"):
        wraps.wrap(uuid, name, _entropy(wraps, f"uuid.{name}"))


def _secrets(wraps: Wraps) -> None:
    for name in ("token_bytes", "token_hex", "token_urlsafe", "choice", "randbelow", "randbits"):
        wraps.wrap(secrets, name, _entropy(wraps, f"secrets.{name}"))


def _numpy_random(wraps: Wraps) -> None:
    module = sys.modules["numpy.random"]
    # Every generator made without a seed draws its entropy here: default_rng(), RandomState(), SeedSequence(), PCG64().
    wraps.wrap(sys.modules["numpy.random.bit_generator"], "randbits", _entropy(wraps, "numpy.random without a seed"))

    wraps.wrap(module, "RandomState", _random_state(wraps))

    def seeded(original: Any) -> Any:
        def seed(*args: Any, **kwargs: Any) -> Any:
            observer = wraps.observer
            if observer is not None and any(a is not None for a in (*args, *kwargs.values())):
                observer.seeding("numpy")
            return original(*args, **kwargs)

        return seed

    wraps.wrap(module, "seed", seeded)


def _random_state(wraps: Wraps) -> Callable[[Any], Any]:
    """A door to numpy's class: RandomState(4) draws entropy too before it is seeded, which must not count."""

    def outer(original: Any) -> Any:
        class Door(type):
            def __instancecheck__(cls, instance: Any) -> bool:
                return isinstance(instance, original)

            def __subclasscheck__(cls, other: Any) -> bool:
                return issubclass(other, original)

        class RandomState(original, metaclass=Door):  # type: ignore[misc]
            def __new__(cls, seed: Any = None) -> Any:
                if cls is not RandomState:
                    return original.__new__(cls, seed)
                observer = wraps.observer
                if seed is None and observer is not None and not getattr(_quiet, "now", False):
                    observer.impure("random", "uses numpy.random.RandomState without a seed", sys._getframe(1))
                with _quietly():
                    return original(seed)

        return RandomState

    return outer


def _torch(wraps: Wraps) -> None:
    def seeded(original: Any) -> Any:
        def manual_seed(*args: Any, **kwargs: Any) -> Any:
            if wraps.observer is not None:
                wraps.observer.seeding("torch")
            return original(*args, **kwargs)

        return manual_seed

    wraps.wrap(sys.modules["torch"], "manual_seed", seeded)


def _processes(wraps: Wraps) -> None:
    """Children of every start method, joblib's too, begin here; trackers of resources, which libraries start, do not."""

    def outer(original: Any) -> Any:
        def start(self: Any) -> Any:
            if wraps.observer is not None:
                wraps.observer.impure("subprocess", f"starts a process ({type(self).__name__})", sys._getframe(1))
            return original(self)

        return start

    wraps.wrap(sys.modules["multiprocessing.process"].BaseProcess, "start", outer)


_WRAPPED: Final[dict[str, Callable[[Wraps], None]]] = {
    "builtins": _builtins,
    "time": _time,
    "random": _random,
    "os": _os,
    "uuid": _uuid,
    "secrets": _secrets,
    "numpy.random": _numpy_random,
    "torch": _torch,
    "multiprocessing.process": _processes,
    "polars": readers.polars,
    "pyarrow": readers.pyarrow,
    "pyarrow.parquet": readers.pyarrow_parquet,
    "pyarrow.csv": readers.pyarrow_csv,
    "pyarrow.feather": readers.pyarrow_feather,
    "pyarrow.dataset": readers.pyarrow_dataset,
    "pyarrow.json": readers.pyarrow_json,
    "duckdb": readers.duckdb,
}
