"""A headless IPython in a worker, so that `display`, rich representations and inline figures work as in a notebook."""

from __future__ import annotations

import builtins
import sys
import tempfile
import threading
from typing import Any, Final

from mlstudio_lab.calling.rng import rng_state, set_rng_state
from mlstudio_lab.calling.stage import Stage

_state: dict[str, Any] = {"shell": None}
_lock: Final = threading.Lock()
_stages: list[Stage] = []


def warm() -> None:
    """Makes the shell ahead of the first run that needs it."""
    _shell()


class Displays:
    """Within this block what is displayed goes to a stage."""

    __slots__ = ("_stage",)

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def __enter__(self) -> Displays:
        _stages.append(self._stage)
        if not hasattr(builtins, "display"):
            builtins.display = _display  # type: ignore[attr-defined]
        if not hasattr(builtins, "get_ipython"):
            builtins.get_ipython = _shell  # type: ignore[attr-defined]
        if _state["shell"] is None:
            # Made before anything is observed, and without using up the randomness the person's code continues with.
            before = rng_state()
            _shell()
            set_rng_state(before)
        return self

    def __exit__(self, *_: object) -> None:
        _stages.remove(self._stage)
        pyplot = sys.modules.get("matplotlib.pyplot")
        if pyplot is not None and hasattr(pyplot, "get_fignums") and pyplot.get_fignums():
            # The next run's first plot must not land on this run's figure.
            pyplot.close("all")

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
    from IPython import display

    show: Any = display.display
    return show(*objects, **options)


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

    class StagePublisher(DisplayPublisher):
        """Publishes on the stage of the run that is going on."""

        def publish(
            self, data: Any, metadata: Any = None, source: Any = None, *, transient: Any = None, update: Any = False, **kwargs: Any
        ) -> None:
            if _stages:
                _stages[-1].display(data, metadata, display_id=str((transient or {}).get("display_id", "")), update=bool(update))

        def clear_output(self, wait: Any = False) -> None:
            if _stages:
                _stages[-1].clear(bool(wait))

    class Headless(InteractiveShell):
        """A shell nobody types into."""

        display_pub_class = Type(StagePublisher)

        def enable_gui(self, gui: Any = None) -> None:
            """There is no window system to attach."""

    if InteractiveShell.initialized():
        # A worker inside somebody's own IPython process (tests): theirs is used as it is, publishing to the stage.
        shell: Any = InteractiveShell.instance()
        publisher: Any = StagePublisher
        shell.display_pub = publisher(parent=shell)
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
    formatter = shell.display_formatter
    formatter.active_types = list(formatter.format_types)
    return shell


def _remove(folder: str) -> None:
    import shutil

    shutil.rmtree(folder, ignore_errors=True)
