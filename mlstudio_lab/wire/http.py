"""Models of every HTTP request and answer; both ends share them and OpenAPI and the TypeScript types come from them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from mlstudio_lab.wire.routes import API
from mlstudio_lab.wire.task import Where

Json = dict[str, Any]
State = Literal["", "queued", "running", "succeeded", "failed", "cancelled"]


class Model(BaseModel):
    """The base of the wire's models: unknown keys are ignored, so a minor addition does not break an older reader."""

    model_config = ConfigDict(extra="ignore", populate_by_name=True, protected_namespaces=())


class ErrorBody(Model):
    """What went wrong; clients branch on `code`."""

    code: str
    message: str
    subject: str = ""
    hint: str = ""


class ErrorView(Model):
    """The body of every answer that is not a success."""

    error: ErrorBody


class ExecutorView(Model):
    """One executor and its workers.

    Attributes:
        name: `local` or `ray`.
        ready: Whether a task handed over now starts at once.
        workers, busy, queued: Counts.
        detail: One sentence for people: "warming", "off: ray is not installed", "restarting: the head died".
        members: One object a worker: {"worker", "pid", "state", "run"}.
    """

    name: str
    ready: bool
    workers: int = 0
    busy: int = 0
    queued: int = 0
    detail: str = ""
    members: list[Json] = Field(default_factory=list)


class Handshake(Model):
    """Who answers here."""

    api: int = API
    version: str
    home: str
    pid: int
    user: str
    blobs: str | None = Field(description="folder of the blobs when the caller may use it directly, else null")
    executors: list[str]


class StatusView(Model):
    """How the service is."""

    version: str
    home: str
    pid: int
    user: str
    address: str
    started_at: datetime
    uptime_s: float
    runs: dict[str, int] = Field(description="state -> number of runs in it")
    executors: list[ExecutorView]
    log: str = Field(description="the service's log file")


class RunRequest(Model):
    """A wish to run one version on fixed inputs.

    `values` are the digests of the bound arguments ("window_days") and of free data ("global:base"); with them alone the
    service can answer from memory. Where it cannot, it answers with `needs` and the same request is sent again with
    `bundle` or `payload`. A run without a notebook (command line, panel, API) sends `parameters` and `datasets` instead.
    """

    run: str = Field(description="ULID made by the sender; sending it twice is one run")
    module: str = Field(description="namespace/name, with @tag, @vN or @digest when neither version nor bundle is sent")
    version: str = Field(default="", description="bundle id; empty for the bundle sent along or what the name resolves to")
    bundle: Json | None = Field(default=None, description="core.bundle.Bundle.to_json()")
    origins: dict[str, list[Any]] = Field(default_factory=dict, description="unit -> [file, first line] for tracebacks")
    values: dict[str, Json] = Field(default_factory=dict, description="name or global:NAME -> Value json")
    payload: Json | None = Field(default=None, description="Payload json; its graph as wire.task.Task.inputs says")
    datasets: dict[str, str] = Field(default_factory=dict, description="parameter -> dataset name[@version]")
    parameters: Json = Field(default_factory=dict, description="parameter -> JSON value, merged over the defaults")
    arguments: Json = Field(
        default_factory=dict, description="plain numbers, words and flags among the arguments, so that a clone form can show them"
    )
    ambient: Json = Field(default_factory=dict, description="calling.ambient.take()")
    ambient_key: dict[str, str] = Field(default_factory=dict, description="calling.ambient.key(ambient): enters the memo key")
    env: dict[str, str | None] = Field(
        default_factory=dict, description="environment variables the code names -> present value's digest, null when unset"
    )
    cwd: str = ""
    impurities: list[Json] = Field(default_factory=list, description="what capture saw: Impurity jsons")
    outputs: list[str] | None = Field(default=None, description="names a cell gives back; null for all it binds or mutates")
    where: Where = "auto"
    cpus: float = 0.0
    gpus: float = 0.0
    memory_bytes: int = 0
    timeout_s: float = 0.0
    seed: int | None = None
    reuse: bool = True
    tag_dev: bool = Field(default=True, description="move the sender's dev tag forward")
    kernel: bool = Field(default=False, description="the sender can run it in its own process when no worker can")
    wait_s: float = 0.0


