"""A whole engine over a real ledger and real blobs, on its own loop, restarted at will."""

from __future__ import annotations

import asyncio
import os
import platform
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from mlstudio_lab.blobs.local import LocalBlobs
from mlstudio_lab.core.bundle import Bundle, Unit
from mlstudio_lab.core.ids import ulid
from mlstudio_lab.core.interface import Interface, Port
from mlstudio_lab.core.lock import Lock
from mlstudio_lab.data.code_refs import NoCode
from mlstudio_lab.data.content import digest_values
from mlstudio_lab.data.graph import pack
from mlstudio_lab.engine.engine import Engine
from mlstudio_lab.engine.model import Caller
from mlstudio_lab.ledger.ledger import Ledger
from mlstudio_lab.service.clock import SystemClock

HERE = Lock(platform.python_version(), f"{sys.platform}-{platform.machine()}", ())
ADA = Caller("ada", os.getpid())


def new_run() -> str:
    return ulid(int(time.time() * 1000), os.urandom(10))


def function(source: str, *ports: str | Port, helpers: tuple[tuple[str, str], ...] = (), lock: Lock = HERE) -> Bundle:
    """A function module of one `def`, with helpers from other cells."""
    entry = source.split("def ", 1)[1].split("(", 1)[0]
    inputs = tuple(p if isinstance(p, Port) else Port(p) for p in ports)
    units = (*(Unit("definition", n, s) for n, s in helpers), Unit("main", "main", source))
    return Bundle("function", entry, units, Interface(inputs, (Port("return"),)), lock)


class EngineRig:
    """An engine with executors, over one home.

    Args:
        home: Its folder.
        executors: Makes the executors of each life.
    """

    def __init__(self, home: Path, executors: Callable[[Path], dict[str, Any]], ledger: type[Ledger] = Ledger) -> None:
        self.home = home
        for name in ("ledger", "blobs", "outcomes", "logs"):
            (home / name).mkdir(parents=True, exist_ok=True)
        self.cwd = home.parent / f"{home.name}-work"
        self.cwd.mkdir(exist_ok=True)
        self._make = executors
        self._ledger_type = ledger
        self.loop = asyncio.new_event_loop()
        self.blobs = LocalBlobs(home / "blobs")
        self.up()

    def up(self) -> None:
        """A new service's engine."""
        self.ledger = self._ledger_type.open(self.home / "ledger", SystemClock())
        self.executors = self._make(self.home)
        self.engine = Engine(self.ledger, self.blobs, SystemClock(), self.executors, self.home)

        async def start() -> None:
            for executor in self.executors.values():
                executor.start()
            await self.engine.start()

        self.do(start())

    def down(self) -> None:
        """The service ends, as by SIGTERM."""
        self.do(self.engine.close())
        for executor in self.executors.values():
            executor.leave()
        self.ledger.close()

    def restart(self) -> None:
        self.down()
        self.up()

    def close(self) -> None:
        self.down()
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.close()

    def do(self, work: Coroutine[Any, Any, Any], within_s: float = 60.0) -> Any:
        return self.loop.run_until_complete(asyncio.wait_for(work, within_s))

    def turn(self) -> None:
        """Lets everything that is ready happen, commits included."""

        async def settle() -> None:
            for _ in range(6):
                await asyncio.sleep(0)
                await asyncio.wrap_future(Ledger.write(self.ledger, lambda _c: None))

        self.do(settle())

    def request(self, bundle: Bundle, values: dict[str, Any] | None = None, *, name: str = "demo/f", **more: Any) -> dict[str, Any]:
        """What a notebook sends all at once: code, digests and inputs."""
        values = values or {}
        free = {k.removeprefix("global:"): v for k, v in values.items() if k.startswith("global:")}
        kwargs = {k: v for k, v in values.items() if not k.startswith("global:")}
        inputs = {"args": [], "kwargs": kwargs, "globals": free}
        return {
            "run": new_run(),
            "module": name,
            "bundle": bundle.to_json(),
            "values": {k: v.to_json() for k, v in digest_values(values, NoCode()).items()},
            "payload": pack(inputs, self.blobs, NoCode()).to_json(),
            "ambient": {"cwd": str(self.cwd)},
            "cwd": str(self.cwd),
            "kernel": True,
            "wait_s": 30.0,
            **more,
        }

    def ask(self, bundle: Bundle, values: dict[str, Any] | None = None, *, caller: Caller = ADA, **more: Any) -> dict[str, Any]:
        """Submits and waits for the end."""
        found: dict[str, Any] = self.do(self.engine.submit(self.request(bundle, values, **more), caller))
        return found

    def until(self, run: str, state: str, within_s: float = 20.0) -> dict[str, Any]:
        """Waits until a run is in a state, or final."""
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            view: dict[str, Any] = self.do(self.engine.view(run, 0.05))
            if view["state"] == state:
                return view
        raise AssertionError(f"run is {view['state']}, not {state}")

    def result(self, view: dict[str, Any]) -> Any:
        """What a function returned."""
        from mlstudio_lab.data.graph import unpack
        from mlstudio_lab.wire.task import Payload

        return unpack(Payload.from_json(view["outputs"]), self.blobs, NoCode()).values["return"]
