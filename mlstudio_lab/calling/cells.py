"""A compiled cell run in global names, awaiting where it awaits."""

from __future__ import annotations

import inspect
from typing import Any

from mlstudio_lab.calling.sources import CellCode


def run_cell(cell: CellCode, namespace: dict[str, Any]) -> Any:
    """Runs a cell's statements and gives its last expression's value, None when it does not end in one.

    Raises:
        BaseException: Whatever the cell raises.

    Example:
        >>> from mlstudio_lab.calling.sources import compiled_cell
        >>> run_cell(compiled_cell("x = 20; x + 1", "<cell>", 1), {})
        21
    """
    _evaluated(cell.body, namespace)
    return None if cell.last is None else _evaluated(cell.last, namespace)


def _evaluated(code: Any, namespace: dict[str, Any]) -> Any:
    value = eval(code, namespace)  # noqa: S307 — the person's own cell
    if not code.co_flags & inspect.CO_COROUTINE:
        return value
    import asyncio

    async def whole() -> Any:
        return await value

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(whole())
    # A kernel's own loop already runs on this thread: another one runs the cell to its end beside it.
    import concurrent.futures

    with concurrent.futures.ThreadPoolExecutor(1) as other:
        return other.submit(asyncio.run, whole()).result()
