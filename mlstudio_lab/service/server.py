"""Uvicorn, with signals left to the service."""

from __future__ import annotations

import contextlib
from collections.abc import Generator

import uvicorn


class Server(uvicorn.Server):
    """Uvicorn's server; whoever runs it handles signals and sets `should_exit`."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Nothing: the service has its own handlers, and must not be killed again by the signal that stopped it."""
        yield
