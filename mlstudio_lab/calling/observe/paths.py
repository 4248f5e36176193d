"""Which files count as a run's own reads: everything but the installation, the system's own and our home."""

from __future__ import annotations

import functools
import os
import site
import sys
import sysconfig
import tempfile
from typing import Final

_SYSTEM: Final = ("/proc/", "/dev/", "/sys/", "/usr/lib", "/usr/share/", "/usr/local/lib/python", "/lib/", "/lib64/", "/etc/ld.so", "/run/")
_CACHES: Final = ("/.cache/", "/.config/matplotlib/", "/__pycache__/", "/.ipython/", "/.matplotlib/", "/matplotlib-", "/mls-ipython-")
_ENDINGS: Final = (".pyc", ".pyo", ".so", ".nbi", ".nbc")


@functools.cache
def _installation() -> tuple[str, ...]:
    folders = {sys.prefix, sys.base_prefix, sys.exec_prefix, *sysconfig.get_paths().values(), *site.getsitepackages()}
    if site.ENABLE_USER_SITE:
        folders.add(site.getusersitepackages())
    folders.add(os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))) + "/mlstudio_lab")
    folders |= {os.path.realpath(f) for f in folders}
    # A prefix such as /usr holds people's folders on no system we know, but "/" would hide everything.
    return tuple(sorted(f.rstrip("/") + "/" for f in folders if f.rstrip("/") and f.rstrip("/") not in ("/usr", "/usr/local")))


def is_own(path: str, home: str) -> bool:
    """Whether an absolute path is something a person's code reads, rather than Python, its libraries, the system or our home.

    Example:
        >>> is_own("/proc/self/stat", ""), is_own("/data/flights.csv", "")
        (False, True)
    """
    if path.startswith(_SYSTEM + _installation()) or path.endswith(_ENDINGS):
        return False
    if home and (path == home or path.startswith(home + "/")):
        return False
    return not any(part in path for part in _CACHES)


def is_temporary(path: str) -> bool:
    """Whether an absolute path lies in a folder for temporary files."""
    return path.startswith((tempfile.gettempdir() + "/", "/tmp/", "/var/tmp/"))  # noqa: S108
