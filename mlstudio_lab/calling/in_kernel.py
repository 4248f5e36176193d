"""A captured module run in the person's own process, observed and recorded as a worker would, for what cannot cross."""

from __future__ import annotations

import contextlib
import os
import platform
import sys
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter, process_time
from typing import Any

from mlstudio_lab.calling import rng
from mlstudio_lab.calling.cells import run_cell
from mlstudio_lab.calling.failures import to_failure
from mlstudio_lab.calling.held_state import changed_state, held_state
from mlstudio_lab.calling.inputs import Inputs, known_values
from mlstudio_lab.calling.interrupt import Interrupt, Limits, peak_bytes
from mlstudio_lab.calling.lineage import Lineage
from mlstudio_lab.calling.missing import named_in
from mlstudio_lab.calling.observe import Observer
from mlstudio_lab.calling.packing import pack_results
from mlstudio_lab.calling.results import bound_names, is_display_only
from mlstudio_lab.calling.sources import compiled_cell, flags_of_bundle
from mlstudio_lab.calling.stage import Emit, Stage
from mlstudio_lab.core.errors import CannotCross, RunTimedOut
from mlstudio_lab.data.nodes import NodeTable
from mlstudio_lab.wire.task import Failure, Impurity, Outcome, OutcomeState, Usage


@dataclass(slots=True)
class KernelRun:
    """A run done here.

    Attributes:
        outcome: As a worker would report it.
        values: Output name -> the live value; `return` for a function.
        error: What the code raised, None when it succeeded; its traceback is the live one.
    """

    outcome: Outcome
    values: dict[str, Any] = field(default_factory=dict)
    error: BaseException | None = None


@dataclass(slots=True)
class KernelTask:
    """What a run here is told.

    Attributes:
        run, attempt, fence: Its ids.
        name: The module's `namespace/name`.
        home: The studio's home, whose files do not count as read; "" when it is elsewhere.
        seed, timeout_s, memory_bytes, outputs: As in `wire.task.Task`.
    """

    run: str
    attempt: str
    fence: int
    name: str = ""
    home: str = ""
    seed: int | None = None
    timeout_s: float = 0.0
    memory_bytes: int = 0
    outputs: list[str] | None = None


