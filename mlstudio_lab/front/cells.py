"""Any other cell: run at once as a module, with the effect it would have had in the kernel."""

from __future__ import annotations

from typing import Any

from mlstudio_lab.capture import Captured, capture_cell, history_of
from mlstudio_lab.client.modules import Modules
from mlstudio_lab.client.options import Options
from mlstudio_lab.client.results import DELETED
from mlstudio_lab.client.session import Session
from mlstudio_lab.client.submit import Job, Submission
from mlstudio_lab.front.cell_source import execute, place, register
from mlstudio_lab.front.line import ModuleLine


def run_cell(shell: Any, session: Session, line: ModuleLine, cell: str) -> None:
    """Runs a cell as a module and binds what it gives.

    Args:
        shell: The running IPython.
        session: The connection.
        line: What the `%%module` line said.
        cell: The text below it.

    Raises:
        CaptureRefused: The cell cannot be a module; the hint has the fix.
        Conflict: The name belongs to a module of the other kind.
        Exception: What the cell raised, with the person's own lines.
    """
    filename, _ = register(shell, cell)
    names = shell.user_ns

    def capture(extra: list[str]) -> Captured:
        captured: Captured = place(
            capture_cell(cell, names, name=line.name, filename=filename, inputs=line.inputs, outputs=line.outputs, extra_inputs=extra)
        )
        return captured

    captured = capture([])
    job = Job(
        line.name,
        captured,
        captured.bundle.id,
        options=Options(line.where, line.cpus, line.gpus, line.memory_bytes, line.timeout_s, line.seed, line.reuse, line.outputs),
        namespace=names,
        recapture=capture,
        before_settling=lambda: execute(shell, "\n" + captured.kernel_source, filename) if captured.kernel_source else None,
    )
    submission = Submission(session, job)
    outputs = submission.finish().result()
    history_of(names).record(cell, filename, names)
    if line.push:
        Modules(session).put(line.name, captured.bundle.to_json(), tag="latestAlpha")
    if submission.ran_here:
        return
    deleted = outputs.pop(DELETED, [])
    last = outputs.pop("_", None)
    for name in deleted:
        names.pop(name, None)
    names.update(outputs)
    if last is not None:
        # As the display hook does for a cell's last value; the value itself was shown by the run.
        shell.displayhook.update_user_ns(last)
