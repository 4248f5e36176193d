"""What a cell can see besides its inputs, taken in the kernel and put in place in a worker for one run."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import time
import warnings
from collections.abc import Iterator, Mapping
from typing import Any, Final

from mlstudio_lab.calling import options
from mlstudio_lab.calling.rng import rng_state, set_rng_state
from mlstudio_lab.core.digest import digest

__all__ = ["applied", "counted", "key", "rng_state", "set_rng_state", "take"]

_ERROR: Final = "error"


def take() -> dict[str, Any]:
    """The ambient state of this process as JSON values; imports nothing and costs about a tenth of a millisecond.

    Keys: `cwd`, `env` (every variable), `rng`, `options` (library -> what is not its default), `inline` (whether
    figures are drawn into the notebook), `warnings` (the filters),
    `path` (import folders outside the installation), `recursion`.

    Example:
        >>> take()["cwd"] == os.getcwd()
        True
    """
    try:
        folder = os.getcwd()
    except OSError:
        folder = ""  # it was deleted under us
    return {
        "cwd": folder,
        "env": dict(os.environ),
        "rng": rng_state(),
        "options": options.take(),
        "inline": options.is_inline(),
        "warnings": _filters(),
        "path": [entry for entry in sys.path if not _installed(entry)],
        "recursion": sys.getrecursionlimit(),
    }


def counted() -> dict[str, Any]:
    """The part of `take()` that `key` looks at, and the working directory: all that a remembered result needs.

    Example:
        >>> key(counted()) == key(take())
        True
    """
    return {"cwd": _cwd(), "options": options.take(), "warnings": _filters()}


def key(ambient: Mapping[str, Any]) -> dict[str, str]:
    """What of the ambient state enters every memo key: library -> digest of its non-default options.

    Warning filters count only where they turn warnings into errors. Empty for a session with default options.

    Example:
        >>> key({"options": {"numpy": {"precision": 3}}}).keys()
        dict_keys(['numpy options'])
    """
    found = {f"{name} options": digest("ambient", values) for name, values in ambient.get("options", {}).items()}
    errors = [f for f in ambient.get("warnings", ()) if f[0] == _ERROR]
    if errors:
        found["warning filters"] = digest("ambient", errors)
    return found


class Taint:
    """Notes what could not be put back after a run.

    Attributes:
        reason: For people; "" while the process is clean.
    """

    def __init__(self) -> None:
        self.reason = ""

    def note(self, reason: str) -> None:
        """Keeps the first reason."""
        self.reason = self.reason or reason


@contextlib.contextmanager
def applied(ambient: Mapping[str, Any], taint: Taint | None = None) -> Iterator[None]:
    """The given ambient state is this process's within the block; its own is back afterwards.

    What is missing in `ambient` is left as it is. Where something cannot be put back, `taint` says what.

    Raises:
        FileNotFoundError: The working directory does not exist here.
    """
    taint = taint or Taint()
    folder = _cwd()
    environment = _environment()
    recursion = sys.getrecursionlimit()
    path = list(sys.path)
    filters = list(warnings.filters)
    own = options.take()
    root = logging.getLogger()
    logs = (list(root.handlers), root.level, root.disabled)
    try:
        # Each run shows each warning once, whatever this process has shown before.
        _mutated()
        if "env" in ambient:
            _put_environment({os.fsencode(k): os.fsencode(v) for k, v in ambient["env"].items()})
        if ambient.get("cwd") and ambient["cwd"] != folder:
            os.chdir(ambient["cwd"])
        if ambient.get("path"):
            sys.path.extend(entry for entry in ambient["path"] if entry not in path)
        wanted = ambient.get("options", {})
        if wanted != own:
            options.reset(wanted)
        if ambient.get("inline") or "inline" in ambient.get("env", {}).get("MPLBACKEND", ""):
            options.draw_inline()
        if ambient.get("warnings"):
            _put_filters(ambient["warnings"])
        if ambient.get("recursion"):
            sys.setrecursionlimit(ambient["recursion"])
        if ambient.get("rng"):
            set_rng_state(ambient["rng"])
        yield
    finally:
        _put_environment(environment)
        if _environment() != environment:
            taint.note("environment variables could not be put back")
        if _cwd() != folder:
            try:
                os.chdir(folder)
            except OSError:
                taint.note("the working directory could not be put back")
        sys.path[:] = path
        root.handlers[:], root.disabled = logs[0], logs[2]
        root.setLevel(logs[1])
        if list(warnings.filters) != filters:
            warnings.filters[:] = filters  # type: ignore[index]
            _mutated()
        sys.setrecursionlimit(recursion)
        if not options.reset(own):
            taint.note("library options could not be put back")


def reapply_filters(ambient: Mapping[str, Any]) -> None:
    """Sets the warning filters again once the module's imports have loaded the categories they name."""
    waiting = [f for f in ambient.get("warnings", ()) if f[2] not in _categories]
    if any(_category(f[2]) is not None for f in waiting):
        _put_filters(ambient["warnings"])


