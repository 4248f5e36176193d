"""Which libraries the values handed to a run belong to: code that never names polars still runs polars on a polars frame."""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterable

from mlstudio_lab.capture.environment import distribution_of, environment_stamp
from mlstudio_lab.wire.task import Value


def library_versions(values: Iterable[Value]) -> dict[str, str]:
    """Library -> version of the third-party types among the values, for the memo key.

    Example:
        >>> library_versions([Value("", "int"), Value("", "builtins.list")])
        {}
    """
    roots = {value.type.partition(".")[0] for value in values if "." in value.type}
    found = {}
    for root in roots:
        if root in sys.stdlib_module_names or root == "__main__":
            continue
        version = _version(root, environment_stamp())
        if version:
            found[f"library {root}"] = version
    return found


@functools.lru_cache(maxsize=256)
def _version(root: str, stamp: tuple[object, ...]) -> str:
    from importlib.metadata import PackageNotFoundError, version

    name = distribution_of(root, stamp)
    try:
        return version(name) if name else ""
    except PackageNotFoundError:
        return ""
