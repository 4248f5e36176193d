"""Names that code asked for and did not find, from what its exception says."""

from __future__ import annotations

import re
from typing import Final

_QUOTED: Final = re.compile(r"['\"`]([A-Za-z_][A-Za-z0-9_]*)['\"`]")
_TABLE: Final = re.compile(r"Table with name ([A-Za-z_][A-Za-z0-9_]*) does not exist")
_MOST_CAUSES: Final = 5


def named_in(error: BaseException | None) -> list[str]:
    """Global names an exception is about: a NameError's, a pandas `query`'s, a table no SQL engine found.

    Example:
        >>> named_in(NameError("name 'base' is not defined", name="base"))
        ['base']
    """
    found: list[str] = []
    for _ in range(_MOST_CAUSES):
        if error is None:
            break
        if isinstance(error, UnboundLocalError):
            pass
        elif isinstance(error, NameError):
            found += [error.name] if error.name else _QUOTED.findall(str(error))
        elif type(error).__name__ in ("SQLInterfaceError", "CatalogException"):
            found += _TABLE.findall(str(error)) or _QUOTED.findall(str(error))
        error = error.__cause__ or error.__context__
    return list(dict.fromkeys(found))
