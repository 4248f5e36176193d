"""The task/outcome protocol between the engine and whatever runs code: local workers, Ray actors, the kernel itself.

Plain dataclasses over JSON, so that a worker's hot path validates nothing twice. A task carries ids, parameters, granted
columns and ambient state, never frames; an outcome carries ids, effects and lineage. Both say the protocol's version and
a side that meets another major refuses.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final, Literal, Self

from mlstudio_lab.core.errors import Incompatible

PROTOCOL: Final = 1
"""Version of this protocol; both ends must have the same."""

Where = Literal["auto", "local", "ray", "kernel"]


class _Json:
    """JSON both ways for flat dataclasses of JSON values and other `_Json`s."""

    def to_json(self) -> dict[str, Any]:
        """The value as JSON values, shared with it: `dataclasses.asdict` copies them all, a tenth of a small run's time."""
        return {name: _plain(getattr(self, name)) for name in self.__dataclass_fields__}  # type: ignore[attr-defined]

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The value that `to_json` wrote; unknown keys are ignored, so a minor addition does not break an older reader."""
        known = {f.name for f in fields(cls)}  # type: ignore[arg-type]
        return cls(**{k: v for k, v in data.items() if k in known})


def _plain(value: Any) -> Any:
    if isinstance(value, _Json):
        return value.to_json()
    if isinstance(value, list) and value and isinstance(value[0], _Json):
        return [item.to_json() for item in value]
    if isinstance(value, dict) and value and isinstance(next(iter(value.values())), _Json):
        return {name: item.to_json() for name, item in value.items()}
    return value


@dataclass(slots=True)
class Leaf(_Json):
    """One big value stored as its own blob: a frame, an array, a table.

    Attributes:
        codec: Which codec wrote it ("polars", "pandas", "numpy", "arrow", …), with its version as `name/1`.
        blob: The blob's digest (of its bytes).
        content: The value's content digest (of what it is), "" when not computed.
        bytes: Size of the blob's data.
        columns: Column names for frames, else None.
    """

    codec: str
    blob: str
    content: str = ""
    bytes: int = 0
    columns: list[str] | None = None


@dataclass(slots=True)
class Value(_Json):
    """What is known about one named value without decoding it.

    Attributes:
        digest: Content digest, "" when the value has none (it cannot be digested).
        type: Qualified type name, such as "polars.dataframe.frame.DataFrame".
        schema: Column name -> dtype text for frames, else None.
        rows: Row count for frames, else None.
        summary: One short line for people; never a data value, such as "DataFrame 336,776 x 19" or "int".
        content: Digest of a frame's or array's own content, by which a dataset is recognised; equals `digest` unless the
            value is shared with an earlier name or is lazy; "" for everything else.
    """

    digest: str
    type: str
    schema: dict[str, str] | None = None
    rows: int | None = None
    summary: str = ""
    content: str = ""


@dataclass(slots=True)
class Payload(_Json):
    """A set of named values as one object graph: a pickle for the graph, blobs for its leaves.

    Attributes:
        graph: The pickled graph, base64; "" when it is stored as the blob `graph_blob`.
        graph_blob: Blob digest of a graph too big to travel inline.
        leaves: The frames and arrays the graph refers to by position.
        values: What is known of each named value.
    """

    graph: str = ""
    graph_blob: str = ""
    leaves: list[Leaf] = field(default_factory=list)
    values: dict[str, Value] = field(default_factory=dict)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The payload that `to_json` wrote."""
        return cls(
            data.get("graph", ""),
            data.get("graph_blob", ""),
            [Leaf.from_json(x) for x in data.get("leaves", ())],
            {k: Value.from_json(v) for k, v in data.get("values", {}).items()},
        )


@dataclass(slots=True)
class Source(_Json):
    """Where a payload value comes from when it is a registered dataset.

    Attributes:
        dataset: The dataset's name, "" for an unnamed value.
        version: The dataset version's content digest.
        labels: Column -> label as JSON (see `core.labels.Label.to_json`).
        granted: Columns this person may read; None for all of them.
    """

    dataset: str = ""
    version: str = ""
    labels: dict[str, Any] = field(default_factory=dict)
    granted: list[str] | None = None


