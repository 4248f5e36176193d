"""Follows the columns of a run's inputs through the person's code to its outputs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any, Self

from mlstudio_lab.core.edges import Edge, EdgeKind
from mlstudio_lab.data.lineage.columns import OPAQUE, Columns
from mlstudio_lab.data.lineage.deps import NOTHING, Deps, Frame
from mlstudio_lab.data.lineage.frames import Frames
from mlstudio_lab.data.lineage.leaves import Leaf, is_reading, leafed
from mlstudio_lab.data.lineage.outputs import Shape, shape_of
from mlstudio_lab.data.lineage.plan import Reading, UntestedPlan, read
from mlstudio_lab.data.lineage.watch import watching
from mlstudio_lab.wire.task import Value

_MOST_REASONS = 20


class Tracker:
    """Gives the column edges of one run: exact for polars frames and plans, all to all for the rest.

    Hand every input through `track` before the code runs, run the code inside the `with` block, then ask for `edges`.

    Example:
        >>> import polars as pl
        >>> tracker = Tracker()
        >>> flights = tracker.track("flights", pl.LazyFrame({"dest": ["SEA"], "delay": [3]}))
        >>> with tracker:
        ...     late = flights.group_by("dest").agg(pl.col("delay").mean())
        >>> [(e.output_column, e.input_column, e.subtype) for e in tracker.edges({"return": late}, {})[0]]
        [('dest', 'dest', 'IDENTITY'), ('dest', 'dest', 'GROUP_BY'), ('delay', 'dest', 'GROUP_BY'), ('delay', 'delay', 'AGGREGATION')]
    """

    def __init__(self) -> None:
        self._columns = Columns()
        self._frames = Frames()
        self._handed: dict[str, list[str]] = {}
        self._untraced: list[str] = []
        self._plans: dict[int, tuple[Any, Any, Any, Leaf]] = {}
        self._reads = 0
        self._late_reads = 0
        self._resolving_reads = 0
        self._late = False
        self._why: list[str] = []
        self._blind = ""
        self._stack: ExitStack | None = None

    # ---- handing in

    def track(self, name: str, value: Any) -> Any:
        """The value to hand to the person's code; polars frames and plans are recognised wherever they turn up afterwards."""
        polars = sys.modules.get("polars")
        if polars is None or not isinstance(value, (polars.DataFrame, polars.LazyFrame)):
            self._untraced.append(name)
            return value
        if not self._supported(polars.__version__):
            self._untraced.append(name)
            return value
        if isinstance(value, polars.DataFrame):
            names = value.columns
            native = value._df
            self._frames.put(native, self._input(name, names, self._frames.get(native)))
        else:
            try:
                names = value.collect_schema().names()
            except polars.exceptions.PolarsError:
                self._untraced.append(name)
                return value
            self._track_plan(name, value, names)
        self._handed[name] = names
        return value

    def _supported(self, version: str) -> bool:
        if version.split(".")[:2] in (["2", "0"], ["2", "1"]):
            return True
        self._blinded(f"polars {version} is not among the versions whose plans were tested")
        return False

    def _input(self, name: str, names: Iterable[str], known: Frame | None) -> Frame:
        made = {}
        for column in names:
            bits = self._columns.bit(name, column)
            if known is not None:
                # One object under two names: what is made of it may be made of either.
                bits |= known.columns[column].bits
            made[column] = Deps(bits)
        return Frame(made)

    def _track_plan(self, name: str, lazy: Any, names: list[str]) -> None:
        known = self._plans.get(id(lazy))
        if known is not None:
            known[3].frame = self._input(name, names, known[3].frame)
            return
        leaf = Leaf(self._input(name, names, None))
        native = lazy._ldf
        seen = leafed(native, leaf)
        # The person's own object is handed in, so that what is shared with it stays shared; it has the leaf while it is
        # watched and its own plan otherwise.
        self._plans[id(lazy)] = (lazy, native, seen, leaf)
        if self._stack is not None:
            lazy._ldf = seen

    # ---- while the code runs

    def __enter__(self) -> Self:
        self._stack = ExitStack()
        if "polars" in sys.modules and not self._blind:
            self._stack.enter_context(self._watching())
        return self

    def __exit__(self, *exception: object) -> None:
        if self._stack is not None:
            self._stack.close()
            self._stack = None

    @contextmanager
    def _watching(self) -> Iterator[None]:
        with watching(self) as displaced:
            if isinstance(displaced, Tracker) and displaced is not self:
                displaced._blinded("another traced run ran at the same time in this process")
            for lazy, native, seen, _ in self._plans.values():
                if lazy._ldf is native:
                    lazy._ldf = seen
            try:
                yield
            finally:
                for lazy, native, seen, _ in self._plans.values():
                    if lazy._ldf is seen:
                        lazy._ldf = native

    def mark(self) -> int:
        """What Python has read so far; give it to `edges` for outputs that nothing later in the code can rebind."""
        return self._reads

    def collected(self, lazy: Any) -> Any:
        """The DataFrame a returned plan gives, executed while Python code inside the plan is observed.

        Args:
            lazy: A `polars.LazyFrame` that the person's code returned or bound.

        Raises:
            PolarsError: What running the plan raises.
        """
        if self._blind or self._stack is not None:
            return lazy.collect()
        with self._watching():
            self._late = True
            try:
                return lazy.collect()
            finally:
                self._late = False

    def _blinded(self, reason: str) -> None:
        if not self._blind:
            self._blind = reason
            self._because(reason)

    def _because(self, reason: str) -> None:
        if reason not in self._why and len(self._why) < _MOST_REASONS:
            self._why.append(reason)

    def _everything(self) -> int:
        bits = 0
        for name, columns in self._handed.items():
            bits |= self._columns.all_of((name, column) for column in columns)
        return bits

    def _read_by_python(self, bits: int, how: str) -> None:
        if self._blind:
            return
        bits = self._columns.in_lane(bits, OPAQUE)
        if is_reading():
            # A callback of the person that polars asks while it resolves a plan: it decides what the plan is.
            new = bits & ~self._resolving_reads
            self._resolving_reads |= bits
        elif self._late:
            new = bits & ~self._late_reads
            self._late_reads |= bits
        else:
            new = bits & ~self._reads
            self._reads |= bits
        if not new:
            return
        names = [f"{source}.{column}" for source, column in self._columns.names(new)]
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        self._because(f"Python read {', '.join(names[:3])}{more} ({how}): every output may depend on it")

    # ---- the observer's side

    def ran(self, plans: list[Any], call: Callable[[], Any]) -> Any:
        """Runs plans; their results are known by what the plans say."""
        self._frames.sweep()
        readings = [self._reading(plan) or self._unknown_reading() for plan in plans]
        try:
            result = call()
        except BaseException:
            # That it failed can be caught, and then it is something Python knows about the data.
            for reading in readings:
                self._read_by_python(reading.frame.bits, "a failing plan")
            raise
        for reading, native in zip(readings, result if isinstance(result, list) else [result], strict=False):
            if reading.writes:
                self._read_by_python(reading.frame.bits, "written to a file")
            if reading.received:
                self._read_by_python(reading.received, "Python code inside a plan")
            if type(native).__name__ == "PyDataFrame":
                self._frames.put(native, reading.frame)
        return result

    def _unknown_reading(self) -> Reading:
        everything = self._everything()
        return Reading(Frame({}, everything), [], everything, False, [])

    def _reading(self, plan: Any) -> Reading | None:
        from polars.exceptions import PanicException, PolarsError

        try:
            reading = read(plan, self._columns, self._everything())
        except UntestedPlan as error:
            self._blinded(str(error))
            return None
        except (PolarsError, PanicException):
            # It does not resolve, so that running it raises too; what it would have said is not known.
            return None
        for reason in reading.why:
            self._because(reason)
        return reading

    def escaped(self, things: list[Any], how: str, column: str | None = None) -> None:
        """Python reads frames or plans."""
        for thing in things:
            if type(thing).__name__ == "PyLazyFrame":
                self._read_by_python((self._reading(thing) or self._unknown_reading()).frame.bits, how)
                continue
            frame = self._frames.get(thing)
            if frame is not None:
                self._read_by_python(frame.bits if column is None else frame.of(column), how)

    def counted(self, native: Any, how: str) -> None:
        """Python learns a number of rows: what decided about the rows."""
        frame = self._frames.get(native)
        if frame is not None:
            self._read_by_python(frame.rows, how)

    def derived(self, rule: Any, how: str, things: list[Any], args: tuple[Any, ...], call: Callable[[], Any]) -> Any:
        """A frame made from others without a plan."""
        known = [self._frames.get(thing) for thing in things]
        if not any(known):
            return call()
        self._frames.sweep()
        result = call()
        frame = rule([frame or Frame({}) for frame in known], result.columns(), args, self._columns)
        if frame is None:
            self.escaped(things, how)
        else:
            self._frames.put(result, frame)
        return result

    def changed(self, rule: Any, how: str, native: Any, args: tuple[Any, ...], call: Callable[[], Any]) -> Any:
        """A frame changed in place."""
        others = [self._frames.get(arg) for arg in args if type(arg).__name__ == "PyDataFrame"]
        frame = self._frames.get(native)
        if frame is None and not any(others):
            return call()
        before = native.columns()
        result = call()
        after = native.columns()
        own = frame or Frame(dict.fromkeys(before, NOTHING))
        new = rule(own, before, after, args, [other for other in others if other is not None])
        if new is None:
            self._read_by_python(own.bits, how)
            everything = Deps(self._columns.in_lane(own.bits, OPAQUE))
            new = Frame(dict.fromkeys(after, everything), everything.bits)
        self._frames.put(native, new)
        return result

    def lazy(self, native: Any, plan: Any) -> Any:
        """A frame becomes a plan that knows it."""
        frame = self._frames.get(native)
        return leafed(plan, Leaf(frame if frame is not None else Frame(dict.fromkeys(native.columns(), NOTHING))))

    def wrapped(self, wrapper: Any, native: Any) -> None:
        """A native frame lives as long as its wrapper."""
        self._frames.adopt(wrapper, native)

    def returned(self, value: Any) -> None:
        """Python code inside a plan may give back a known frame that it holds: the plan does not show that."""
        native = getattr(value, "_df", value)
        if type(native).__name__ == "PyDataFrame":
            frame = self._frames.get(native)
            if frame is not None:
                self._read_by_python(frame.bits, "given back by Python code inside a plan")

    # ---- the answer

    def edges(
        self, outputs: Mapping[str, Any], inputs: Mapping[str, Value], marks: Mapping[str, int] | None = None
    ) -> tuple[list[Edge], list[str]]:
        """The edges of a run's outputs, and why some of them are wider than the truth.

        Args:
            outputs: Output name -> live value.
            inputs: Input name -> what is known of it; names handed to `track` need not be repeated.
            marks: Output name -> what `mark` gave once nothing could rebind the output any more; without one, whatever
                Python read at any time counts.
        """
        shapes = {name: shape_of(value) for name, value in outputs.items()}
        with nullcontext() if self._blind or self._stack is not None or "polars" not in sys.modules else self._watching():
            plans = {name: self._plan_output(outputs[name]) for name, (shape, _) in shapes.items() if shape is Shape.PLAN}
        base, everything = self._beyond(inputs)
        edges: list[Edge] = []
        decoded: dict[int, list[tuple[str, str, EdgeKind, str]]] = {}
        for name, (shape, columns) in shapes.items():
            reads = self._reads if marks is None else marks.get(name, self._reads)
            frame: Frame | None = None
            if shape is Shape.PLAN:
                frame, columns = plans[name]
            elif shape is Shape.FRAME and not self._blind:
                frame = self._frames.get(outputs[name]._df)
            for column in columns:
                bits = base | reads | self._resolving_reads | self._made(shape, frame, column, everything)
                if bits not in decoded:
                    decoded[bits] = self._columns.edges(bits)
                edges.extend(Edge(name, column, *edge) for edge in decoded[bits])
        return edges, list(self._why)

    def _beyond(self, inputs: Mapping[str, Value]) -> tuple[int, int]:
        """What every output depends on whatever the code did, and what an untraceable one depends on."""
        base = 0
        for name in dict.fromkeys([*self._untraced, *inputs]):
            if name not in self._handed:
                value = inputs.get(name)
                columns = list(value.schema) if value is not None and value.schema else [""]
                base |= self._columns.all_of((name, column) for column in columns)
        everything = base | self._everything()
        return (everything if self._blind else base), everything

    def _made(self, shape: Shape, frame: Frame | None, column: str, everything: int) -> int:
        """What one output column is made of, beyond what every output depends on."""
        if shape is Shape.ANYTHING:
            return everything | self._late_reads
        if shape is Shape.PYTHON:
            return self._late_reads
        if frame is None:
            # Nobody knows the frame: Python made it, of what it read.
            return 0
        deps = frame.columns.get(column)
        late = self._late_reads if column in frame.python else 0
        return late | frame.rows | (everything if deps is None else deps.bits)

    def _plan_output(self, lazy: Any) -> tuple[Frame | None, list[str]]:
        reading = None if self._blind else self._reading(lazy._ldf)
        if reading is None:
            return None, lazy.collect_schema().names()
        return reading.frame, reading.names
