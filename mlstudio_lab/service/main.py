"""The service's life: one per home, ready in two seconds, gone without losing a run; where everything is put together."""

from __future__ import annotations

import argparse
import asyncio
import gc
import importlib
import importlib.util
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mlstudio_lab.core.errors import StudioError
from mlstudio_lab.engine.local import LocalPool
from mlstudio_lab.service import place
from mlstudio_lab.service.clock import SystemClock
from mlstudio_lab.settings import Settings

if TYPE_CHECKING:
    from mlstudio_lab.engine.engine import Engine
    from mlstudio_lab.engine.executors import Executor
    from mlstudio_lab.service.live import Bell

RAY_EXECUTOR: Final = "mlstudio_lab.adapters.ray_executor:RayExecutor"
"""Loaded by name and only where Ray is installed."""

_STOP_S: Final = 3
_IDLE_LOOK_S: Final = 1.0


def main(arguments: list[str] | None = None) -> int:
    """Serves one home until it is told to stop; 0 also when another process serves it already.

    Args:
        arguments: The command line's, None for this process's.
    """
    parser = argparse.ArgumentParser(prog="python -m mlstudio_lab.service", description="The studio of one home.")
    parser.add_argument("--home", default=None, help="folder of the ledger, blobs and logs")
    options = parser.parse_args(arguments)
    try:
        settings = Settings.read(home=options.home)
        place.prepare_home(settings.home)
        lock = place.lock_home(settings.home)
        if lock is None:
            found = place.read_pointer(settings.home)
            where = found.get("socket") or found.get("url", "an address it has not told yet")
            print(f"a studio serves {settings.home} already: process {place.lock_holder(settings.home)} at {where}")
            return 0
        runtime = place.runtime_folder(settings)
        listener = place.listen(settings, runtime)
    except StudioError as error:
        print(f"mlstudio: {error}", file=sys.stderr)
        return 1
    # The ledger's writer must not keep the loop waiting for Python's lock by the usual 5 ms.
    sys.setswitchinterval(0.0005)
    # The first worker imports what it needs while this process does.
    pool = LocalPool(settings.home, settings.local_workers)
    pool.prespawn()
    try:
        return asyncio.run(Service(settings, runtime, listener, pool).run())
    except StudioError as error:
        pool.close()
        print(f"mlstudio: {error}", file=sys.stderr)
        return 1
    finally:
        os.close(lock)


