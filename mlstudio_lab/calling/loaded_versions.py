"""Whether the distributions this process has are those a lock names, also those already loaded before an upgrade."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import site
import sys
import sysconfig
from typing import Any, Final

from mlstudio_lab.core.lock import Lock

_INFO: Final = re.compile(r"(?P<name>[^-]+)-(?P<version>[^-]+)\.(?:dist|egg)-info")
_MOST_LOCKS: Final = 256


class LoadedVersions:
    """The distributions of one process, watched from when it started.

    An upgrade under a running process leaves the old code loaded beside new files: such a distribution is neither
    version, and differs from every lock.

    Example:
        >>> LoadedVersions().differing(Lock(platform.python_version(), f"{sys.platform}-{platform.machine()}", ()))
        {}
    """

    def __init__(self) -> None:
        self._folders = _folders()
        self._stamp = self._look()
        self._installed = _listed(self._folders)
        self._stale: dict[str, str] = {}
        self._known: dict[str, dict[str, str]] = {}

    def differing(self, lock: Lock) -> dict[str, str]:
        """Distribution -> version here, "" when absent, for all that are not as the lock says; empty when all are."""
        stamp = self._look()
        if stamp != self._stamp:
            self._refresh(stamp)
        # The whole lock, not its digest: comparing tuples that are mostly the same object is faster than hashing text.
        key = f"{lock.python} {lock.platform} {hash(lock.distributions)}"
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= _MOST_LOCKS:
                self._known.clear()
            found = self._known[key] = self._compare(lock)
        return found

    def _compare(self, lock: Lock) -> dict[str, str]:
        found = {}
        if lock.python != platform.python_version():
            found["python"] = platform.python_version()
        here = f"{sys.platform}-{platform.machine()}"
        if lock.platform not in (here, ""):
            found["platform"] = here
        for name, wanted in lock.distributions:
            if name in self._stale and self._stale[name] != self._installed.get(name):
                found[name] = self._stale[name]
                continue
            have = self._installed.get(name)
            if have is None:
                have = _elsewhere(name)
            if have != wanted and wanted != "unknown":
                found[name] = have or ""
        return found

    def _refresh(self, stamp: tuple[int, ...]) -> None:
        before, self._installed = self._installed, _listed(self._folders)
        for name, version in before.items():
            if self._installed.get(name) != version and _is_loaded(name):
                self._stale.setdefault(name, version)
        self._stamp = stamp
        self._known.clear()
        _tops.clear()

    def _look(self) -> tuple[int, ...]:
        found = []
        for folder in self._folders:
            try:
                found.append(os.stat(folder).st_mtime_ns)
            except OSError:
                found.append(0)
        return tuple(found)


def _folders() -> tuple[str, ...]:
    names = [p for n in ("purelib", "platlib") if (p := sysconfig.get_path(n))]
    names += [p for p in sys.path if p.endswith(("site-packages", "dist-packages"))]
    if site.ENABLE_USER_SITE:
        names.append(site.getusersitepackages())
    return tuple(dict.fromkeys(names))


def _listed(folders: tuple[str, ...]) -> dict[str, str]:
    """Distribution -> version from the names of the metadata folders; the first folder on the path wins."""
    found: dict[str, str] = {}
    for folder in folders:
        try:
            names = os.listdir(folder)
        except OSError:
            continue
        for name in names:
            if name.endswith("-info") and (match := _INFO.fullmatch(name)):
                found.setdefault(_normal(match["name"]), match["version"])
    return found


def _elsewhere(name: str) -> str | None:
    """The version of a distribution that lies outside the site folders, or of a module that is none."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        version = getattr(sys.modules.get(name.replace("-", "_")), "__version__", None)
        return None if version is None else str(version)


_tops: dict[str, Any] = {}


def _is_loaded(name: str) -> bool:
    """Whether any top-level module of a distribution is loaded; yes when that cannot be told."""
    if not _tops:
        for module, names in importlib.metadata.packages_distributions().items():
            for each in names:
                _tops.setdefault(_normal(each), set()).add(module)
    modules = _tops.get(name) or {name.replace("-", "_")}
    return any(module in sys.modules for module in modules)


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