class WarningView(Model):
    """Something new and labelled reached an output."""

    output: str
    column: str
    label: str
    from_: str = Field(alias="from", description="dataset.column it came from")
    text: str


class RunView(Model):
    """A run as people see it.

    Attributes:
        needs: Non-empty: nothing runs here; see `wire.routes`. `attempt` and `fence` are set with `kernel`.
        log: What the run said, for replay; only on a hit or when asked for.
        edges: How many column edges it recorded, by kind in `edge_kinds`.
    """

    id: str
    number: int = 0
    module: str = ""
    version: str = ""
    version_number: int = 0
    kind: str = ""
    state: State = ""
    reused: bool = False
    reused_from: int | None = Field(default=None, description="number of the run whose result this is")
    stored: bool = Field(default=False, description="whether a next run may reuse this one")
    why: str = ""
    executor: str = ""
    needs: list[str] = Field(default_factory=list)
    attempt: str = ""
    fence: int = 0
    outputs: Json | None = Field(default=None, description="Payload json")
    log: list[Json] = Field(default_factory=list)
    effects: Json = Field(default_factory=dict)
    impurities: list[Json] = Field(default_factory=list)
    warnings: list[WarningView] = Field(default_factory=list)
    edges: int = 0
    edge_kinds: dict[str, int] = Field(default_factory=dict)
    usage: Json = Field(default_factory=dict)
    failure: Json | None = Field(default=None, description="Failure json")
    created_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    cloned_from: int | None = None
    actor: str = ""
    dev_newer: int | None = Field(default=None, description="number of the sender's newer dev version, when this one is older")
    request: Json = Field(default_factory=dict, description="parameters, datasets and options, for a clone form; on GET only")


class RunList(Model):
    """A page of runs, newest first; `before` of the next page is the last number."""

    runs: list[RunView]
    next_before: int | None = None


class LogView(Model):
    """What a run said, in order."""

    run: str
    number: int
    log: list[Json]
    text: str


class CloneRequest(Model):
    """The same run with changes; what is not named is carried over as it was."""

    set: Json = Field(default_factory=dict, description="parameter -> JSON value")
    input: dict[str, str] = Field(default_factory=dict, description="parameter -> dataset name[@version]")
    run: str = Field(description="ULID made by the sender")
    reuse: bool = True
    where: Where = "auto"
    wait_s: float = 0.0


class RerunRequest(Model):
    """The same run again."""

    run: str = Field(description="ULID made by the sender")
    reuse: bool = True
    where: Where = "auto"
    wait_s: float = 0.0


class PublishRequest(Model):
    """A version to keep, and the shared tag to move to it ("" for none)."""

    name: str
    bundle: Json
    tests: list[str] = Field(default_factory=list, description="sources added as test units")
    tag: str = "latestAlpha"
    expect: str | None = Field(default="*", description="version id the tag must stand on; null for no tag yet; * for any")


class VersionView(Model):
    """One version of a module."""

    name: str
    number: int
    id: str
    ref: str
    kind: str
    entry: str = ""
    code_digest: str = ""
    new: bool = False
    wheel: str = Field(default="", description="file name of its wheel; empty for a cell module")
    tags: list[str] = Field(default_factory=list)
    created_by: str = ""
    created_at: datetime | None = None
    interface: Json = Field(default_factory=dict)
    source: str = Field(default="", description="the main unit's text")
    bundle: Json | None = None


class ModuleView(Model):
    """One module; `versions` is filled on GET of one module."""

    name: str
    kind: str
    latest_number: int
    tags: dict[str, int] = Field(default_factory=dict, description="shared tag -> version number")
    dev: int | None = Field(default=None, description="number of the caller's dev version")
    interface: Json = Field(default_factory=dict)
    last_run: Json | None = Field(default=None, description="{number, id, state, reused, ended_at}")
    created_at: datetime | None = None
    versions: list[VersionView] = Field(default_factory=list)


