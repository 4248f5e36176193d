"""`from __future__` statements, which a notebook hands on from cell to cell as compiler flags."""

from __future__ import annotations
import __future__

import ast
from collections.abc import Iterable
from typing import Final

FLAGS: Final[dict[str, int]] = {name: getattr(__future__, name).compiler_flag for name in __future__.all_feature_names}
"""Feature -> its compiler flag."""
ALL: Final = sum(set(FLAGS.values()))
"""All of these flags."""


def features(flags: int) -> list[str]:
    """The features that compiler flags stand for, those left out that every Python of today has anyway.

    Example:
        >>> features(__future__.annotations.compiler_flag)
        ['annotations']
    """
    return [name for name, flag in FLAGS.items() if flags & flag and name in ("annotations", "barry_as_FLUFL")]


def flags_of(sources: Iterable[str]) -> int:
    """The compiler flags that future statements of some sources ask for.

    Example:
        >>> flags_of(["from __future__ import annotations"]) == __future__.annotations.compiler_flag
        True
    """
    found = 0
    for source in sources:
        if "__future__" in source:
            found |= flags_of_tree(ast.parse(source))
    return found


def flags_of_tree(tree: ast.Module) -> int:
    """The compiler flags that the future statements of a tree ask for.

    Args:
        tree: A whole text.
    """
    found = 0
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module == "__future__":
            for alias in node.names:
                found |= FLAGS.get(alias.name, 0)
    return found
