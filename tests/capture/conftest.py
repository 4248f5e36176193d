"""A real IPython shell, remembered by a history as the extension does it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell

from mlstudio_lab.calling.load import load
from mlstudio_lab.capture import Captured, install


class Kernel:
    """Cells run as in a notebook."""

    def __init__(self) -> None:
        self.shell = InteractiveShell()
        self.shell.history_manager.enabled = False
        install(self.shell)

    @property
    def ns(self) -> dict[str, Any]:
        return self.shell.user_ns

    def run(self, *cells: str) -> None:
        for cell in cells:
            self.shell.run_cell(cell, store_history=True).raise_error()


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    main = sys.modules["__main__"]
    try:
        yield Kernel()
    finally:
        sys.modules["__main__"] = main


@pytest.fixture
def call() -> Callable[..., Any]:
    """Calls a captured function module somewhere that has only its bundle and inputs."""

    def run(captured: Captured, *args: Any, **kwargs: Any) -> Any:
        with load(captured.bundle, captured.origins) as loaded:
            loaded.run_imports()
            loaded.namespace.update(captured.inputs)
            loaded.run_definitions()
            return loaded.call(*args, **kwargs)

    return run


@pytest.fixture
def run_cell() -> Callable[[Captured], dict[str, Any]]:
    """Runs a captured cell somewhere that has only its bundle and inputs; gives its outputs."""

    def run(captured: Captured) -> dict[str, Any]:
        with load(captured.bundle, captured.origins) as loaded:
            loaded.run_imports()
            loaded.namespace.update(captured.inputs)
            loaded.run_definitions()
            code = loaded.cell()
            exec(code.body, loaded.namespace)
            if code.last is not None:
                eval(code.last, loaded.namespace)
            return {n: loaded.namespace[n] for n in captured.outputs if n in loaded.namespace}

    return run
