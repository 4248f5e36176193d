"""Runs in this very process, for what cannot cross; observed and recorded as a worker's are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlstudio_lab.calling.in_kernel import KernelTask, execute_in_kernel
from mlstudio_lab.client.datasets import Dataset
from mlstudio_lab.client.session import Session
from mlstudio_lab.core.errors import StudioError

if TYPE_CHECKING:
    from mlstudio_lab.client.submit import Job


def run_here(session: Session, job: Job, view: dict[str, Any], reason: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """(final view, live outputs by name) of a job done in this process.

    Args:
        session: The connection.
        job: What to run.
        view: The service's answer: the run as attempt `attempt` with `fence`.
        reason: Why it runs here, "" when it was asked for.

    Raises:
        Exception: What the code raised, with its live traceback; the run is recorded all the same.
    """
    assert job.namespace is not None, "only live code runs here"
    captured, options, is_cell = job.captured, job.options, job.captured.bundle.kind == "cell"
    shake = session.handshake
    task = KernelTask(
        run=view["id"],
        attempt=view["attempt"],
        fence=int(view["fence"]),
        name=job.name,
        home=str(shake.get("home") or ""),
        seed=options.seed,
        timeout_s=options.timeout_s,
        memory_bytes=options.memory_bytes,
        outputs=None if options.outputs is None else list(options.outputs),
    )
    try:
        datasets = {name: _opened(dataset, _annotation(job, name)) for name, dataset in job.datasets.items()}
    except BaseException:
        # Nobody else will ever end this run.
        session.transport.post(f"/runs/{view['id']}/cancel", {"force": True})
        raise
    done = execute_in_kernel(
        captured,
        job.namespace,
        task=task,
        blobs=session.blobs,
        emit=_unheard,
        args=None if is_cell else job.args,
        kwargs=None if is_cell else job.kwargs,
        datasets=datasets,
    )
    try:
        final: dict[str, Any] = session.transport.post(f"/runs/{view['id']}/outcome", done.outcome.to_json())
    except StudioError:
        if done.error is not None:
            raise done.error from None
        raise
    if done.error is not None:
        raise done.error
    if reason:
        final["effects"] = {**(final.get("effects") or {}), "kernel": reason}
    return final, done.values


def _unheard(event: dict[str, Any]) -> None:
    """The notebook has heard it already; the outcome's log is the record."""


def _annotation(job: Job, name: str) -> str:
    return next((port.type for port in job.captured.bundle.interface.inputs if port.name == name), "")


def _opened(dataset: Dataset, annotation: str) -> Any:
    """A dataset as a worker would hand it in: as the annotation says, else as it is stored."""
    if "LazyFrame" in annotation:
        return dataset.lazy()
    if "pandas" in annotation or annotation.startswith("pd."):
        return dataset.to_pandas()
    if "polars" in annotation or annotation.startswith("pl."):
        return dataset.collect()
    return dataset.stored()
