"""A cell of definitions: executed here, kept as a version, and its function replaced by a live handle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlstudio_lab.capture import Captured, capture_definitions, capture_function, history_of
from mlstudio_lab.client.calls import ModuleHandle
from mlstudio_lab.client.modules import Modules
from mlstudio_lab.client.options import Options
from mlstudio_lab.client.session import Session
from mlstudio_lab.core.errors import BadInput
from mlstudio_lab.front.cards import version_card
from mlstudio_lab.front.cell_source import execute, place, register
from mlstudio_lab.front.line import ModuleLine
from mlstudio_lab.front.shown import Shown


def define(shell: Any, session: Session, shown: Shown, line: ModuleLine, cell: str) -> ModuleHandle:
    """The live handle of the function a cell of definitions offers; its present version is kept, nothing runs.

    Args:
        shell: The running IPython.
        session: The connection.
        shown: Where the version's card goes.
        line: What the `%%module` line said.
        cell: The text below it.

    Raises:
        CaptureRefused: The cell cannot be a module; the hint has the fix.
        Conflict: The name belongs to a module of the other kind.
    """
    for option, is_given in (("--inputs", line.inputs), ("--outputs", line.outputs)):
        if is_given is not None:
            raise BadInput(f"{option} is for cells that run; a function has parameters", subject=option, hint=f"leave {option} out")
    filename, text = register(shell, cell)
    names = shell.user_ns
    # The whole check comes first, so that a cell that is refused leaves the kernel as it was.
    entry = capture_definitions(cell, names, name=line.name, filename=filename, entry=line.entry or None).bundle.entry
    execute(shell, text, filename)
    history_of(names).record(cell, filename, names)
    function = names[entry]

    def capture(values: Mapping[str, Any]) -> Captured:
        return place(capture_function(function, names, name=line.name, entry_source=cell, filename=filename, values=values))

    chosen = Options(
        where=line.where,
        cpus=line.cpus,
        gpus=line.gpus,
        memory_bytes=line.memory_bytes,
        timeout_s=line.timeout_s,
        seed=line.seed,
        reuse=line.reuse,
    )
    handle = ModuleHandle.live(lambda: session, line.name, function, capture, options=chosen, namespace=names)
    modules = Modules(session)
    bundle = capture({}).bundle.to_json()
    view = modules.put(line.name, bundle, tag="").to_json()
    is_old = not modules.forward_dev(view)
    if line.push:
        modules.put(line.name, bundle, tag="latestAlpha")
    handle.note_version(view)
    names[entry] = handle
    shown.say(version_card(view, is_old=is_old))
    return handle
