"""Any other cell: run at once as a module, with the effect it would have had in the kernel."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from mlstudio_lab.capture import Captured, capture_cell, history_of, public_functions, strays
from mlstudio_lab.client.modules import Modules
from mlstudio_lab.client.options import Options
from mlstudio_lab.client.results import DELETED
from mlstudio_lab.client.runs import Run
from mlstudio_lab.client.session import Session
from mlstudio_lab.client.submit import Job, Submission
from mlstudio_lab.core.errors import Conflict
from mlstudio_lab.front.cell_source import execute, place, register, up_to
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

    def capture(extra: Iterable[str]) -> Captured:
        return place(
            capture_cell(cell, names, name=line.name, filename=filename, inputs=line.inputs, outputs=line.outputs, extra_inputs=extra)
        )

    captured = capture(())
    submission, run = _submit(shell, session, line, captured, filename)
    extra = _missing(run, captured, names)
    if extra:
        # The code asked for data that its text did not show; with it the same cell is run again.
        captured = capture(extra)
        submission, run = _submit(shell, session, line, captured, filename)
    try:
        outputs = run.result()
    finally:
        history_of(names).record(cell, filename, names)
    if line.push:
        Modules(session).put(line.name, captured.bundle.to_json(), tag="latestAlpha")
    if submission.ran_here:
        return
    last = outputs.pop("_", None)
    _bind(names, outputs)
    if last is not None:
        # As the display hook does for a cell's last value; the value itself was shown by the run.
        shell.displayhook.update_user_ns(last)


def _bind(names: dict[str, Any], outputs: dict[str, Any]) -> None:
    for name in outputs.pop(DELETED, []):
        names.pop(name, None)
    names.update(outputs)


def _submit(shell: Any, session: Session, line: ModuleLine, captured: Captured, filename: str) -> tuple[Submission, Run]:
    job = Job(
        line.name,
        captured,
        captured.bundle.id,
        options=Options(line.where, line.cpus, line.gpus, line.memory_bytes, line.timeout_s, line.seed, line.reuse, line.outputs),
        namespace=shell.user_ns,
        before_settling=lambda failed: _define(shell, captured, filename, failed),
        after_failure=lambda outputs: _bind(shell.user_ns, outputs),
    )
    submission = Submission(session, job)
    try:
        return submission, submission.finish()
    except Conflict as error:
        raise _with_stray(error, captured.bundle.main.source) from None


def _define(shell: Any, captured: Captured, filename: str, failed: Mapping[str, Any] | None) -> None:
    """Executes a cell's imports and definitions here; of a run that failed those above the line it failed at."""
    text = "\n" + captured.kernel_source
    if failed is not None:
        frames = (failed.get("failure") or {}).get("frames") or ()
        text = up_to(text, next((int(frame[1]) for frame in frames if frame[0] == filename), 0))
    if text.strip():
        execute(shell, text, filename)


def _with_stray(error: Conflict, source: str) -> Conflict:
    """The refusal of a cell under a function module's name, with the line that made it a cell."""
    stray = strays(source)
    if not stray or not public_functions(source):
        return error
    line, text = stray[0]
    return Conflict(error.message, error.subject, f"line {line + 1} makes it a cell: {text[:80]}; move that line to a cell of its own")


def _missing(run: Run, captured: Captured, names: Mapping[str, Any]) -> list[str]:
    """Names a failed run asked for that the kernel has and capture did not see."""
    failure = run.view.get("failure")
    if failure is None or run.view["state"] != "failed":
        return []
    from mlstudio_lab.calling.failures import rebuild
    from mlstudio_lab.calling.missing import named_in
    from mlstudio_lab.wire.task import Failure

    asked = named_in(rebuild(Failure.from_json(failure)))
    return [name for name in asked if name in names and name not in captured.inputs]
