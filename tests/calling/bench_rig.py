"""Bundles built by hand and a bench that runs them through `execute`."""

import threading
from pathlib import Path

from mlstudio_lab.blobs.local import LocalBlobs
from mlstudio_lab.calling.execute import execute
from mlstudio_lab.core.bundle import Bundle, Unit
from mlstudio_lab.core.interface import Interface, Port
from mlstudio_lab.core.lock import Lock
from mlstudio_lab.data.code_refs import NoCode
from mlstudio_lab.data.graph import pack, unpack
from mlstudio_lab.wire.task import Payload, Task

ANY_LOCK = Lock("", "", ())


def bundle(main, *, kind="cell", entry="", inputs=(), outputs=(), units=()):
    return Bundle(
        kind,
        entry,
        (*(Unit(*u) for u in units), Unit("main", "main", main)),
        Interface(tuple(Port(i) if isinstance(i, str) else i for i in inputs), tuple(Port(o) for o in outputs)),
        ANY_LOCK,
    )


class Bench:
    """Runs bundles built by hand through `execute`."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.blobs = LocalBlobs(home / "blobs")
        self.events: list = []
        self.cancelled = threading.Event()

    def task(self, b, *, args=None, kwargs=None, globals=None, code=None, **options):
        values = {"globals": globals or {}}
        if b.kind == "function":
            values |= {"args": list(args or ()), "kwargs": kwargs or {}}
        payload = pack(values, self.blobs, code or NoCode())
        options.setdefault("origins", {"main": ["/nb/cell-1.py", 1]})
        return Task("a1", 1, "0" * 26, "demo/x", b.to_json(), payload.to_json(), str(self.home), **options)

    def run(self, main, **options):
        parts = {k: options.pop(k) for k in ("kind", "entry", "inputs", "outputs", "units") if k in options}
        extra = {k: options.pop(k) for k in ("versions", "interrupt") if k in options}
        task = self.task(bundle(main, **parts), **options)
        return execute(task, self.blobs, self.events.append, self.cancelled, **extra)

    def function(self, main, entry, *args, **options):
        return self.run(main, kind="function", entry=entry, args=args, outputs=["return"], **options)

    def values(self, outcome, code=None):
        assert outcome.state == "succeeded", outcome.failure
        got = unpack(Payload.from_json(outcome.outputs), self.blobs, code or NoCode()).values
        return got["bound"] if "bound" in got else got["return"]
