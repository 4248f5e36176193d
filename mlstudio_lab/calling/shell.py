"""A headless IPython in a worker, so that `display`, rich representations and inline figures work as in a notebook."""

from __future__ import annotations

import builtins
import os
import sys
import tempfile
import threading
from typing import Any, Final

from mlstudio_lab.calling.stage import Stage

_state: dict[str, Any] = {"shell": None}
_lock: Final = threading.Lock()
_stages: list[Stage] = []


def warm() -> None:
    """Makes the shell ahead of the first run that needs it."""
    _shell()


class Displays:
    """Within this block what is displayed goes to a stage; without IPython loaded nothing is set up until it is needed."""

    __slots__ = ("_stage",)

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def __enter__(self) -> Displays:
        _stages.append(self._stage)
        if not hasattr(builtins, "display"):
            builtins.display = _display  # type: ignore[attr-defined]
        if not hasattr(builtins, "get_ipython"):
            builtins.get_ipython = _shell  # type: ignore[attr-defined]
        if "IPython" in sys.modules:
            _shell()
        return self

    def __exit__(self, *_: object) -> None:
        _stages.remove(self._stage)

    def show(self, value: object) -> None:
        """Displays the last value of a cell, as a notebook's Out does."""
        if value is None:
            return
        shell = _shell()
        data, metadata = shell.display_formatter.format(value)
        if data:
            self._stage.display(data, metadata, kind="result")

    def figures(self) -> None:
        """Displays figures that are still open, as the inline backend does after a cell."""
        pyplot = sys.modules.get("matplotlib.pyplot")
        inline = sys.modules.get("matplotlib_inline.backend_inline")
        if pyplot is not None and inline is not None and pyplot.get_fignums():
            inline.flush_figures()


def _display(*objects: Any, **options: Any) -> Any:
    _shell()
    from IPython.display import display

    return display(*objects, **options)


def _shell() -> Any:
    with _lock:
        if _state["shell"] is None:
            _state["shell"] = _make()
        return _state["shell"]


def _make() -> Any:
    from IPython.core.displaypub import DisplayPublisher
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets import Type
    from traitlets.config import Config

    class StagePublisher(DisplayPublisher):  # type: ignore[misc]
        """Publishes on the stage of the run that is going on."""

        def publish(
            self, data: dict[str, Any], metadata: dict[str, Any] | None = None, *, transient: dict[str, Any] | None = None,
            update: bool = False, **_: Any,
        ) -> None:  # fmt: skip
            if _stages:
                _stages[-1].display(data, metadata, display_id=str((transient or {}).get("display_id", "")), update=update)

        def clear_output(self, wait: bool = False) -> None:
            if _stages:
                _stages[-1].clear(wait)

    class Headless(InteractiveShell):  # type: ignore[misc]
        """A shell nobody types into."""

        display_pub_class = Type(StagePublisher)

        def enable_gui(self, gui: Any = None) -> None:
            """There is no window system to attach."""

    if InteractiveShell.initialized():
        # A worker inside somebody's own IPython process (tests): theirs is used as it is, publishing to the stage.
        shell = InteractiveShell.instance()
        shell.display_pub = StagePublisher(parent=shell)
        return shell
    config = Config()
    config.HistoryManager.enabled = False
    config.HistoryAccessor.enabled = False
    before = {name: sys.modules.get(name) for name in ("__main__",)}
    hooks = (sys.displayhook, sys.excepthook)
    folder = tempfile.mkdtemp(prefix="mls-ipython-")
    try:
        shell = Headless.instance(config=config, ipython_dir=folder)
    finally:
        for name, module in before.items():
            if module is not None:
                sys.modules[name] = module
        sys.displayhook, sys.excepthook = hooks
        _remove(folder)
    shell.display_formatter.active_types = [t for t in shell.display_formatter.format_types]
    return shell


def _remove(folder: str) -> None:
    import shutil

    shutil.rmtree(folder, ignore_errors=True)
    if os.path.isdir(folder):
        return
