"""The disposable child process that alone drives Ray: `python -m mlstudio_lab.adapters.ray_bridge`.

It finds or starts the home's head, finds the detached actors an earlier bridge left or makes new ones, and passes tasks
and outcomes through. It holds nothing that matters: when it or the head is killed, the service starts another. It ends
when its parent's socket closes.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import secrets
import socket
import subprocess
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from mlstudio_lab.adapters import processes, ray_head
from mlstudio_lab.adapters.ray_actor import Host
from mlstudio_lab.adapters.ray_slot import Slot, environment_digest
from mlstudio_lab.core.digest import digest
from mlstudio_lab.wire.frames import Channel
from mlstudio_lab.wire.task import PROTOCOL

QUICK_S: Final = 0.05
"""A run that takes longer than this has its events polled."""

POLL_S: Final = 5.0
WATCH_S: Final = 0.25
ACTOR_S: Final = 60.0
"""Seconds an actor may take to come up before the head is given up."""

HEAD_LOST: Final = 70
"""Exit code of a bridge whose head died."""


class Bridge:
    """Actors on one side, the service's socket on the other.

    Args:
        channel: To the service.
        home: The home's folder.
        runtime: Its short runtime folder.
        workers: How many actors are kept.
        agent: Dotted name of what runs inside an actor.
    """

    def __init__(self, channel: Channel, home: Path, runtime: Path, workers: int, agent: str) -> None:
        self._channel = channel
        self._home = home
        self._runtime = runtime
        self._workers = workers
        self._agent = agent
        self._sending = threading.Lock()
        self._lock = threading.RLock()
        self._slots: dict[str, Slot] = {}
        self._idle: deque[Slot] = deque()
        self._queue: deque[tuple[str, bytes]] = deque()
        self._prefix = ""
        self._head: ray_head.Head | None = None

    # -- life ------------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Starts to warm behind the reader."""
        self._background(self._warm)

    def _warm(self) -> None:
        """Brings head and actors up; afterwards tasks flow.

        Raises:
            RuntimeError: The head did not start.
        """
        launcher = self._launch() if ray_head.find(self._runtime) is None else None
        import ray  # takes seconds: the head starts meanwhile

        if launcher is not None and launcher.wait() != 0:
            raise RuntimeError(f"the Ray head did not start (exit code {launcher.returncode}); see {self._home / 'logs' / 'ray-head.log'}")
        self._head = ray_head.find(self._runtime)
        if self._head is None:
            raise RuntimeError("the Ray head ended as soon as it had started")
        ray.init(
            address=self._head.address,
            namespace=digest("ray namespace", str(self._home))[:16],
            log_to_driver=False,
            configure_logging=False,
            logging_level=logging.ERROR,
        )
        self._prefix = f"p{PROTOCOL}-{environment_digest(self._agent)[:16]}-"
        threading.Thread(target=self._watch, name="watch", daemon=True).start()
        names = sorted(ray.util.list_named_actors())
        ours = [name for name in names if name.startswith(self._prefix)]
        for _ in range(self._workers - len(ours)):
            self._background(self._add)
        greeting = [self._background(self._greet, name, name not in ours[: self._workers]) for name in names]
        for thread in greeting:
            thread.join()
        self.send({"linked": True})

    def _launch(self) -> subprocess.Popen[bytes]:
        with open(self._home / "logs" / "ray-head.log", "wb") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "mlstudio_lab.adapters.ray_head", str(self._runtime)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd=self._runtime,
            )

    def _background(self, work: Callable[..., None], *arguments: Any) -> threading.Thread:
        def guarded() -> None:
            try:
                work(*arguments)
            except Exception as error:  # noqa: BLE001  (any failure to talk to Ray means a new bridge; the reason is shown by the service)
                traceback.print_exc()
                text = str(error).strip()
                self.fail(f"{type(error).__name__}: {text.splitlines()[-1] if text else 'no reason given'}")

        thread = threading.Thread(target=guarded, name=work.__name__, daemon=True)
        thread.start()
        return thread

    def fail(self, reason: str) -> None:
        """Tells the service why, and ends this process."""
        try:
            self.send({"failed": reason})
        finally:
            os._exit(1)

    def send(self, message: dict[str, Any]) -> None:
        """Sends one message; a service that is gone ends this process."""
        try:
            with self._sending:
                self._channel.send(message)
        except OSError:
            os._exit(0)

    # -- actors ----------------------------------------------------------------------------------------------------

    def _add(self) -> None:
        import ray

        name = self._prefix + secrets.token_hex(4)
        threads = os.environ.get("OMP_NUM_THREADS")  # handed through: Ray overwrites it in actors
        remote: Any = ray.remote(num_cpus=0, max_restarts=0, max_task_retries=0)(Host)
        actor = remote.options(name=name, lifetime="detached").remote(str(self._home), str(self._path(name)), self._agent, threads)
        self._seat(name, actor)

    def _greet(self, name: str, retired: bool) -> None:
        """Takes over an actor that an earlier bridge left; a retired one (too many, another protocol or environment) ends when idle."""
        import ray

        try:
            actor = ray.get_actor(name)
            self._seat(name, actor, retired=retired)
        except (ValueError, ray.exceptions.RayActorError):
            if not retired:
                self._add()

    def _seat(self, name: str, actor: Any, *, retired: bool = False) -> None:
        import ray

        slot = Slot(name, actor, self._path(name))
        try:
            about = slot.ask({"do": "about"})
        except OSError:
            ray.get(actor.up.remote(), timeout=ACTOR_S)  # it is still starting, or dead
            about = slot.ask({"do": "about"})
        slot.pid, slot.attempt, slot.retired = about["pid"], about["attempt"], retired
        if retired and not slot.attempt:
            processes.kill([*processes.below(slot.pid), slot.pid])
            return
        threading.Thread(target=self._serve, args=(slot,), name=name, daemon=True).start()
        with self._lock:
            self._slots[name] = slot
        if slot.attempt:
            slot.work.put((slot.attempt, None))
        else:
            self._free(slot)
        self._tell()

    def _path(self, name: str) -> Path:
        return self._runtime / f"{name}.sock"

    def _tell(self) -> None:
        with self._lock:
            members = [{"worker": s.name, "pid": s.pid, "attempt": s.attempt} for s in self._slots.values()]
        self.send({"members": members, "address": self._head.address if self._head else ""})

    def _drop(self, slot: Slot) -> None:
        """Ends an actor for good and makes another."""
        import ray

        with self._lock:
            known = self._slots.pop(slot.name, None)
            if slot in self._idle:
                self._idle.remove(slot)
            wanted = sum(not s.retired for s in self._slots.values()) < self._workers
        if known is None:
            return
        processes.kill([*processes.below(slot.pid), slot.pid])
        ray.kill(slot.actor, no_restart=True)
        slot.path.unlink(missing_ok=True)
        slot.work.put(("", None))
        self._tell()
        if wanted:
            self._background(self._add)

    def _watch(self) -> None:
        pause = threading.Event()
        while not pause.wait(WATCH_S):
            if self._head is not None and not self._head.alive:
                self.send({"failed": "the Ray head died"})
                os._exit(HEAD_LOST)
            with self._lock:
                dead = [s for s in self._idle if not processes.is_alive(s.pid)]
            for slot in dead:
                self._drop(slot)

    # -- tasks -----------------------------------------------------------------------------------------------------

    def read(self) -> None:
        """Serves the service's messages until it is gone."""
        while (message := self._channel.receive()) is not None:
            match message.get("do"):
                case "run":
                    self._queue.append((message["attempt"], f"{message['attempt']}\n{message['task']}".encode()))
                    self._dispatch()
                case "cancel":
                    self._cancel(message["attempt"], bool(message.get("force")))
                case "attach":
                    self._attach(message["attempt"])
                case "replace":
                    self._replace(message["worker"])
                case "stop":
                    break

    def _dispatch(self) -> None:
        with self._lock:
            while self._queue and self._idle:
                slot, (attempt, task) = self._idle.popleft(), self._queue.popleft()
                slot.attempt = attempt
                # Before the call: it tells a later bridge where to look.
                self.send({"started": attempt, "worker": slot.name, "pid": slot.pid})
                slot.work.put((attempt, slot.actor.run.remote(task)))

    def _free(self, slot: Slot) -> None:
        with self._lock:
            slot.attempt = ""
            if slot.retired:
                self._background(self._drop, slot)
                return
            self._idle.append(slot)
        self._dispatch()

    def _cancel(self, attempt: str, force: bool) -> None:
        with self._lock:
            queued = [item for item in self._queue if item[0] == attempt]
            for item in queued:
                self._queue.remove(item)
            slot = next((s for s in self._slots.values() if s.attempt == attempt), None)
        if queued:
            self.send({"lost": attempt, "reason": "withdrawn before it started", "infrastructure": True})
        elif slot is not None and force:
            processes.kill([*processes.below(slot.pid), slot.pid])
        elif slot is not None:
            with contextlib.suppress(OSError):
                slot.ask({"do": "cancel", "attempt": attempt})

    def _attach(self, attempt: str) -> None:
        """Answers for an attempt of an earlier bridge: under way, just ended, or lost."""
        with self._lock:
            slots = list(self._slots.values())
        if not any(s.attempt == attempt for s in slots):
            self._background(self._recall, attempt, slots)

    def _recall(self, attempt: str, slots: list[Slot]) -> None:
        for slot in slots:
            with contextlib.suppress(OSError):
                known = slot.ask({"do": "poll", "attempt": attempt, "cursor": 0, "wait_s": 0.0})
                if known["known"] and known["outcome"] is not None:
                    self.send(_ended(attempt, 0, (known["outcome"].encode(), 0, known["events"])))
                    return
        self.send({"lost": attempt, "reason": "its worker is gone", "infrastructure": True})

    def _replace(self, worker: str) -> None:
        with self._lock:
            slot = self._slots.get(worker)
            if slot is None:
                return
            slot.retired = True
            busy = bool(slot.attempt)
        if not busy:
            self._background(self._drop, slot)

    def _serve(self, slot: Slot) -> None:
        """Waits for what one actor does, one attempt after the other."""
        import ray

        while (work := slot.work.get())[0]:
            attempt, reference = work
            try:
                message = self._wait(slot, attempt, reference)
            except ray.exceptions.RayError as error:
                self.send({"lost": attempt, "reason": _reason(error)})
                self._drop(slot)
                return
            self.send(message)
            self._free(slot)

    def _wait(self, slot: Slot, attempt: str, reference: Any) -> dict[str, Any]:
        import ray

        if reference is not None:
            try:
                return _ended(attempt, 0, ray.get(reference, timeout=QUICK_S))
            except ray.exceptions.GetTimeoutError:
                pass
        cursor = 0
        try:
            while True:
                news = slot.poll(attempt, cursor, POLL_S)
                if not news["known"] and reference is None:
                    return {"lost": attempt, "reason": "its worker has forgotten it", "infrastructure": True}
                if news.get("outcome") is not None and reference is None:
                    return _ended(attempt, cursor, (news["outcome"].encode(), cursor, news["events"]))
                if news.get("outcome") is not None or (not news["known"] and not _pending(reference)):
                    break
                if news.get("events"):
                    self.send({"attempt": attempt, "from": cursor, "events": news["events"]})
                    cursor += len(news["events"])
        except OSError as error:
            if reference is None:
                raise ray.exceptions.RayActorError() from error
        return _ended(attempt, cursor, ray.get(reference, timeout=ACTOR_S))


