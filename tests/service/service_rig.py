"""A service as clients meet it: a process of its own on a Unix socket."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

START = [sys.executable, "-m", "mlstudio_lab.service", "--home"]


class ServiceRig:
    """One home and, most of the time, a service for it."""

    def __init__(self, home: Path, **environment: str) -> None:
        self.home = home
        self.environment = {**os.environ, "MLSTUDIO_EXECUTOR": "local", "MLSTUDIO_LOCAL_WORKERS": "2", **environment}
        self.process: subprocess.Popen[bytes] | None = None

    def up(self) -> None:
        self.process = subprocess.Popen([*START, str(self.home)], env=self.environment, start_new_session=True)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            assert self.process.poll() is None, "the service ended while starting"
            try:
                if self.pointer()["pid"] == self.process.pid and self.get("/handshake").status_code == 200:
                    return
            except (OSError, ValueError, httpx.TransportError):
                os.sched_yield()
        raise AssertionError("the service did not come up")

    def pointer(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.home / "service.json").read_text())
        return found

    @contextmanager
    def client(self) -> Iterator[httpx.Client]:
        transport = httpx.HTTPTransport(uds=self.pointer()["socket"])
        with httpx.Client(transport=transport, base_url="http://mlstudio/api/v1", timeout=60) as client:
            yield client

    def get(self, path: str, **more: Any) -> httpx.Response:
        with self.client() as client:
            return client.get(path, **more)

    def post(self, path: str, body: Any = None, **more: Any) -> httpx.Response:
        with self.client() as client:
            return client.post(path, json=body, **more)

    def until(self, run: str, state: str, within_s: float = 30) -> dict[str, Any]:
        deadline = time.monotonic() + within_s
        view: dict[str, Any] = {}
        while time.monotonic() < deadline:
            view = self.get(f"/runs/{run}", params={"wait_s": 0.2}).json()
            if view.get("state") == state:
                return view
        raise AssertionError(f"the run is {view}, not {state}")

    def kill(self) -> None:
        """kill -9, of the service alone."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def down(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(20)
