"""What every handle shares: the way to the service, its handshake, its blobs, and who wants to hear of finished runs."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlstudio_lab.client.discover import ensure
from mlstudio_lab.client.transport import Transport
from mlstudio_lab.core.errors import Incompatible
from mlstudio_lab.core.ids import ulid
from mlstudio_lab.settings import Settings
from mlstudio_lab.wire.routes import API

if TYPE_CHECKING:
    from mlstudio_lab.blobs.store import Blobs


class Session:
    """One person's connection to one studio; nothing is contacted before it is needed.

    Args:
        settings: Which home or URL.

    Attributes:
        known_versions: Ids of versions that the service is known to have.

    Example:
        >>> Session(Settings.read({}, home="/data/none")).settings.home.name
        'none'
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.transport = Transport(lambda: ensure(settings))
        self.known_versions: set[str] = set()
        self._handshake: dict[str, Any] | None = None
        self._blobs: Blobs | None = None

    @property
    def handshake(self) -> dict[str, Any]:
        """What the service said of itself, asked once.

        Raises:
            Incompatible: It speaks another major of the API.
            Unavailable: It does not answer and could not be started.
        """
        if self._handshake is None:
            answer: dict[str, Any] = self.transport.get("/handshake")
            if answer.get("api") != API:
                raise Incompatible(
                    f"the service speaks API {answer.get('api')}, this client {API}",
                    subject="service",
                    hint="update mlstudio_lab on both sides",
                )
            self._handshake = answer
        return self._handshake

    @property
    def blobs(self) -> Blobs:
        """The studio's blobs: the folder itself where this process may use it, else over HTTP."""
        if self._blobs is None:
            folder = self.handshake.get("blobs")
            if folder and os.access(folder, os.R_OK | os.W_OK | os.X_OK):
                from mlstudio_lab.blobs.local import LocalBlobs

                self._blobs = LocalBlobs(Path(folder))
            else:
                from mlstudio_lab.client.remote_blobs import RemoteBlobs

                self._blobs = RemoteBlobs(self.transport)
        return self._blobs

    def new_run_id(self) -> str:
        """A fresh ULID for a run that starts here."""
        return ulid(time.time_ns() // 1_000_000, os.urandom(10))
