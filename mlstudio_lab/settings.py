"""Every setting, once; the only reader of environment variables."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from mlstudio_lab.core.errors import BadInput


@dataclass(frozen=True, slots=True)
class Settings:
    """What a process was told from outside.

    Attributes:
        home: Folder of the ledger, blobs and logs (`MLSTUDIO_HOME`, default `~/.mlstudio`).
        url: A team's service instead of this machine's own (`MLSTUDIO_URL`).
        token: Bearer token for `url` (`MLSTUDIO_TOKEN`).
        runtime: Parent of the short runtime folder for sockets (`MLSTUDIO_RUNTIME`, default `XDG_RUNTIME_DIR` or /tmp).
        executor: `auto` (local at once, Ray once warm), `local` or `ray` (`MLSTUDIO_EXECUTOR`).
        local_workers: Warm local worker processes (`MLSTUDIO_LOCAL_WORKERS`, default 2).
        ray_workers: Warm Ray actors (`MLSTUDIO_RAY_WORKERS`, default 2).
        idle_s: Seconds without a client or run after which the service stops; 0 never (`MLSTUDIO_IDLE_S`, default 0).
        user: Who acts where the operating system does not say (`MLSTUDIO_USER`).

    Example:
        >>> Settings.read({"MLSTUDIO_HOME": "/data/studio"}).home.as_posix()
        '/data/studio'
    """

    home: Path
    url: str = ""
    token: str = field(default="", repr=False)
    runtime: Path = Path("/tmp")  # noqa: S108
    executor: str = "auto"
    local_workers: int = 2
    ray_workers: int = 2
    idle_s: int = 0
    user: str = ""

    @classmethod
    def read(cls, environ: Mapping[str, str] | None = None, *, home: str | Path | None = None, url: str | None = None) -> Settings:
        """The settings of this process; arguments win over the environment.

        Raises:
            BadInput: A variable holds what it cannot.
        """
        env = os.environ if environ is None else environ

        def number(name: str, default: int) -> int:
            text = env.get(name, "")
            if text and not (text.isdecimal() and text.isascii()):
                raise BadInput(f"{name} is {text!r}, expected a whole number", subject=name, hint=f"unset {name} or set it to {default}")
            return int(text) if text else default

        executor = env.get("MLSTUDIO_EXECUTOR", "auto")
        if executor not in ("auto", "local", "ray"):
            raise BadInput(f"MLSTUDIO_EXECUTOR is {executor!r}, expected auto, local or ray", subject="MLSTUDIO_EXECUTOR")
        folder = Path(home or env.get("MLSTUDIO_HOME") or Path(env.get("HOME", "~")).expanduser() / ".mlstudio").expanduser().absolute()
        return cls(
            home=folder,
            url=url if url is not None else env.get("MLSTUDIO_URL", ""),
            token=env.get("MLSTUDIO_TOKEN", ""),
            runtime=Path(env.get("MLSTUDIO_RUNTIME") or env.get("XDG_RUNTIME_DIR") or "/tmp"),  # noqa: S108
            executor=executor,
            local_workers=number("MLSTUDIO_LOCAL_WORKERS", 2),
            ray_workers=number("MLSTUDIO_RAY_WORKERS", 2),
            idle_s=number("MLSTUDIO_IDLE_S", 0),
            user=env.get("MLSTUDIO_USER", ""),
        )

    def at(self, home: Path) -> Settings:
        """The same settings with another home.

        Example:
            >>> Settings.read({}).at(Path("/data/other")).home.as_posix()
            '/data/other'
        """
        return replace(self, home=home)

    def environment(self) -> dict[str, str]:
        """This process's environment for a child process that shall work in the same home.

        Example:
            >>> Settings.read({"MLSTUDIO_HOME": "/data/studio"}).environment()["MLSTUDIO_HOME"]
            '/data/studio'
        """
        return {**os.environ, "MLSTUDIO_HOME": str(self.home)}
