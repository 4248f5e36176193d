"""From captured code and live values to a run: ask with digests, send only what is missing, bind what comes back.

The first request carries digests alone, so that a remembered result costs one small round trip. What the service then
says it needs is sent with the same request: the bundle, the inputs, or a run in this process.
"""

from __future__ import annotations

import math
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass, field, fields
from typing import Any, Final, Protocol

from mlstudio_lab.calling import ambient
from mlstudio_lab.calling.observe.observer import env_digest
from mlstudio_lab.client.datasets import Dataset
from mlstudio_lab.client.libraries import library_versions
from mlstudio_lab.client.options import Options
from mlstudio_lab.client.replay import Replay
from mlstudio_lab.client.results import given_back, settle
from mlstudio_lab.client.runs import Run
from mlstudio_lab.client.session import Session
from mlstudio_lab.client.waiting import FIRST_WAIT_S, follow, stop
from mlstudio_lab.core.bundle import Bundle
from mlstudio_lab.core.errors import BadInput, CannotCross
from mlstudio_lab.core.memo import ORDER
from mlstudio_lab.core.run import FINAL
from mlstudio_lab.data.code_refs import CodeRefs
from mlstudio_lab.data.content import digest_values
from mlstudio_lab.data.graph import NodeTable, pack
from mlstudio_lab.data.moment import one_moment
from mlstudio_lab.wire.routes import NEEDS_BUNDLE, NEEDS_KERNEL, NEEDS_PAYLOAD
from mlstudio_lab.wire.task import Impurity, Value


class Code(Protocol):
    """Code to run: what `capture.Captured` has, and what a stored version has in its place."""

    bundle: Bundle
    inputs: dict[str, Any]
    origins: dict[str, list[Any]]
    env_reads: dict[str, str | None]
    impurities: list[Impurity]
    kernel_only: str
    kernel_source: str
    stale: str

    @property
    def code(self) -> CodeRefs:
        """The person's functions and classes of this process."""
        ...


_SMALL: Final = (bool, int, float, type(None))
_WORD: Final = 80
_SMALL_TEXT: Final = 4_096
_MOST_ROUNDS: Final = 8
_PARTS: Final = tuple(part.name for part in fields(Value))
GLOBAL: Final = "global:"


def _is_plain(value: Any) -> bool:
    """Whether an argument is a number, a flag or a word, which a clone form may show; text longer than a line is content."""
    if type(value) is float:
        return math.isfinite(value)
    return type(value) in (bool, int, type(None)) or (type(value) is str and len(value) <= _WORD)


@dataclass(slots=True)
class Job:
    """What to run here and now.

    Attributes:
        name: The module's `namespace/name`.
        captured: Its code and live free data.
        version: The bundle's id.
        args, kwargs: A function's bound arguments, datasets left out.
        positional: The same as `args`, by name.
        datasets: Parameter or free name -> a dataset handed in by reference.
        order: Names that `**` takes, where they came in another order than the alphabet's: the code can see it.
        options: How to run it.
        namespace: The kernel's global names, None where there is no notebook.
        before_settling: Called once the result is there, before it is decoded; with the view of a run that failed, else None.
        after_failure: Called with what a failed run bound before its error.
    """

    name: str
    captured: Code
    version: str
    args: list[Any] = field(default_factory=list)
    positional: dict[str, Any] = field(default_factory=dict)
    kwargs: dict[str, Any] = field(default_factory=dict)
    datasets: dict[str, Dataset] = field(default_factory=dict)
    order: tuple[str, ...] = ()
    options: Options = field(default_factory=Options)
    namespace: MutableMapping[str, Any] | None = None
    before_settling: Callable[[dict[str, Any] | None], None] | None = None
    after_failure: Callable[[dict[str, Any]], None] | None = None

    def named(self) -> dict[str, Any]:
        """Every value by the name under which its digest is sent."""
        return {**self.positional, **self.kwargs, **{GLOBAL + name: value for name, value in self.free().items()}}

    def free(self) -> dict[str, Any]:
        """Live free data, datasets left out."""
        return {name: value for name, value in self.captured.inputs.items() if not isinstance(value, Dataset)}