class Service:
    """One running service.

    Args:
        settings: What the process was told.
        runtime: The short folder for sockets.
        listener: The bound socket.
        pool: Local workers, the first already started.
    """

    def __init__(self, settings: Settings, runtime: Path, listener: place.Listener, pool: LocalPool) -> None:
        self._settings = settings
        self._runtime = runtime
        self._listener = listener
        self._pool = pool
        self._server: Any = None
        self._everything = False
        self._announced = False
        self._bell: Bell | None = None
        self._engine: Engine | None = None
        self._seen = 0.0

    async def run(self) -> int:
        """Serves until stopped."""
        import structlog
        import uvicorn

        from mlstudio_lab.blobs.local import LocalBlobs
        from mlstudio_lab.engine.engine import Engine
        from mlstudio_lab.ledger.ledger import Ledger
        from mlstudio_lab.service.app import About, hot_routes, make_app
        from mlstudio_lab.service.gate import Gate
        from mlstudio_lab.service.live import Bell
        from mlstudio_lab.service.logs import open_log
        from mlstudio_lab.service.peers import PeerProtocol, user_name
        from mlstudio_lab.service.server import Server
        from mlstudio_lab.studio.context import Studio

        settings, clock = self._settings, SystemClock()
        log_file = open_log(settings.home)
        log = structlog.get_logger("service")
        ledger = Ledger.open(settings.home / "ledger", clock)
        executors: dict[str, Executor] = {"local": self._pool}
        if settings.executor != "local" and (ray := self._ray(clock)) is not None:
            executors["ray"] = ray
        engine = Engine(ledger, LocalBlobs(settings.home / "blobs"), clock, executors, settings.home, settings.executor)
        self._engine = engine
        bell = self._bell = Bell()
        engine.running.changed = bell.ring
        about = About(settings.home, os.getpid(), self._listener.address, log_file, clock.now(), self.stop)
        studio = Studio(engine, bell.ring)
        app = make_app(studio, about, bell)
        self._pool.start()
        await engine.start()
        user = settings.user or user_name(os.getuid())
        gated = Gate(app, self._listener.token, self._listener.hosts, user, self._touch, hot_routes(studio))
        config = uvicorn.Config(
            gated, http=PeerProtocol, ws="none", lifespan="off", log_config=None, access_log=False, server_header=False, date_header=False,
            timeout_keep_alive=3600, timeout_graceful_shutdown=_STOP_S, backlog=512,
        )  # fmt: skip
        self._server = Server(config)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop, False)
        # What was made until here lives as long as the process: the collector need not look at it again.
        gc.freeze()
        loop.call_soon(self._announce, executors)
        watching = loop.create_task(self._watch(engine))
        log.info("serving", home=str(settings.home), address=self._listener.address, pid=os.getpid())
        try:
            await self._server.serve(sockets=[self._listener.sock])
        finally:
            watching.cancel()
            place.remove_pointer(settings.home)
            await engine.close()
            for executor in executors.values():
                if self._everything:
                    executor.close()
                else:
                    executor.leave()
            ledger.close()
            if "socket" in self._listener.pointer and self._listener.is_there():
                Path(self._listener.pointer["socket"]).unlink(missing_ok=True)
            log.info("stopped", pid=os.getpid())
        return 0

    def stop(self, everything: bool = False) -> None:
        """Begins to stop: no new requests, open ones end, runs are left for the next service.

        Args:
            everything: The hot cluster too; False leaves what can outlive a service for the next one.
        """
        self._everything = everything
        if self._bell is not None:
            self._bell.close()
        if self._engine is not None:
            self._engine.running.dismiss()
            self._engine.running.waiting.close()
        if self._server is not None:
            self._server.should_exit = True

    def _announce(self, executors: dict[str, Executor]) -> None:
        """Tells clients where we are, and only then brings up what takes long."""
        self._announced = True
        self._point()
        for name, executor in executors.items():
            if name != "local":
                executor.start()

    def _point(self) -> None:
        """Has the pointer say where we are; a full disk is tried again when the service next looks around."""
        try:
            if place.read_pointer(self._settings.home) != self._listener.pointer:
                place.write_pointer(self._settings.home, self._listener.pointer)
        except OSError as error:
            import structlog

            structlog.get_logger("service").error("pointer not written", reason=error.strerror)

    def _ray(self, clock: SystemClock) -> Executor | None:
        if importlib.util.find_spec("ray") is None:
            return None
        module, _, name = RAY_EXECUTOR.partition(":")
        executor: Executor = getattr(importlib.import_module(module), name)(
            self._settings.home, self._runtime, self._settings.ray_workers, clock
        )
        return executor

    def _touch(self) -> None:
        self._seen = SystemClock().monotonic()

    async def _watch(self, engine: Engine) -> None:
        """Stops a service nobody has used for `idle_s`, and one whose home or socket was taken away; heals its pointer."""
        clock = SystemClock()
        self._touch()
        while True:
            await asyncio.sleep(_IDLE_LOOK_S)
            idle = self._settings.idle_s
            if engine.running.lives:
                self._touch()
            if idle and clock.monotonic() - self._seen > idle:
                self.stop(True)
            if not self._settings.home.is_dir():
                self.stop(True)
            elif not self._listener.is_there():
                # Nobody can reach us any more, and nobody else may serve this home while we hold its lock.
                self.stop(False)
            elif self._announced:
                self._point()
