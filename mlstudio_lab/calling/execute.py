"""The whole worker-side path of one attempt: versions, inputs, load, ambient, observe, call, changes, pack, edges."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter, process_time
from typing import Any, Final

from mlstudio_lab.calling import ambient as ambient_state
from mlstudio_lab.calling import leftovers, rng
from mlstudio_lab.calling.cells import run_cell
from mlstudio_lab.calling.failures import to_failure
from mlstudio_lab.calling.held_state import changed_state, held_state
from mlstudio_lab.calling.inputs import Inputs, known_values, open_inputs
from mlstudio_lab.calling.interrupt import Interrupt, Limits, forget_peak, peak_bytes
from mlstudio_lab.calling.lineage import Lineage
from mlstudio_lab.calling.load import Loaded, load
from mlstudio_lab.calling.loaded_versions import LoadedVersions
from mlstudio_lab.calling.missing import named_in
from mlstudio_lab.calling.observe import Observer
from mlstudio_lab.calling.observe.observer import declared
from mlstudio_lab.calling.packing import Packed, pack_results
from mlstudio_lab.calling.results import bound_names, deleted_names, is_display_only, is_running, returned
from mlstudio_lab.calling.shell import Displays
from mlstudio_lab.calling.sources import places
from mlstudio_lab.calling.stage import Emit, Stage
from mlstudio_lab.core.bundle import Bundle
from mlstudio_lab.core.errors import CannotCross, StudioError
from mlstudio_lab.wire.task import Outcome, OutcomeState, Task, Usage

_REASONS: Final = {
    "time": ("timed_out", "it took longer than its limit of {timeout:g} s", "give it more with --timeout"),
    "memory": ("failed", "it used more than its limit of {memory} MB of memory", "give it more with --memory, or read fewer rows"),
}


def execute(
    task: Task,
    blobs: Any,
    emit: Emit,
    cancelled: threading.Event,
    *,
    versions: LoadedVersions | None = None,
    interrupt: Interrupt | None = None,
    give_up: Callable[[str], None] | None = None,
    ignored_threads: frozenset[int] = frozenset(),
    at_begin: Callable[[Stage], None] | None = None,
    at_end: Callable[[Stage], None] | None = None,
) -> Outcome:
    """How a task's one attempt ends; never raises for what the person's code does.

    Args:
        task: What to run.
        blobs: The store of blobs.
        emit: Takes output events as they come, from any thread.
        cancelled: Set by whoever wants it stopped, before or while it runs.
        versions: The process's loaded versions; None to skip their proof.
        interrupt: How others stop the running code.
        give_up: Ends the process when code over its limits does not stop.
        ignored_threads: The worker's own threads, which are not observed.
        at_begin: Called with the stage when it opens.
        at_end: Called before it closes, to bring in what was written below Python.

    Example:
        >>> execute(task, blobs, print, threading.Event()).state
        'succeeded'
    """
    attempt = _Attempt(task, blobs, interrupt or Interrupt(), cancelled)
    if cancelled.is_set():
        return attempt.outcome("cancelled")
    if versions is not None and (differing := versions.differing(attempt.bundle.lock)):
        attempt.versions = differing
        names = ", ".join(f"{n} {v or 'absent'}" for n, v in list(differing.items())[:4])
        attempt.fail(StudioError(f"this worker does not have the module's environment: {names}", subject="environment"), by="worker")
        return attempt.outcome("refused")
    return attempt.run(emit, give_up, ignored_threads, at_begin, at_end)


class _Attempt:
    """One attempt under way."""

    def __init__(self, task: Task, blobs: Any, interrupt: Interrupt, cancelled: threading.Event) -> None:
        self.task, self.blobs, self.interrupt, self.cancelled = task, blobs, interrupt, cancelled
        self.bundle = Bundle.from_json(task.bundle)
        self.files = frozenset(p.file for p in places(self.bundle, task.origins, task.name).values())
        self.taint = ambient_state.Taint()
        self.usage = Usage()
        self.versions: dict[str, str] = {}
        self.failure: dict[str, Any] | None = None
        self.packed = Packed()
        self.effects: dict[str, Any] = {}
        self.impurities: list[dict[str, Any]] = []
        self.edges: list[dict[str, Any]] = []
        self.log: list[dict[str, Any]] = []
        self.missing: list[str] = []
        self.begun: _Begun | None = None

    def outcome(self, state: OutcomeState) -> Outcome:
        task = self.task
        return Outcome(
            task.attempt, task.fence, task.run, state,
            outputs=self.packed.outputs, effects=self.effects, impurities=self.impurities, edges=self.edges, log=self.log,
            missing=self.missing, failure=self.failure, versions=self.versions, usage=self.usage.to_json(),
            worker={"tainted": self.taint.reason} if self.taint.reason else {},
        )  # fmt: skip

    def fail(self, exc: BaseException, *, by: str = "code", code: Any = None) -> None:
        self.failure = to_failure(exc, self.files, code, self.blobs, by=by).to_json()

    def run(
        self,
        emit: Emit,
        give_up: Callable[[str], None] | None,
        ignored: frozenset[int],
        at_begin: Callable[[Stage], None] | None,
        at_end: Callable[[Stage], None] | None,
    ) -> Outcome:
        task = self.task
        forget_peak()
        loaded_before, threads_before = dict.fromkeys(sys.modules), threading.enumerate()
        observer = Observer(
            self.files, home=task.home, declared=declared(task.ambient), seeded=task.seed is not None, ignored_threads=ignored
        )
        state: OutcomeState
        try:
            with ambient_state.applied(task.ambient, self.taint), Stage(emit) as stage, Displays(stage) as displays:
                if at_begin is not None:
                    at_begin(stage)
                try:
                    with Limits(self.interrupt, task.timeout_s, task.memory_bytes, give_up):
                        state = self._within(observer, displays)
                finally:
                    if at_end is not None:
                        at_end(stage)
                    self.log = stage.log
        except OSError as error:
            # The working directory is not on this machine, or cannot be entered.
            self.fail(error, by="worker")
            state = "failed"
        if len(sys.modules) != len(loaded_before):
            leftovers.forget_local_modules(loaded_before, task.home)
        if thread := leftovers.running_threads(threads_before, self.files):
            self.taint.note(f"its thread {thread} still runs")
        if child := leftovers.running_processes():
            self.taint.note(f"its process {child} still runs")
        if altered := leftovers.alters_libraries(self.bundle):
            self.taint.note(f"it changed {altered}")
        self.usage.peak_bytes = peak_bytes()
        return self.outcome(state)

    def _within(self, observer: Observer, displays: Displays) -> OutcomeState:
        with load(self.bundle, self.task.origins, name=self.task.name) as loaded:
            try:
                results = self._call(loaded, observer, displays)
            except _Refused as refused:
                self.fail(refused.error, by="worker")
                return "refused" if isinstance(refused.error, CannotCross) else "failed"
            except CannotCross as error:
                # A generator, say: where there is a notebook, its kernel runs it.
                self.fail(error, by="worker", code=loaded.code)
                return "refused"
            except BaseException as error:  # noqa: BLE001 — the edge of the person's code: it may raise anything, SystemExit too
                if isinstance(error, KeyboardInterrupt) or self.interrupt.reason:
                    return self._stopped(error)
                # Before the error is put into words: looking for near names, Python asks the namespace for more of them.
                self.missing = [*loaded.namespace.missing, *named_in(error)]
                loaded.namespace.missing.clear()
                self._keep_what_it_did(error, loaded)
                self.fail(error, code=loaded.code)
                return "failed"
            finally:
                self._observed(observer, loaded)
            if self.interrupt.reason or self.cancelled.is_set():
                return self._stopped(KeyboardInterrupt())
            return self._give_back(loaded, results)

    def _observed(self, observer: Observer, loaded: Loaded) -> None:
        self.effects.update(observer.effects())
        if self.task.seed is None and observer.used_generators():
            self.effects["rng_after"] = rng.rng_state()
        self.impurities = [i.to_json() for i in observer.impurities()]
        if self.failure is None:
            self.missing = list(loaded.namespace.missing)
        self.missing = list(dict.fromkeys(self.missing))

    def _call(self, loaded: Loaded, observer: Observer, displays: Displays) -> _Results:
        """Everything of the person's that runs: imports, constructors of inputs, definitions, the call, lazy results."""
        task = self.task
        with observer, self.interrupt:
            if self.cancelled.is_set():
                raise KeyboardInterrupt
            loaded.run_imports()
            observer.refresh()
            inputs = self._inputs(loaded)
            lineage = Lineage(inputs.named(self.bundle.interface))
            snapshot = inputs.known.snapshot() if inputs.known is not None else None
            wall, cpu = perf_counter(), process_time()
            try:
                with lineage:
                    dict.update(loaded.namespace, inputs.globals)
                    loaded.run_definitions()
                    ambient_state.reapply_filters(task.ambient)
                    if task.seed is not None:
                        rng.seed(task.seed)
                    holders = [unit.name for unit in self.bundle.units if unit.role == "definition"]
                    holders += [self.bundle.entry] if self.bundle.entry else []
                    held = held_state(loaded.namespace, holders, loaded.code)
                    before = loaded.namespace.bound()
                    observer.session.begin()
                    self.begun = _Begun(before, inputs.known, snapshot, lineage)
                    deleted: list[str] = []
                    if self.bundle.kind == "function":
                        results = {"return": returned(loaded.call(*inputs.args, **inputs.kwargs), self.bundle.entry)}
                        lineage.mark()
                    else:
                        shown = _run_cell(loaded, displays, lineage)
                        after = loaded.namespace.bound()
                        static = {port.name for port in self.bundle.interface.outputs}
                        results = {**bound_names(before, after, static, task.outputs), **shown}
                        deleted = deleted_names(before, after)
                    displays.figures()
                    name = changed_state(held, held_state(loaded.namespace, holders, loaded.code))
                    session = observer.session.changed()
                    if session and not task.session:
                        # No notebook misses it; but a remembered result would not do it again.
                        observer.impure("session", f"changes {session}")
                taken = lineage.taken(results)
            finally:
                self.usage.wall_s = perf_counter() - wall
                self.usage.cpu_s = process_time() - cpu
        return _Results(
            taken, deleted, inputs.known, snapshot, lineage, f"what `{name}` holds" if name else session if task.session else ""
        )

    def _keep_what_it_did(self, error: BaseException, loaded: Loaded) -> None:
        """Packs what a failed run bound and changed before its error, as it would be there in the kernel; what cannot be is noted."""
        begun = self.begun
        if begun is None:
            return
        bound: dict[str, Any] = {}
        deleted: list[str] = []
        try:
            if self.bundle.kind == "cell":
                after = loaded.namespace.bound()
                wanted = self.task.outputs
                bound = {name: value for name, value in bound_names(begun.before, after, (), wanted).items() if not is_running(value)}
                deleted = deleted_names(begun.before, after)
            changed = begun.known.changed(begun.snapshot) if begun.known is not None else []
            if not (bound or deleted or changed):
                return
            packed = pack_results(self.bundle.kind, bound, deleted, self.blobs, loaded.code, begun.known, changed, leave=True)
            made, widened = begun.lineage.edges(packed.values, known_values(begun.lineage.inputs))
        except Exception as lost:  # noqa: BLE001 — packing runs the person's own reductions, and their error is the one to tell
            error.add_note(f"what it changed before this error stayed in the worker ({type(lost).__name__})")
            return
        self.packed = packed
        self.edges = [edge.to_json() for edge in made]
        if widened:
            self.effects["widened"] = widened
        if packed.left:
            names = ", ".join(f"`{name}`" for name in packed.left)
            error.add_note(f"bound before this error, and left in the worker because it cannot leave its process: {names}")

    def _inputs(self, loaded: Loaded) -> Inputs:
        started = perf_counter()
        try:
            inputs = open_inputs(self.task, self.blobs, loaded.code)
        except StudioError as error:
            raise _Refused(error) from error
        self.usage.moved_bytes += inputs.moved
        self.usage.moving_s += perf_counter() - started
        return inputs

    def _give_back(self, loaded: Loaded, results: _Results) -> OutcomeState:
        started = perf_counter()
        try:
            if results.stays:
                # No worker's function, class or option is the notebook's own: what it is now would be lost.
                raise CannotCross(f"changes {results.stays}", subject=results.stays, hint="use --where kernel")
            changed = results.known.changed(results.snapshot) if results.known is not None else []
            self.packed = pack_results(self.bundle.kind, results.values, results.deleted, self.blobs, loaded.code, results.known, changed)
        except CannotCross as error:
            self.fail(error, by="worker")
            return "refused"
        self.usage.moved_bytes += self.packed.bytes
        if self.packed.left:
            self.effects["left"] = self.packed.left
        made, widened = results.lineage.edges(self.packed.values, known_values(results.lineage.inputs))
        self.edges = [edge.to_json() for edge in made]
        if widened:
            self.effects["widened"] = widened
        self.usage.moving_s += perf_counter() - started
        return "succeeded"

    def _stopped(self, error: BaseException) -> OutcomeState:
        self.packed = Packed()
        if self.interrupt.reason in _REASONS:
            state, message, hint = _REASONS[self.interrupt.reason]
            text = message.format(timeout=self.task.timeout_s, memory=self.task.memory_bytes >> 20)
            self.fail(StudioError(text, subject=self.task.name, hint=hint).with_traceback(error.__traceback__), by="worker")
            return "timed_out" if state == "timed_out" else "failed"
        self.fail(KeyboardInterrupt("stopped on request").with_traceback(error.__traceback__), by="worker")
        return "cancelled"


class _Refused(Exception):
    """What stands against running at all, apart from what the person's code raises."""

    def __init__(self, error: StudioError) -> None:
        super().__init__(str(error))
        self.error = error


@dataclass(slots=True)
class _Begun:
    """How things stood when the person's code began."""

    before: dict[str, Any]
    known: Any
    snapshot: Any
    lineage: Lineage


@dataclass(slots=True)
class _Results:
    """What a run made, before it is packed."""

    values: dict[str, Any]
    deleted: list[str]
    known: Any
    snapshot: Any
    lineage: Lineage
    stays: str


def _run_cell(loaded: Loaded, displays: Displays, lineage: Lineage) -> dict[str, Any]:
    """Runs a cell and shows its last value: {"_": value} when it has one."""
    cell = loaded.cell()
    value = run_cell(cell, loaded.namespace)
    lineage.mark()
    if not cell.shown or value is None:
        return {}
    displays.show(value)
    return {} if is_display_only(value) else {"_": value}