@dataclass(slots=True)
class Task(_Json):
    """One attempt to run one bundle on fixed inputs.

    Attributes:
        attempt: The attempt's id; with `fence` it names the durable outcome file.
        fence: Grows with each attempt of a run; only the newest may commit.
        run: The run's ULID.
        name: The module's `namespace/name`.
        bundle: `core.bundle.Bundle.to_json()`.
        origins: Unit name -> [file name, first line], so that tracebacks show the person's own lines.
        inputs: For a function module the payload's graph is {"args": [...], "kwargs": {...}, "globals": {...}};
            for a cell module {"globals": {...}}.
        sources: Input name -> where it comes from, for granted columns and lineage names.
        datasets: Parameter -> {"name", "version", "payload": Payload json, "as": "polars"|"lazy"|"pandas"}: inputs given
            by reference that the worker opens itself.
        parameters: Name -> JSON value set over the payload's arguments (a cell's: over its globals), for runs that were
            cloned with a change or started without a notebook.
        ambient: See `calling.ambient`: {"cwd", "env", "rng", "options", …}; each a JSON value or a blob digest.
        outputs: Names to return for a cell module; None for "whatever it binds or mutates".
        session: Whether a notebook waits that would run it itself: what changes the session is refused then.
        seed: Seeds random, numpy and torch before the call; None leaves them as the ambient state says.
        timeout_s, cpus, gpus, memory_bytes: Limits; 0 means none.
        home: The home's folder of blobs and outcomes, as this worker sees it.
        trace: Extra key -> value for logs.
    """

    attempt: str
    fence: int
    run: str
    name: str
    bundle: dict[str, Any]
    inputs: dict[str, Any]
    home: str
    origins: dict[str, list[Any]] = field(default_factory=dict)
    sources: dict[str, Any] = field(default_factory=dict)
    datasets: dict[str, Any] = field(default_factory=dict)
    parameters: dict[str, Any] = field(default_factory=dict)
    ambient: dict[str, Any] = field(default_factory=dict)
    outputs: list[str] | None = None
    session: bool = False
    seed: int | None = None
    timeout_s: float = 0.0
    cpus: float = 0.0
    gpus: float = 0.0
    memory_bytes: int = 0
    trace: dict[str, str] = field(default_factory=dict)
    protocol: int = PROTOCOL

    def dump(self) -> bytes:
        """The task as UTF-8 JSON."""
        return json.dumps(self.to_json(), separators=(",", ":")).encode()

    @classmethod
    def load(cls, data: bytes) -> Task:
        """The task that `dump` wrote.

        Raises:
            Incompatible: Written by another version of the protocol.
        """
        return cls.from_json(_checked(data))


@dataclass(slots=True)
class Impurity(_Json):
    """Why a run's result may not be reused.

    Attributes:
        what: "clock", "random", "network", "subprocess", "file", "environment", "undigestible", "missing name", …
        detail: A short phrase for people, such as "reads the clock (time.time)".
        line: 1-based line in the cell, 0 when unknown.
    """

    what: str
    detail: str
    line: int = 0


@dataclass(slots=True)
class Failure(_Json):
    """An exception of the person's code, or of what runs it.

    Attributes:
        type: Qualified type name.
        message: str(exception), at most 4,000 characters.
        frames: [file name, line, function, source line, the function's first line] of the person's own frames,
            outermost first.
        payload: The pickled exception as a Payload json, None when it could not be pickled.
        by: "code" for the person's exception; "worker" when the process died, timed out or could not load the code.
        traceback: The formatted traceback, at most 64 kB.
    """

    type: str
    message: str
    frames: list[list[Any]] = field(default_factory=list)
    payload: dict[str, Any] | None = None
    by: str = "code"
    traceback: str = ""


@dataclass(slots=True)
class Usage(_Json):
    """What an attempt cost.

    Attributes:
        wall_s, cpu_s, gpu_s: Seconds.
        peak_bytes: Peak resident memory of the worker while it ran.
        moved_bytes: Bytes decoded and encoded.
        moving_s: Seconds spent decoding and encoding.
    """

    wall_s: float = 0.0
    cpu_s: float = 0.0
    gpu_s: float = 0.0
    peak_bytes: int = 0
    moved_bytes: int = 0
    moving_s: float = 0.0


OutcomeState = Literal["succeeded", "failed", "cancelled", "timed_out", "refused"]
"""`refused`: the worker cannot run this faithfully (wrong versions, a name it lacks); the engine or client decides anew."""


@dataclass(slots=True)
class Outcome(_Json):
    """How one attempt ended; written durably by the worker before it answers.

    Attributes:
        outputs: Payload json. Its graph is {"return": value} for a function, {"bound": {...}, "deleted": [...]} for a
            cell, each with "updates" for inputs changed in place (see `data.graph`).
        effects: {"files": {path: digest}, "env": {name: digest}, "rng_after": …}: what was read and left behind.
        impurities: Impurity jsons; empty when the result may be reused.
        edges: Edge jsons with the run's own input names.
        log: Ordered output events: {"t": "stdout"|"stderr"|"display"|"clear"|"progress", …} for replay.
        missing: Global names the code asked for and did not find.
        failure: Failure json when it failed.
        versions: Distribution -> version as loaded in the worker, where they differ from the lock.
        worker: Who ran it: executor, host, pid.
    """

    attempt: str
    fence: int
    run: str
    state: OutcomeState
    outputs: dict[str, Any] | None = None
    effects: dict[str, Any] = field(default_factory=dict)
    impurities: list[dict[str, Any]] = field(default_factory=list)
    edges: list[dict[str, Any]] = field(default_factory=list)
    log: list[dict[str, Any]] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    failure: dict[str, Any] | None = None
    versions: dict[str, str] = field(default_factory=dict)
    usage: dict[str, Any] = field(default_factory=dict)
    worker: dict[str, Any] = field(default_factory=dict)
    protocol: int = PROTOCOL

    def dump(self) -> bytes:
        """The outcome as UTF-8 JSON."""
        return json.dumps(self.to_json(), separators=(",", ":")).encode()

    @classmethod
    def load(cls, data: bytes) -> Outcome:
        """The outcome that `dump` wrote.

        Raises:
            Incompatible: Written by another version of the protocol.
        """
        return cls.from_json(_checked(data))


def _checked(data: bytes) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(data)
    if parsed.get("protocol") != PROTOCOL:
        raise Incompatible(
            f"this side speaks task protocol {PROTOCOL}, the other {parsed.get('protocol')}",
            subject="task protocol",
            hint="restart the studio: mlstudio down, then mlstudio up",
        )
    return parsed
