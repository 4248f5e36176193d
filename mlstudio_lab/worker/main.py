"""A local worker's life: speak over the inherited socket, run on the main thread, end with the parent."""

from __future__ import annotations

import argparse
import os
import queue
import signal
import socket
import sys
import threading
from pathlib import Path
from typing import Any

from mlstudio_lab.calling.interrupt import on_sigint
from mlstudio_lab.core.errors import Incompatible, StudioError
from mlstudio_lab.wire import frames
from mlstudio_lab.wire.task import PROTOCOL, Failure, Outcome, Task
from mlstudio_lab.worker.agent import Agent
from mlstudio_lab.worker.prewarm import prewarm
from mlstudio_lab.worker.streams import Descriptors


def main(arguments: list[str] | None = None) -> None:
    """Serves tasks until told to stop or the parent is gone.

    Args:
        arguments: The command line's, None for this process's.
    """
    parser = argparse.ArgumentParser(prog="python -m mlstudio_lab.worker", description="One worker process of ML Studio Lab.")
    parser.add_argument("--fd", type=int, required=True, help="an inherited, connected stream socket")
    parser.add_argument("--home", type=Path, default=None, help="the home; each task names its own otherwise")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGINT, on_sigint)
    # The parent's end of life is noticed at the socket; a terminal's hang-up is not ours.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    Worker(socket.socket(fileno=options.fd), options.home).serve()


class Worker:
    """One process's loop: a thread reads messages, the main thread runs tasks.

    Args:
        sock: The connected socket to the parent.
        home: The home, None to take each task's own.
    """

    def __init__(self, sock: socket.socket, home: Path | None) -> None:
        sock.set_inheritable(False)
        self._sock = sock
        self._writing = threading.Lock()
        self._tasks: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        self._descriptors = Descriptors()
        self._agents: dict[str, Agent] = {}
        self._home = home
        self._reader = threading.Thread(target=self._read, name="mlstudio-reader", daemon=True)

    def serve(self) -> None:
        """Says ready, warms up, runs tasks in order; returns on "stop"."""
        if self._home is not None:
            self._agent(str(self._home))
        self._reader.start()
        self._send({"ready": {"pid": os.getpid(), "python": sys.version.split()[0]}})
        warm = threading.Event()
        while True:
            try:
                task = self._tasks.get(timeout=None if warm.is_set() else 0.0)
            except queue.Empty:
                # Nothing waits yet: import what most modules need, one library at a time, so that a task waits for one.
                if prewarm():
                    warm.set()
                continue
            if task is None:
                return
            self._run(task)

    def _run(self, task: Task) -> None:
        agent = self._agent(task.home or str(self._home))
        try:
            outcome, _ = agent.run_task(task, lambda event: self._send({"event": event, "attempt": task.attempt}))
        except StudioError as error:
            # The outcome could not be kept: the engine must not believe it.
            failure = Failure(f"{type(error).__module__}.{type(error).__qualname__}", str(error), by="worker")
            outcome = Outcome(task.attempt, task.fence, task.run, "failed", failure=failure.to_json())
        message: dict[str, Any] = {"outcome": outcome.to_json()}
        if outcome.worker.get("tainted"):
            message["retire"] = outcome.worker["tainted"]
        self._send(message)

    def _agent(self, home: str) -> Agent:
        agent = self._agents.get(home)
        if agent is None:
            agent = self._agents[home] = Agent(home)
            agent.own_threads = (self._reader, self._descriptors.thread)
            agent.at_begin = self._descriptors.begin
            agent.at_end = self._descriptors.end
            agent.on_give_up = lambda outcome: self._send({"outcome": outcome.to_json(), "retire": "it was over its limits"})
        return agent

    def _read(self) -> None:
        """Takes control messages; when the parent is gone the process ends, whatever runs."""
        unpacker = frames.Unpacker()
        while True:
            try:
                data = self._sock.recv(1 << 16)
            except OSError:
                data = b""
            if not data:
                os._exit(0)
            try:
                messages = unpacker.feed(data)
            except (StudioError, ValueError):
                # Out of step: nothing after this can be understood, and nobody can be told what was lost.
                os._exit(76)
            for message in messages:
                self._take(message)

    def _take(self, message: dict[str, Any]) -> None:
        match message.get("do") if isinstance(message, dict) else None:
            case "run":
                try:
                    self._tasks.put(_task(message["task"]))
                except (StudioError, KeyError, TypeError, AttributeError) as error:
                    self._send({"error": f"this is not a task: {error}"})
            case "cancel":
                for agent in list(self._agents.values()):
                    agent.cancel(str(message.get("attempt", "")))
            case "ping":
                self._send({"pong": {"pid": os.getpid()}})
            case "stop":
                self._tasks.put(None)
            case _:
                self._send({"error": "no such message"})

    def _send(self, message: dict[str, Any]) -> None:
        data = frames.pack(message)
        with self._writing:
            try:
                self._sock.sendall(data)
            except OSError:
                # The parent is gone; the reader ends the process, an outcome is on disk by now.
                return


def _task(data: dict[str, Any]) -> Task:
    if data.get("protocol") != PROTOCOL:
        raise Incompatible(
            f"this worker speaks task protocol {PROTOCOL}, the task {data.get('protocol')}",
            subject="task protocol",
            hint="restart the studio: mlstudio down, then mlstudio up",
        )
    return Task.from_json(data)