def _cwd() -> str:
    try:
        return os.getcwd()
    except OSError:
        return ""


def _installed(entry: str) -> bool:
    return not entry or entry.startswith((sys.prefix, sys.base_prefix)) or "site-packages" in entry or entry.endswith(".zip")


def _environment() -> dict[bytes, bytes]:
    """The environment as bytes: a fifth of the cost of decoding it, three times a run."""
    held: dict[bytes, bytes] | None = getattr(os.environ, "_data", None)
    return dict(held) if held is not None else {os.fsencode(k): os.fsencode(v) for k, v in os.environ.items()}


def _put_environment(wanted: Mapping[bytes, bytes]) -> None:
    now = _environment()
    if now == wanted:
        return
    for name in now.keys() - wanted.keys():
        del os.environ[os.fsdecode(name)]
    for name, value in wanted.items():
        if now.get(name) != value:
            os.environ[os.fsdecode(name)] = os.fsdecode(value)
    if now.get(b"TZ") != wanted.get(b"TZ"):
        time.tzset()
    polars = sys.modules.get("polars._plr")
    if polars is not None and any(name.startswith(b"POLARS_") for name in now.keys() | wanted.keys()):
        # polars reads some of its variables once and keeps them.
        reload = getattr(polars, "config_reload_env_vars", None)
        if reload is not None:
            reload()


_filters_memory: dict[str, Any] = {"filters": None, "json": []}


def _filters() -> list[list[Any]]:
    now = list(warnings.filters)
    if _filters_memory["filters"] != now:
        _filters_memory["filters"] = now
        _filters_memory["json"] = [
            [
                action,
                _pattern(message),
                _named(category),
                _pattern(module),
                line,
            ]
            for action, message, category, module, line in now
        ]
    return list(_filters_memory["json"])


def _named(category: Any) -> str:
    return f"{category.__module__}:{category.__qualname__}"


def _pattern(pattern: Any) -> list[Any] | None:
    if pattern is None:
        return None
    return [pattern, -1] if isinstance(pattern, str) else [pattern.pattern, pattern.flags]


_categories: dict[str, type[Warning]] = {}


def _category(name: str) -> type[Warning] | None:
    if (known := _categories.get(name)) is not None:
        return known
    module, _, qualified = name.partition(":")
    found: Any = sys.modules.get(module)
    for part in qualified.split("."):
        found = getattr(found, part, None)
    if not (isinstance(found, type) and issubclass(found, Warning)):
        return None
    _categories[name] = found
    return found


def _put_filters(filters: list[list[Any]]) -> None:
    import re

    def pattern(packed: list[Any] | None) -> Any:
        if packed is None or packed[1] == -1:
            return packed and packed[0]
        return re.compile(packed[0], packed[1])

    made = [
        (action, pattern(message), category, pattern(module), line)
        for action, message, name, module, line in filters
        if (category := _category(name)) is not None
    ]
    if list(warnings.filters) != made:
        warnings.filters[:] = made  # type: ignore[index]
        _mutated()


def _mutated() -> None:
    # The C side of `warnings` caches what the filters said until it is told.
    told = getattr(warnings, "_filters_mutated", None) or getattr(warnings, "_filters_mutated_lock_held", None)
    if told is not None:
        told()
