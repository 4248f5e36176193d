"""A real service in a short-lived home, on local workers, for tests of clients and faces."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from mlstudio_lab.client.discover import find
from mlstudio_lab.client.session import Session
from mlstudio_lab.client.studio import Studio
from mlstudio_lab.client.transport import Transport
from mlstudio_lab.settings import Settings


@contextlib.contextmanager
def environment(**values: str) -> Iterator[None]:
    """These environment variables within the block, for this process and what it starts."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def running_home() -> Iterator[Path]:
    """An empty home whose service, once something starts it, is stopped at the end."""
    home = Path(tempfile.mkdtemp(prefix="mlsh-"))
    with environment(MLSTUDIO_HOME=str(home), MLSTUDIO_EXECUTOR="local"):
        try:
            yield home
        finally:
            stop_service(home)
            shutil.rmtree(home, ignore_errors=True)


def stop_service(home: Path) -> None:
    """Stops a home's service and waits until it has let go of the home."""
    import fcntl

    address = find(Settings.read(home=home, url=""))
    if address is not None:
        Transport(lambda: address).post("/shutdown", {})
    lock = home / "service.lock"
    if lock.exists():
        with lock.open() as handle:
            fcntl.flock(handle, fcntl.LOCK_SH)


def fresh_studio(home: Path) -> Studio:
    """A studio of a home with a connection of its own."""
    return Studio(Session(Settings.read(home=home, url="")))