def _pending(reference: Any) -> bool:
    import ray

    return not ray.wait([reference], timeout=QUICK_S)[0]


def _ended(attempt: str, cursor: int, answer: bytes | tuple[bytes, int, list[dict[str, Any]]]) -> dict[str, Any]:
    """How an attempt ended, with the events from `cursor` on."""
    outcome, first, events = (answer, cursor, []) if isinstance(answer, bytes) else answer
    return {"attempt": attempt, "from": cursor, "events": events[cursor - first :], "outcome": outcome.decode()}


def _reason(error: Exception) -> str:
    import ray

    if isinstance(error, ray.exceptions.OutOfMemoryError) or "running low on memory" in str(error):
        return "its worker was ended because the machine ran out of memory"
    if isinstance(error, ray.exceptions.RayTaskError):
        return f"its worker failed: {type(error.cause).__name__}"
    return "its worker process ended while the code ran"


def main() -> None:
    """Runs the bridge until the service is gone."""
    parser = argparse.ArgumentParser(prog="ray_bridge")
    for name in ("fd", "workers"):
        parser.add_argument(f"--{name}", type=int, required=True)
    for name in ("home", "runtime"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--agent", required=True)
    options = parser.parse_args()
    environment = ray_head.environment(options.runtime)
    os.environ.clear()
    os.environ.update(environment)  # before Ray is imported: it reads them then
    bridge = Bridge(Channel(socket.socket(fileno=options.fd)), options.home, options.runtime, options.workers, options.agent)
    bridge.begin()
    bridge.read()
    os._exit(0)  # at once: Ray's own shutdown takes seconds and would gain nothing


if __name__ == "__main__":
    main()