class ModuleList(Model):
    """Modules by name."""

    modules: list[ModuleView]


class UnitDiff(Model):
    """One unit that differs."""

    role: str
    name: str
    change: Literal["added", "removed", "changed"]
    text: str = Field(description="unified diff")


class DiffView(Model):
    """What differs between two versions of a module."""

    name: str
    a: int
    b: int
    same_code: bool = Field(description="formatting and comments apart, both run the same code")
    units: list[UnitDiff]
    lock: dict[str, list[str]] = Field(description="distribution -> [version in a, version in b]")


class TagRequest(Model):
    """Where a tag goes."""

    version: str = Field(description="vN, tag or digest")
    expect: str | None = Field(default="*", description="version id the tag must stand on; null for no tag yet; * for any")


class TagView(Model):
    """Where a tag stands."""

    name: str
    tag: str
    version: str
    number: int


class DatasetRequest(Model):
    """A dataset version: `payload` with one value named `value`, or a reference."""

    name: str
    payload: Json | None = None
    reference: Json | None = Field(default=None, description="{uri, format, snapshot, options}")
    values: dict[str, Json] = Field(default_factory=dict, description="value -> Value json, when payload.values lacks it")
    labels: dict[str, list[str]] = Field(default_factory=dict, description="column -> label texts")


class DatasetView(Model):
    """One version of a dataset."""

    name: str
    version: str = Field(description="content digest")
    number: int = 0
    kind: Literal["stored", "reference"] = "stored"
    type: str = ""
    columns: dict[str, str] = Field(default_factory=dict, description="column -> dtype, in order")
    rows: int | None = None
    bytes: int = 0
    labels: dict[str, Json] = Field(default_factory=dict, description="column -> {asserted, propagated} Label jsons or null")
    payload: Json | None = None
    reference: Json | None = None
    created_by: str = ""
    created_at: datetime | None = None
    made_by: int | None = Field(default=None, description="number of the run that made it")
    versions: list[Json] = Field(default_factory=list, description="[{number, version, created_at, rows}] on GET of one dataset")


class DatasetList(Model):
    """Datasets by name."""

    datasets: list[DatasetView]


class HeadView(Model):
    """The first rows of a dataset as text."""

    name: str
    columns: list[str]
    dtypes: list[str]
    rows: list[list[str]]
    total: int | None


class EdgeView(Model):
    """One column edge between named things."""

    output: str
    output_column: str
    input: str
    input_column: str
    kind: str
    subtype: str = ""
    run: int = 0
    module: str = ""
    depth: int = 1


class LineageView(Model):
    """Edges around one thing, and the labels of the columns on them.

    Attributes:
        labels: "name.column" -> {"asserted": Label json|null, "propagated": Label json|null}.
        widened: Why some edges are opaque.
    """

    subject: str
    column: str = ""
    direction: Literal["up", "down"] = "up"
    edges: list[EdgeView]
    labels: dict[str, Json] = Field(default_factory=dict)
    widened: list[str] = Field(default_factory=list)
    truncated: bool = False


class BlobView(Model):
    """A stored blob."""

    digest: str
    kind: str
    bytes: int


class MissingRequest(Model):
    """Digests to look for."""

    digests: list[str]


class MissingView(Model):
    """Those of them that are not here."""

    missing: list[str]


class ClusterView(Model):
    """The hot cluster."""

    light: Literal["green", "amber", "red"] = Field(description="green: hot; amber: serving while warming; red: nothing can run")
    text: str
    executors: list[ExecutorView]
    cpus: int
    memory_bytes: int


class EventView(Model):
    """One event of `/events`: ids and states only."""

    cursor: int
    kind: str
    subject: str
    state: Json
    at: datetime
