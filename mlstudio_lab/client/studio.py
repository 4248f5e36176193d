"""The studio as people hold it: its modules, datasets and runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mlstudio_lab.client.calls import ModuleHandle
from mlstudio_lab.client.datasets import Datasets
from mlstudio_lab.client.modules import Modules
from mlstudio_lab.client.runs import Runs
from mlstudio_lab.client.session import Session
from mlstudio_lab.core.errors import BadInput
from mlstudio_lab.core.names import Ref
from mlstudio_lab.settings import Settings

_open: dict[Settings, Studio] = {}


class Studio:
    """One home's studio, reached through its service.

    Args:
        session: The connection to use.

    Attributes:
        modules: Publish, get, list and compare modules.
        datasets: Add, get and list datasets.
        runs: Find runs.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self.modules = Modules(session)
        self.datasets = Datasets(session)
        self.runs = Runs(session)

    @property
    def home(self) -> Path:
        """The folder in which everything is remembered."""
        return self.session.settings.home

    @property
    def user(self) -> str:
        """Who the service takes this process for."""
        return str(self.session.handshake["user"])

    def module(self, ref: str) -> ModuleHandle:
        """A callable handle of the version a reference names; a bare name is the person's `dev`, else `latestAlpha`, else `latest`.

        Raises:
            NotFound: There is none; the hint has near matches.
            BadName: The reference is malformed.

        Example:
            >>> studio.module("flights/delay@v3")(flights)  # doctest: +SKIP
        """
        Ref.parse(ref)
        return ModuleHandle.stored(self.session, self.modules.get(ref).to_json())

    def status(self) -> dict[str, Any]:
        """The service's state: executors, runs under way, uptime, as JSON."""
        return dict(self.session.transport.get("/status"))

    def __repr__(self) -> str:
        return f"Studio({self.session.settings.url or self.home})"


def connect(home: str | Path | None = None, url: str | None = None) -> Studio:
    """The studio of a home on this machine, its service started if need be, or a team's studio at a URL.

    Args:
        home: The home's folder; default `MLSTUDIO_HOME`, else `~/.mlstudio`.
        url: A team's service; default `MLSTUDIO_URL`, else none.

    Raises:
        Unavailable: The service does not answer and did not come up; the message has the end of its log.
        Incompatible: It speaks another major of the API.
        StorageFailed: The home cannot be written.

    Example:
        >>> connect(home="/data/studio").user  # doctest: +SKIP
        'ada'
    """
    if home is not None and url:
        raise BadInput("home and url exclude each other", subject="url", hint="give one of them")
    studio = opened(Settings.read(home=home, url="" if home is not None else url))
    _ = studio.session.handshake
    return studio


def opened(settings: Settings) -> Studio:
    """This process's one Studio for these settings; contacts nothing.

    Example:
        >>> opened(Settings.read({})) is opened(Settings.read({}))
        True
    """
    if settings not in _open:
        _open[settings] = Studio(Session(settings))
    return _open[settings]
