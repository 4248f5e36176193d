"""What the studio needs here, checked one by one; nothing is changed and no service is started."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from mlstudio_lab.client.discover import find
from mlstudio_lab.client.transport import Transport
from mlstudio_lab.core.errors import StudioError
from mlstudio_lab.settings import Settings

_LEAST_FREE_BYTES: Final = 2_000_000_000


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at.

    Attributes:
        name: What was looked at.
        ok: Whether it is as it should be.
        detail: What was found.
        hint: One next step when it is not.
        matters: Whether the studio fails without it.
    """

    name: str
    ok: bool
    detail: str
    hint: str = ""
    matters: bool = True

    def to_json(self) -> dict[str, Any]:
        """The check as plain JSON values."""
        return asdict(self)


def examine(settings: Settings) -> list[Check]:
    """Every check in turn, for one home.

    Example:
        >>> [check.name for check in examine(Settings.read({}))][0]
        'python'
    """
    return [
        _python(),
        _platform(),
        _packages(),
        _bundle(),
        _optional("ray", "the hot cluster", "ray"),
        _optional("jupyterlab", "the panel", "lab"),
        *_home(settings),
        _service(settings),
    ]


def _python() -> Check:
    found = platform.python_version()
    return Check("python", (3, 11) <= sys.version_info[:2] <= (3, 13), found, "use Python 3.11, 3.12 or 3.13")


def _platform() -> Check:
    known = sys.platform in ("linux", "darwin")
    return Check("platform", known, f"{platform.system()} {platform.machine()}", "only Linux and macOS are tested", matters=False)


def _packages() -> Check:
    from packaging.requirements import Requirement

    bad = []
    for text in requires("mlstudio_lab") or ():
        requirement = Requirement(text)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            found = version(requirement.name)
        except PackageNotFoundError:
            bad.append(f"{requirement.name} is missing")
            continue
        if not requirement.specifier.contains(found, prereleases=True):
            bad.append(f"{requirement.name} is {found}, expected {requirement.specifier}")
    detail = "; ".join(bad) or f"mlstudio_lab {version('mlstudio_lab')} and what it requires"
    return Check("packages", not bad, detail, "install again: pip install -e .")


def _bundle() -> Check:
    folder = Path(__file__).resolve().parent.parent / "labextension"
    there = (folder / "package.json").is_file() and any((folder / "static").glob("remoteEntry*.js"))
    return Check(
        "JupyterLab bundle",
        there,
        "built" if there else "not in this installation",
        "build it: cd labextension && jlpm && jlpm build:prod",
        matters=False,
    )


def _optional(package: str, gives: str, extra: str) -> Check:
    if find_spec(package) is None:
        return Check(package, False, f"not installed; {gives} is off", f"install it: pip install 'mlstudio_lab[{extra}]'", matters=False)
    return Check(package, True, version(package))


def _home(settings: Settings) -> list[Check]:
    home = settings.home
    nearest = next((p for p in (home, *home.parents) if p.exists()), Path("/"))
    if home.is_dir():
        try:
            with tempfile.TemporaryFile(dir=home):
                pass
            writable, detail = True, str(home)
        except OSError as error:
            writable, detail = False, f"{home}: {error.strerror}"
    elif home.exists():
        writable, detail = False, f"{home} is not a folder"
    else:
        writable = os.access(nearest, os.W_OK | os.X_OK)
        detail = f"{home} is not there yet" + ("" if writable else f" and {nearest} is read-only")
    free = shutil.disk_usage(nearest).free
    return [
        Check("home", writable, detail, "choose another with --home or MLSTUDIO_HOME"),
        Check("disk", free > _LEAST_FREE_BYTES, f"{free / 1e9:.1f} GB free", "free some space", matters=free < _LEAST_FREE_BYTES / 20),
    ]


def _service(settings: Settings) -> Check:
    try:
        address = find(settings)
        if address is None:
            return Check("service", True, "not running; it starts by itself when first needed")
        shake = Transport(lambda: address).get("/handshake")
    except StudioError as error:
        return Check("service", False, error.message, error.hint)
    return Check("service", True, f"answers (process {shake['pid']}, executors {', '.join(shake['executors'])})")