def execute_in_kernel(
    captured: Any,
    namespace: MutableMapping[str, Any],
    *,
    task: KernelTask,
    blobs: Any,
    emit: Emit,
    args: Sequence[Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    datasets: Mapping[str, Any] | None = None,
) -> KernelRun:
    """How a captured module's run in this process ended; never raises for what the person's code does.

    Output goes to the notebook as usual and is recorded. A result that cannot be packed is not stored, and said so.

    Args:
        captured: The capture (`bundle`, `inputs`, `origins`, `code`, `env_reads` are read).
        namespace: The kernel's global names; a cell runs in them.
        task: Ids and limits.
        blobs: Where results go.
        emit: Takes output events as they come.
        args: A function's positional arguments; None for a cell.
        kwargs: Its named ones.
        datasets: Opened datasets by parameter or global name.

    Example:
        >>> done = execute_in_kernel(captured, shell.user_ns, task=KernelTask(run, attempt, 1), blobs=blobs, emit=print)
        >>> done.outcome.state
        'succeeded'
    """
    return _KernelAttempt(captured, namespace, task, blobs).run(emit, args, kwargs, dict(datasets or {}))


class _KernelAttempt:
    """One run in the kernel under way."""

    def __init__(self, captured: Any, namespace: MutableMapping[str, Any], task: KernelTask, blobs: Any) -> None:
        self.captured, self.namespace, self.task, self.blobs = captured, namespace, task, blobs
        self.bundle = captured.bundle
        self.files = frozenset(str(place[0]) for place in captured.origins.values())
        self.interrupt = Interrupt()
        self.usage = Usage()
        self.values: dict[str, Any] = {}
        self.unrecorded: list[str] = []

    def run(self, emit: Emit, args: Sequence[Any] | None, kwargs: Mapping[str, Any] | None, datasets: dict[str, Any]) -> KernelRun:
        is_cell = self.bundle.kind == "cell"
        inputs = Inputs(list(args or ()), {**(kwargs or {}), **({} if is_cell else datasets)}, dict(self.captured.inputs))
        if is_cell:
            inputs.globals.update(datasets)
        lineage = Lineage(inputs.named(self.bundle.interface))
        observer = Observer(
            self.files, home=self.task.home, declared=list(self.captured.env_reads), seeded=self.task.seed is not None,
            only_new_threads=True, keep=False,
        )  # fmt: skip
        error: BaseException | None = None
        holders = [unit.name for unit in self.bundle.units if unit.role == "definition"]
        holders += [self.bundle.entry] if self.bundle.entry else []
        held = held_state(self.namespace, holders, self.captured.code)
        known = _Watched({"args": inputs.args, "kwargs": inputs.kwargs, **inputs.globals})
        names_before = set(self.namespace)
        with Stage(emit, through=True) as stage, _recorded(stage):
            with Limits(self.interrupt, self.task.timeout_s, self.task.memory_bytes), _seeded(self.task.seed):
                try:
                    self._call(observer, inputs, datasets, lineage)
                except BaseException as raised:  # noqa: BLE001 — the edge of the person's code: it may raise anything
                    error = raised
            log = stage.log
        if name := changed_state(held, held_state(self.namespace, holders, self.captured.code)):
            self.unrecorded.append(f"changes what `{name}` holds")
        if name := known.changed():
            self.unrecorded.append(f"changes `{name}` in place, in the kernel")
        if self.bundle.kind == "cell" and (gone := sorted(names_before - set(self.namespace))):
            self.unrecorded.append(f"deletes `{gone[0]}`, in the kernel")
        return self._done(observer, lineage, error, log)

    def _call(self, observer: Observer, inputs: Inputs, datasets: dict[str, Any], lineage: Lineage) -> None:
        wall, cpu = perf_counter(), process_time()
        try:
            with observer, observer.in_namespace(self.namespace), self.interrupt:
                with lineage:
                    if self.bundle.kind == "function":
                        entry = self.namespace[self.bundle.entry]
                        # The name may stand for a handle by now, which knows the plain function.
                        plain = getattr(entry, "__mlstudio_function__", entry)
                        results = {"return": plain(*inputs.args, **inputs.kwargs)}
                        lineage.mark()
                    else:
                        results = self._cell(datasets, lineage)
                # A plan executed for the record must not run twice in the notebook: the live value stays lazy.
                self.values = results
        finally:
            self.usage.wall_s = perf_counter() - wall
            self.usage.cpu_s = process_time() - cpu

    def _cell(self, datasets: dict[str, Any], lineage: Lineage) -> dict[str, Any]:
        place = self.captured.origins.get("main") or [f"<{self.task.name}>", 1]
        cell = compiled_cell(self.bundle.main.source, str(place[0]), int(place[1]), flags_of_bundle(self.bundle))
        namespace = self.namespace if isinstance(self.namespace, dict) else dict(self.namespace)
        handles = {name: namespace[name] for name in datasets if name in namespace}
        namespace.update(datasets)
        before = dict(namespace)
        try:
            value = run_cell(cell, namespace)
        finally:
            # The cell read the frames behind the dataset handles; the notebook keeps its handles.
            for name, opened in datasets.items():
                if namespace.get(name) is opened:
                    if name in handles:
                        namespace[name] = handles[name]
                    else:
                        del namespace[name]
        lineage.mark()
        static = {port.name for port in self.bundle.interface.outputs}
        hidden = {"_", "__", "___", "_i", "_ii", "_iii", "_oh", "_dh", "_ih", "In", "Out", "__annotations__"}
        after = {k: v for k, v in namespace.items() if k not in hidden and not (k in handles and v is handles[k])}
        results = bound_names(before, after, static, self.task.outputs)
        if cell.shown and value is not None:
            sys.displayhook(value)
            if not is_display_only(value):
                results["_"] = value
        return results

    def _done(self, observer: Observer, lineage: Lineage, error: BaseException | None, log: list[dict[str, Any]]) -> KernelRun:
        task, impurities = self.task, []
        outcome = Outcome(task.attempt, task.fence, task.run, "succeeded", log=log, effects=observer.effects())
        outcome.worker = {"executor": "kernel", "host": platform.node(), "pid": os.getpid()}
        if error is not None:
            outcome.state, failure, error = self._failed(error)
            outcome.failure = failure.to_json()
            outcome.missing = named_in(error)
            self.values = {}
        else:
            impurities = self._pack(outcome, lineage)
        # The live objects have these effects already; a record that lacks them must not stand for the run.
        impurities = [*impurities, *(Impurity("session", detail, 0) for detail in self.unrecorded)]
        outcome.impurities = [i.to_json() for i in (*observer.impurities(), *impurities)]
        if task.seed is None and observer.used_generators():
            outcome.effects["rng_after"] = rng.rng_state()
        self.usage.peak_bytes = peak_bytes()
        outcome.usage = self.usage.to_json()
        return KernelRun(outcome, self.values, error)

    def _pack(self, outcome: Outcome, lineage: Lineage) -> list[Impurity]:
        """Records the results; what cannot be recorded is an impurity."""
        started = perf_counter()
        try:
            taken = lineage.taken(self.values)
            packed = pack_results(self.bundle.kind, taken, [], self.blobs, self.captured.code, None, ())
        except CannotCross as refused:
            return [Impurity("undigestible", f"{refused.subject or 'the result'} cannot be stored", 0)]
        except Exception as refused:  # noqa: BLE001 — packing runs the person's own reductions; the live result stands
            return [Impurity("undigestible", f"the result cannot be stored ({type(refused).__name__})", 0)]
        finally:
            self.usage.moving_s = perf_counter() - started
        outcome.outputs = packed.outputs
        self.usage.moved_bytes = packed.bytes
        made, widened = lineage.edges(packed.values, known_values(lineage.inputs))
        outcome.edges = [edge.to_json() for edge in made]
        if widened:
            outcome.effects["widened"] = widened
        return []

    def _failed(self, error: BaseException) -> tuple[OutcomeState, Failure, BaseException]:
        if self.interrupt.reason == "time":
            late = RunTimedOut(
                f"it took longer than its limit of {self.task.timeout_s:g} s", subject=self.task.name, hint="give it more with --timeout"
            ).with_traceback(error.__traceback__)
            return "timed_out", to_failure(late, self.files, by="worker"), late
        if self.interrupt.reason == "memory":
            text = f"it used more than its limit of {self.task.memory_bytes >> 20} MB of memory"
            big = MemoryError(text).with_traceback(error.__traceback__)
            return "failed", to_failure(big, self.files, by="worker"), big
        if isinstance(error, KeyboardInterrupt):
            return "cancelled", to_failure(error, self.files, by="worker"), error
        return "failed", to_failure(error, self.files, self.captured.code, self.blobs), error


class _Watched:
    """Inputs of a run here, to tell afterwards which of them it changed in place.

    Args:
        values: The inputs by name.
    """

    def __init__(self, values: dict[str, Any]) -> None:
        self._table: NodeTable | None = None
        try:
            self._table = NodeTable.of(values)
            self._before = self._table.snapshot()
        except CannotCross:
            # Inputs without a digest: the run is not stored whatever it changes.
            self._table = None

    def changed(self) -> str:
        """The name of an input that was changed, "" when none was."""
        if self._table is None:
            return ""
        changed = self._table.changed(self._before)
        return self._table.place(changed[0])[0] if changed else ""


@contextlib.contextmanager
def _seeded(number: int | None) -> Iterator[None]:
    """Seeded generators within the block; the session's own states are back afterwards."""
    if number is None:
        yield
        return
    before = rng.rng_state()
    rng.seed(number)
    try:
        yield
    finally:
        rng.set_rng_state(before)


@contextlib.contextmanager
def _recorded(stage: Stage) -> Iterator[None]:
    """What the notebook displays meanwhile is on the stage too."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is None:
        yield
        return
    publisher, hook = shell.display_pub, shell.displayhook
    publish, clear = publisher.publish, publisher.clear_output
    write = getattr(hook, "write_format_data", None)

    def published(data: Any, metadata: Any = None, *args: Any, transient: Any = None, update: bool = False, **more: Any) -> Any:
        stage.display(data, metadata, display_id=str((transient or {}).get("display_id", "")), update=update)
        return publish(data, metadata, *args, transient=transient, update=update, **more)

    def cleared(wait: bool = False) -> Any:
        stage.clear(wait)
        return clear(wait)

    def written(data: Any, metadata: Any = None) -> Any:
        stage.display(data, metadata, kind="result")
        return write(data, metadata) if write is not None else None

    # Instance attributes over the class's methods; deleting them restores what was there.
    publisher.__dict__["publish"], publisher.__dict__["clear_output"] = published, cleared
    if write is not None:
        hook.__dict__["write_format_data"] = written
    try:
        yield
        _figures()
    finally:
        for owner, name in ((publisher, "publish"), (publisher, "clear_output"), (hook, "write_format_data")):
            owner.__dict__.pop(name, None)


def _figures() -> None:
    """Shows open inline figures now, so that they are part of the record."""
    pyplot, inline = sys.modules.get("matplotlib.pyplot"), sys.modules.get("matplotlib_inline.backend_inline")
    if pyplot is not None and inline is not None and "inline" in str(pyplot.get_backend()) and pyplot.get_fignums():
        inline.flush_figures()
