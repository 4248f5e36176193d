"""What a bundle's text says about the world outside it: environment variables, clocks, randomness."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from mlstudio_lab.capture.purity import aliases_of, environment_names, impurities
from mlstudio_lab.capture.session import session_use
from mlstudio_lab.core.bundle import Bundle
from mlstudio_lab.core.magic_lines import parse_cell
from mlstudio_lab.wire.task import Impurity


def static_effects(bundle: Bundle, namespace: Mapping[str, Any]) -> tuple[dict[str, str | None], list[Impurity]]:
    """Environment variables read by literal name with their present values, and impurities with the cell's lines.

    An impurity in a helper has line 0 and names the helper.
    """
    names: set[str] = set()
    found: list[Impurity] = []
    imports: dict[str, str] = {}
    for unit in bundle.units:
        if unit.role == "import":
            imports.update(aliases_of(parse_cell(unit.source).tree))
    polars = any(n == "polars" for n, _ in bundle.lock.distributions)
    for unit in bundle.units:
        if unit.role in ("main", "definition", "module"):
            names |= environment_names(unit.source)
            for impurity in impurities(unit.source, namespace if unit.role != "module" else {}, imports, polars=polars):
                if unit.role != "main":
                    impurity = Impurity(impurity.what, f"`{unit.name}` {impurity.detail}", 0)
                found.append(impurity)
    what, line = session_use(bundle, namespace)
    if what:
        found.append(Impurity("session", what, line))
    # The person's own environment, not a setting of ours.
    return {n: os.environ.get(n) for n in sorted(names)}, found


def uses_session(impure: Iterable[Impurity]) -> str:
    """Why impurities found in the text keep code in the kernel, "" when they do not."""
    return next((i.detail for i in impure if i.what == "session"), "")