class Submission:
    """One job on its way to a result.

    Args:
        session: The connection.
        job: What to run.
    """

    def __init__(self, session: Session, job: Job) -> None:
        self._session = session
        self._job = job
        self._graph: dict[str, object] = {"args": job.args, "kwargs": job.kwargs, "globals": job.free()}
        self._table: NodeTable | None = None
        self._moment: dict[int, tuple[Any, Any]] = {}
        with one_moment(self._moment):
            self._values = digest_values(job.named(), job.captured.code)
        # Where the live code is not what its source says, only this process has what would run.
        self._reason = job.captured.kernel_only or job.captured.stale
        self._live: dict[str, Any] | None = None
        self._replay = Replay()
        self.request = self._first_request()

    @property
    def ran_here(self) -> bool:
        """Whether this process itself ran it, so that a cell's names are bound already."""
        return self._live is not None

    def start(self) -> Run:
        """The run, started or answered from memory; what it says is not passed on."""
        view = self._ask()
        if NEEDS_KERNEL in view.get("needs", ()):
            view = self._in_kernel(view)
        return self._run(view)

    def finish(self) -> Run:
        """The run once it has ended, having said everything here that it said; Ctrl-C stops it.

        Raises:
            KeyboardInterrupt: The person interrupted; the run was stopped.
        """
        try:
            view = self._ask()
            while True:
                if view["state"] in FINAL:
                    # It ended, or was answered from memory, before anything could be streamed.
                    self._replay.say(view.get("log") or ())
                    break
                if NEEDS_KERNEL in view.get("needs", ()):
                    view = self._in_kernel(view)
                    break
                newer = view.get("dev_newer")
                view = {**follow(self._session, view, self._replay.say), "log": [], "dev_newer": newer}
        except KeyboardInterrupt:
            stop(self._session, self.request["run"])
            raise
        return self._run(view)

    def _run(self, view: dict[str, Any]) -> Run:
        return Run(self._session, view, self._settle, self._in_kernel)

    def _first_request(self) -> dict[str, Any]:
        job, captured = self._job, self._job.captured
        state = ambient.counted()
        free = {name: value for name, value in captured.inputs.items() if isinstance(value, Dataset)}
        request: dict[str, Any] = {
            "run": self._session.new_run_id(),
            "module": job.name,
            "version": job.version,
            # Not `to_json`: that copies deeply, and this is the hot path.
            "values": {name: {part: getattr(value, part) for part in _PARTS} for name, value in self._values.items()},
            "arguments": {name: value for name, value in {**job.positional, **job.kwargs}.items() if _is_plain(value)},
            "datasets": {name: dataset.ref for name, dataset in {**free, **job.datasets}.items()},
            "ambient_key": {**ambient.key(state), **library_versions(self._libraries_of())},
            "env": {name: env_digest(value) for name, value in captured.env_reads.items()},
            "cwd": state["cwd"],
            "impurities": [i.to_json() for i in captured.impurities],
            "kernel": job.namespace is not None,
            "wait_s": FIRST_WAIT_S,
            **job.options.to_request(),
        }
        if job.order:
            request["ambient_key"][ORDER] = ",".join(job.order)
        if captured.stale:
            request["impurities"].append({"what": "stale", "detail": captured.stale, "line": 0})
        if self._reason and job.options.where == "auto":
            request["where"] = NEEDS_KERNEL
        if job.version not in self._session.known_versions:
            request["bundle"] = captured.bundle.to_json()
            if self._is_small():
                # New code most likely runs: saying all at once saves a round trip.
                self._add_payload(request)
        return request

    def _libraries_of(self) -> list[Value]:
        """What the run's libraries are told from: a dataset arrives as a polars frame unless the module says otherwise."""
        by_reference = [Value("", "polars.DataFrame")] if self._has_datasets() else []
        return [*self._values.values(), *by_reference]

    def _has_datasets(self) -> bool:
        return bool(self._job.datasets) or any(isinstance(v, Dataset) for v in self._job.captured.inputs.values())

    def _is_small(self) -> bool:
        return all(type(v) in _SMALL or (type(v) is str and len(v) < _SMALL_TEXT) for v in self._job.named().values())

    def _ask(self) -> dict[str, Any]:
        """The service's answer once it needs nothing more, or a run in this process."""
        request = self.request
        for _ in range(_MOST_ROUNDS):
            view: dict[str, Any] = self._session.transport.post("/runs", request)
            needs = view.get("needs") or ()
            if view.get("version"):
                self._session.known_versions.add(str(view["version"]))
            if not needs or NEEDS_KERNEL in needs:
                return view
            if NEEDS_BUNDLE in needs:
                request["bundle"] = self._job.captured.bundle.to_json()
            if NEEDS_PAYLOAD in needs or any(need.startswith("blob:") for need in needs):
                self._add_payload(request)
        raise BadInput(f"the service keeps asking for {', '.join(needs)}", subject=self._job.name, hint="look at its log: mlstudio status")

    def _add_payload(self, request: dict[str, Any]) -> None:
        job = self._job
        request["origins"] = {name: list(place) for name, place in job.captured.origins.items()}
        request["ambient"] = ambient.take()
        try:
            with one_moment(self._moment):
                payload = pack(self._graph, self._session.blobs, job.captured.code, nodes=self._known(), described={})
            request["payload"] = payload.to_json()
        except CannotCross as error:
            if job.namespace is None or job.options.where not in ("auto", NEEDS_KERNEL):
                raise
            self._reason = self._reason or self._what_stays(error)
            request["where"] = NEEDS_KERNEL

    def _what_stays(self, error: CannotCross) -> str:
        stays = [name.removeprefix(GLOBAL) for name, value in self._values.items() if not value.digest]
        subject = f"`{stays[0]}`" if stays else error.subject
        return f"{subject} cannot leave this process"

    def _in_kernel(self, view: dict[str, Any]) -> dict[str, Any]:
        """The final view of a run done in this process."""
        from mlstudio_lab.client.kernel import run_here

        reason = self._reason or ("" if self._job.options.where == NEEDS_KERNEL else "no worker could give its result back")
        view, self._live = run_here(self._session, self._job, view, reason)
        return view

    def _settle(self, view: dict[str, Any]) -> dict[str, Any]:
        if self._live is not None:
            # The cell itself has bound its imports and definitions; made again, classes would not be those of its instances.
            return self._live
        if view["state"] != "succeeded":
            self._keep_what_it_did(view)
        elif self._job.before_settling is not None:
            self._job.before_settling(None)
        return settle(self._session, view, self._job.captured.code, self._known)

    def _keep_what_it_did(self, view: dict[str, Any]) -> None:
        """What a failed run defined, bound and changed before its error is here too, as after any failing cell."""
        try:
            if self._job.before_settling is not None:
                self._job.before_settling(view)
            if view.get("outputs") is None:
                return
            kept = given_back(self._session, view, self._job.captured.code, self._known)
        except Exception as lost:  # noqa: BLE001 — definitions and constructors of the person's run; their own error is the one to raise
            if view.get("failure"):
                note = f"what it changed before this error could not be brought here ({type(lost).__name__})"
                view["failure"] = {**view["failure"], "notes": [*(view["failure"].get("notes") or ()), note]}
            return
        if self._job.after_failure is not None:
            self._job.after_failure(kept)

    def _known(self) -> NodeTable:
        if self._table is None:
            # Numbered by the names under which digests are sent: `f(x, y)` and `f(x, y=y)` are one memo.
            self._table = NodeTable.of(self._job.named())
        return self._table
