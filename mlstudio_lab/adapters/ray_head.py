"""The persistent, lean Ray head of one home: started once, found again by a small file, ended by the session it runs in.

`python -m mlstudio_lab.adapters.ray_head <runtime folder>` starts it (or finds it running) and exits; the head stays. It
listens on loopback only, asks for our own token, and has no dashboard, log monitor, autoscaler, usage report or task
history. Importing this module does not import Ray.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib
import json
import os
import secrets
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from mlstudio_lab.adapters import processes
from mlstudio_lab.core.errors import StorageFailed, Unavailable

LOOPBACK: Final = "127.0.0.1"
STORE_BYTES: Final = 100_000_000
"""Ray's object store: tasks and outcomes are small, frames travel as our own blobs."""

LAUNCH_S: Final = 120
"""Seconds a head may take to start."""

END_S: Final = 5.0
"""Seconds the head's processes get to be gone after they were killed."""

LONGEST_TEMP: Final = 44
"""Longest temp folder that leaves room for Ray's socket names within the 107 bytes of a Unix socket address."""

_SYSTEM: Final = ("gcs_server", "raylet")
"""Without either of them the head is dead."""


@dataclass(frozen=True, slots=True)
class Head:
    """A running head.

    Attributes:
        address: Where drivers attach.
        session: The operating system's session that holds the head and every worker it starts.
        pids: Its two essential processes.
        ray: Ray's version; with `python`, what a bridge compares before it attaches.
        python: The interpreter that runs it.
        boot: The machine's boot id, so that a file from before a reboot names nothing.
        started_at: Seconds since the epoch.
    """

    address: str
    session: int
    pids: tuple[int, ...]
    ray: str
    python: str
    boot: str
    started_at: float

    @property
    def alive(self) -> bool:
        """Both essential processes run."""
        return len(self.pids) == len(_SYSTEM) and all(processes.is_alive(pid) for pid in self.pids)


def environment(runtime: Path) -> dict[str, str]:
    """The environment of everything that touches this home's Ray: the person's own, with Ray's settings replaced by ours.

    Args:
        runtime: The home's short runtime folder.
    """
    # Passed through to child processes, not read as configuration; a stray RAY_ADDRESS or RAY_* of the person must not redirect us.
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    return inherited | {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(runtime / "ray.token"),
        "RAY_USAGE_STATS_ENABLED": "0",
        # Despite its name this decides on every platform whether Ray takes an outside address; 0 binds everything to loopback.
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_prestart_worker_first_driver": "0",
        "RAY_task_events_report_interval_ms": "0",  # no history of calls in the GCS: the ledger is the history
        "RAY_enable_metrics_collection": "0",
        "RAY_ENABLE_ZERO_COPY_TORCH_TENSORS": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # an actor without Ray's GPU count still sees the person's GPUs
        "RAY_agent_register_timeout_ms": "100000",  # a busy machine
        "PYTHONSAFEPATH": "1",  # no file of the current folder shadows a library
    }


def find(runtime: Path) -> Head | None:
    """The head of this home when it runs and fits this interpreter and Ray, else None."""
    head = _read(runtime)
    fits = head is not None and head.alive and (head.ray, head.python, head.boot) == (version("ray"), sys.executable, boot_id())
    return head if fits else None


def stop(runtime: Path) -> list[int]:
    """Ends this home's head and everything it started; returns the ids of the processes that were ended.

    Only processes of the recorded session are touched, and none when that session's number has come to mean another.
    """
    with _locked(runtime, lambda: _interrupt(runtime)):
        return _end(runtime)


def _interrupt(runtime: Path) -> None:
    """Ends a launcher that holds the lock: what it has started so far is in its session."""
    head = _read(runtime)
    if head is not None and not head.address and head.boot == boot_id():
        processes.kill(p.pid for p in processes.in_session(head.session))


def _end(runtime: Path) -> list[int]:
    head = _read(runtime)
    ended: list[int] = []
    if head is not None and head.boot == boot_id() and head.session > 1:
        # The launcher led the session and is gone, or about to be. A leader that lives on means that the number was given
        # to somebody else.
        deadline = time.monotonic() + END_S
        while processes.is_alive(head.session) and head.session != os.getpid() and time.monotonic() < deadline:
            time.sleep(0.05)
        while not processes.is_alive(head.session) and time.monotonic() < deadline:
            members = [p.pid for p in processes.in_session(head.session)]
            if not members:
                break
            ended += members
            processes.kill(members)
            time.sleep(0.01)
    (runtime / "ray.json").unlink(missing_ok=True)
    return sorted(set(ended))


