"""Where imported modules come from, and the lock: Python, platform and every distribution the code can reach."""

from __future__ import annotations

import os
import platform
import re
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Literal

from mlstudio_lab.core.lock import Lock

Origin = Literal["stdlib", "third", "local", "missing"]

_OURS = "mlstudio_lab"


def origin_of(name: str) -> Origin:
    """Where a dotted module name comes from: the standard library, an installed distribution, a person's own file.

    Editable installs and files beside the notebook are `local`; names nothing can import are `missing`.

    Example:
        >>> origin_of("os.path"), origin_of("numpy")
        ('stdlib', 'third')
    """
    root = name.partition(".")[0]
    if root in sys.stdlib_module_names or root in ("builtins", "__future__"):
        return "stdlib"
    if root == _OURS:
        return "third"
    found = _ORIGINS.get(root)
    if found is None:
        path = module_file(root)
        found = "missing" if path is None else "third" if is_installed(path) else "local"
        if found == "third":  # an installed package stays where it is; a person's file may come, go and move
            _ORIGINS[root] = found
    return found


_ORIGINS: dict[str, Origin] = {}


def module_file(name: str) -> str | None:
    """The file (or, for a namespace package, the folder) a module is or would be loaded from; nothing is imported."""
    module = sys.modules.get(name)
    if module is not None:
        path = getattr(module, "__file__", None)
        if path:
            return str(path)
        folders = list(getattr(module, "__path__", ()))
        return str(folders[0]) if folders else "" if getattr(module, "__spec__", None) is not None else None
    spec = find_spec(name)
    if spec is None:
        return None
    if spec.origin and spec.has_location:
        return str(spec.origin)
    folders = list(spec.submodule_search_locations or ())
    return str(folders[0]) if folders else (spec.origin or "")


def find_spec(name: str) -> Any:
    """A module's spec without importing its parents, None when nothing finds it."""
    parent, _, _ = name.rpartition(".")
    path: list[str] | None = None
    if parent:
        above = sys.modules.get(parent)
        folders = getattr(above, "__path__", None) if above is not None else getattr(find_spec(parent), "submodule_search_locations", None)
        if not folders:
            return None
        path = list(folders)
    for finder in sys.meta_path:
        find = getattr(finder, "find_spec", None)
        if find is None:
            continue
        try:
            spec = find(name, path, None)
        except KeyError:
            spec = _folder_without_init(name, path)  # the finder wants its parent loaded
        except (ImportError, ValueError, AttributeError):
            continue
        if spec is not None:
            return spec
    return None


def _folder_without_init(name: str, path: list[str] | None) -> Any:
    from importlib.machinery import ModuleSpec

    folders = [f for p in path or () if os.path.isdir(f := os.path.join(p, name.rpartition(".")[2]))]
    if not folders:
        return None
    spec = ModuleSpec(name, None, is_package=True)
    spec.submodule_search_locations = folders
    return spec


@lru_cache(maxsize=4096)
def is_installed(path: str) -> bool:
    """Whether a file belongs to an installed distribution or to Python, not to a person's own folder."""
    if not path:
        return True  # frozen or built in
    real = os.path.realpath(path)
    return (
        any(real.startswith(folder) for folder in _installed_folders())
        or "site-packages" in Path(real).parts
        or "dist-packages" in Path(real).parts
    )


@cache
def _installed_folders() -> tuple[str, ...]:
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    return tuple(sorted({os.path.realpath(p) + os.sep for n in names if (p := sysconfig.get_path(n))}))


def lock_for(roots: Iterable[str]) -> Lock:
    """The lock of code that imports these top-level modules: the transitive closure of their distributions.

    Args:
        roots: Top-level names of installed modules.
    """
    return _lock(frozenset(roots), environment_stamp())


def environment_stamp() -> tuple[object, ...]:
    """Changes when something is installed or removed."""
    stamp = []
    for path in _site_folders():
        try:
            stamp.append(os.stat(path).st_mtime_ns)
        except OSError:
            stamp.append(0)
    return tuple(stamp)


@cache
def _site_folders() -> tuple[str, ...]:
    return tuple(dict.fromkeys(p for n in ("purelib", "platlib") if (p := sysconfig.get_path(n))))


@lru_cache(maxsize=512)
def _lock(roots: frozenset[str], stamp: tuple[object, ...]) -> Lock:
    found: dict[str, str] = {}
    direct = []
    for root in sorted(roots):
        distribution = distribution_of(root, stamp)
        if distribution is None:
            version = getattr(sys.modules.get(root), "__version__", None)
            found.setdefault(normal(root), str(version) if version is not None else "unknown")
            continue
        direct.append(normal(distribution))
        found.update(_closure(distribution, stamp))
    return Lock(platform.python_version(), f"{sys.platform}-{platform.machine()}", tuple(sorted(found.items())), tuple(direct))


def normal(name: str) -> str:
    """A distribution's name as PEP 503 writes it.

    Example:
        >>> normal("Scikit_Learn")
        'scikit-learn'
    """
    return re.sub(r"[-_.]+", "-", name).lower()


@lru_cache(maxsize=512)
def distribution_of(root: str, stamp: tuple[object, ...] = ()) -> str | None:
    """The installed distribution that provides a top-level module, None when none says so."""
    from importlib import metadata

    try:
        candidate = metadata.distribution(root)
    except (metadata.PackageNotFoundError, ValueError):
        candidate = None
    if candidate is not None and _provides(candidate, root):
        return str(candidate.metadata["Name"])
    for distribution in _distributions(stamp):
        if _provides(distribution, root):
            return str(distribution.metadata["Name"])
    return None


@lru_cache(maxsize=2)
def _distributions(stamp: tuple[object, ...]) -> tuple[Any, ...]:
    from importlib import metadata

    return tuple(metadata.distributions())


def _provides(distribution: Any, root: str) -> bool:
    listed = distribution.read_text("top_level.txt")
    if listed and root in listed.split():
        return True
    record = distribution.read_text("RECORD") or ""
    return any(
        record.startswith(start) or "\n" + start in record for start in (f"{root}/", f"{root}.py,", f"{root}.cpython", f"{root}.abi3")
    )


@lru_cache(maxsize=512)
def _closure(name: str, stamp: tuple[object, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    waiting = [(normal(name), "")]
    seen = set()
    while waiting:
        now = waiting.pop()
        if now in seen:
            continue
        seen.add(now)
        known = _requirements(now[0], now[1], stamp)
        if known is None:
            continue
        found[now[0]] = known[0]
        waiting.extend(known[1])
    return found


@lru_cache(maxsize=4096)
def _requirements(name: str, extra: str, stamp: tuple[object, ...]) -> tuple[str, tuple[tuple[str, str], ...]] | None:
    from importlib import metadata

    try:
        distribution = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return None
    return str(distribution.version), tuple(_required(distribution, extra))


def _required(distribution: Any, extra: str) -> Iterator[tuple[str, str]]:
    from packaging.requirements import InvalidRequirement, Requirement

    for text in distribution.requires or ():
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            continue
        if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
            yield normal(requirement.name), ""
            for wanted in sorted(requirement.extras):
                yield normal(requirement.name), wanted