def start(runtime: Path) -> Head:
    """Finds or starts this home's head; run in a process of its own that leads its session and exits afterwards.

    Raises:
        Unavailable: Ray did not start.
        StorageFailed: The runtime folder's name is too long for Ray's sockets.
    """
    temp = runtime / "ray"
    if len(os.fsencode(temp)) > LONGEST_TEMP:
        message = f"Ray's folder {temp} has a name longer than {LONGEST_TEMP} bytes"
        raise StorageFailed(message, subject=str(temp), hint="set MLSTUDIO_RUNTIME to a shorter folder")
    with _locked(runtime):
        if found := find(runtime):
            return found
        _end(runtime)
        for left in runtime.glob("p*.sock"):
            left.unlink(missing_ok=True)
        _write_token(runtime / "ray.token")
        session = os.getsid(0)
        half = Head("", session, (), version("ray"), sys.executable, boot_id(), time.time())
        _write(runtime, half)  # a launcher killed half-way leaves the session to be ended by the next
        try:
            _launch(temp)
        except Exception:  # noqa: BLE001 — Ray gives its parts 30 seconds, which a busy machine may exceed: once more, then its own words
            processes.kill(p.pid for p in processes.in_session(session) if p.pid != os.getpid())
            _launch(temp)
        members = processes.in_session(session)
        head = Head(
            (temp / "ray_current_cluster").read_text().strip(),
            session,
            tuple(sorted(p.pid for p in members if p.name in _SYSTEM)),
            half.ray,
            half.python,
            half.boot,
            half.started_at,
        )
        if not head.alive:
            hint = f"read the newest files in {temp}/session_latest/logs"
            raise Unavailable("the Ray head ended while it started", subject=str(temp), hint=hint)
        _write(runtime, head)
        return head


def _launch(temp: Path) -> None:
    shutil.rmtree(temp, ignore_errors=True)
    temp.mkdir(mode=0o700)
    node: Any = importlib.import_module("ray._private.node")
    scripts: Any = importlib.import_module("ray.scripts.scripts")
    # `ray start` has no switch for these two: the API server starts even without a dashboard (90 MB, 1.5 s), and the
    # client server whenever grpcio happens to be installed (an open port).
    node.Node.start_api_server = lambda self, **_options: setattr(self, "_webui_url", None)
    scripts.get_ray_client_dependency_error = lambda: "not wanted"
    arguments = {
        "node-ip-address": LOOPBACK,
        "port": 0,
        "min-worker-port": 0,
        "max-worker-port": 0,
        "include-dashboard": "false",
        "include-log-monitor": "false",
        "dashboard-agent-listen-port": 0,
        "object-store-memory": STORE_BYTES,
        "num-cpus": os.cpu_count() or 1,
        "temp-dir": temp,
    }
    command = ["start", "--head", "--no-monitor", "--disable-usage-stats", *(f"--{name}={value}" for name, value in arguments.items())]
    scripts.cli.main(args=command, prog_name="ray", standalone_mode=False)


def _write_token(path: Path) -> None:
    path.unlink(missing_ok=True)  # a new head, a new token
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(secrets.token_hex(32))


@contextlib.contextmanager
def _locked(runtime: Path, impatient: Callable[[], None] | None = None) -> Iterator[None]:
    """Holds the runtime folder's Ray lock; `impatient` is called while somebody else has it."""
    with open(runtime / "ray.lock", "w") as lock:
        while impatient is not None:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                impatient()
                time.sleep(0.05)
        else:
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _read(runtime: Path) -> Head | None:
    try:
        data: Mapping[str, Any] = json.loads((runtime / "ray.json").read_text())
        return Head(**{**data, "pids": tuple(data["pids"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _write(runtime: Path, head: Head) -> None:
    beside = runtime / "ray.json.new"
    beside.write_text(json.dumps(asdict(head)))
    beside.replace(runtime / "ray.json")


def boot_id() -> str:
    """This boot of this machine, as far as the system tells."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


if __name__ == "__main__":
    os.umask(0o077)
    if os.getsid(0) != os.getpid():
        os.setsid()
    signal.alarm(LAUNCH_S)  # a launcher that hangs must not hold the lock for ever
    start(Path(sys.argv[1]))
