"""The ledger's tables as SQLAlchemy knows them; migrations create them, a test compares the two.

Moments are whole microseconds since 1970 in UTC. Names, column names and content digests that stand in many lineage rows
are kept once (`words`, `contents`) and pointed to by number; edges are kept once for each distinct set of them, labels
and schemas likewise, so that 900,000 dataset versions of a few thousand shapes cost a few thousand sets.
"""

from __future__ import annotations

from sqlalchemy import REAL, Column, Index, Integer, LargeBinary, MetaData, PrimaryKeyConstraint, Table, Text, UniqueConstraint, text

metadata = MetaData()


def _text(name: str, *, null: bool = False) -> Column[str]:
    return Column(name, Text, nullable=null)


def _number(name: str, *, null: bool = False) -> Column[int]:
    return Column(name, Integer, nullable=null)


def _real(name: str) -> Column[float]:
    return Column(name, REAL, nullable=False)


def _digest() -> Column[str]:
    return Column("digest", Text, nullable=False, unique=True)


def _key(name: str) -> Column[int]:
    return Column(name, Integer, primary_key=True)


modules = Table(
    "modules",
    metadata,
    _key("id"),
    Column("name", Text, nullable=False, unique=True),
    _text("kind"),
    _number("latest"),
    _text("created_by"),
    _number("created_at"),
)
locks = Table("locks", metadata, _key("id"), _digest(), Column("body", LargeBinary, nullable=False))
bundles = Table(
    "bundles",
    metadata,
    _key("seq"),
    Column("id", Text, nullable=False, unique=True),
    _number("lock"),
    Column("body", LargeBinary, nullable=False),
)
versions = Table(
    "versions",
    metadata,
    _number("module"),
    _number("number"),
    _text("id"),
    _text("entry"),
    _text("code_digest"),
    _text("created_by"),
    _number("created_at"),
    PrimaryKeyConstraint("module", "number"),
    UniqueConstraint("module", "id"),
    Index("versions_by_id", "id"),
    sqlite_with_rowid=False,
)
tags = Table(
    "tags",
    metadata,
    _number("module"),
    _text("tag"),
    _text("owner"),
    _number("number"),
    _text("version_id"),
    _text("moved_by"),
    _number("moved_at"),
    PrimaryKeyConstraint("module", "tag", "owner"),
    sqlite_with_rowid=False,
)

runs = Table(
    "runs",
    metadata,
    _key("number"),
    Column("id", Text, nullable=False, unique=True),
    _text("kind"),
    _text("module"),
    _text("version_id"),
    _text("state"),
    _text("where"),
    _text("executor"),
    _text("why"),
    _text("reused_from", null=True),
    _text("memo_key", null=True),
    _text("cloned_from", null=True),
    _text("actor"),
    _text("zone"),
    _number("created_at"),
    _number("started_at", null=True),
    _number("ended_at", null=True),
    _text("log_blob", null=True),
    _text("error", null=True),
    _text("impurities", null=True),
    _text("warnings", null=True),
    _text("usage", null=True),
    _text("outputs", null=True),
    _text("request", null=True),
    Index("runs_by_state", "state", "number"),
    Index("runs_by_module", "module", "number"),
    Index("runs_by_actor", "actor", "number"),
)
attempts = Table(
    "attempts",
    metadata,
    _key("seq"),
    Column("id", Text, nullable=False, unique=True),
    _text("run"),
    _number("fence"),
    _text("executor"),
    _text("worker"),
    _text("state"),
    _number("queued_at"),
    _number("started_at", null=True),
    _number("ended_at", null=True),
    _real("cpu_s"),
    _real("gpu_s"),
    _real("wall_s"),
    _number("peak_bytes"),
    _number("moved_bytes"),
    _real("cost_rate"),
    UniqueConstraint("run", "fence"),
    Index("attempts_open", "queued_at", sqlite_where=text("ended_at IS NULL")),
)
memos = Table(
    "memos",
    metadata,
    _key("seq"),
    Column("key", Text, nullable=False, unique=True),
    _text("module"),
    _text("run"),
    _text("actor"),
    _text("zone"),
    _number("at"),
    _text("log_blob", null=True),
    _number("edge_set", null=True),
    _text("quarantined", null=True),
    _number("hits"),
    _number("last_hit_at", null=True),
    _text("effects"),
    _text("outputs", null=True),
    _text("parts"),
    _text("tree"),
    Index("memos_by_module", "module", "actor", "at"),
)

schemas = Table("schemas", metadata, _key("id"), _digest(), _text("body"))
datasets = Table(
    "datasets",
    metadata,
    _key("id"),
    Column("name", Text, nullable=False, unique=True),
    _number("latest"),
    _text("created_by"),
    _number("created_at"),
)
dataset_versions = Table(
    "dataset_versions",
    metadata,
    _key("id"),
    _number("dataset"),
    _number("number"),
    _text("content"),
    _number("schema", null=True),
    _number("rows", null=True),
    _text("actor"),
    _number("at"),
    _text("run", null=True),
    _text("reference", null=True),
    _text("payload", null=True),
    UniqueConstraint("dataset", "number"),
    UniqueConstraint("dataset", "content"),
    Index("dataset_versions_by_content", "content"),
)

words = Table("words", metadata, _key("id"), Column("text", Text, nullable=False, unique=True))
contents = Table("contents", metadata, _key("id"), _digest())
label_sets = Table("label_sets", metadata, _key("id"), _digest(), _number("asserted"), _text("body"))
content_labels = Table("content_labels", metadata, _key("content"), _number("label_set"))

edge_sets = Table("edge_sets", metadata, _key("id"), _digest(), _number("edges"))
edge_blocks = Table(
    "edge_blocks", metadata, _key("id"), _number("edge_set"), _text("kind"), _text("subtype"), Index("edge_blocks_by_set", "edge_set")
)
block_inputs = Table(
    "block_inputs",
    metadata,
    _number("edge_set"),
    _number("name"),
    _number("column"),
    _number("block"),
    PrimaryKeyConstraint("edge_set", "name", "column", "block"),
    Index("block_inputs_by_block", "block"),
    sqlite_with_rowid=False,
)
block_outputs = Table(
    "block_outputs",
    metadata,
    _number("edge_set"),
    _number("name"),
    _number("column"),
    _number("block"),
    PrimaryKeyConstraint("edge_set", "name", "column", "block"),
    Index("block_outputs_by_block", "block"),
    sqlite_with_rowid=False,
)
run_edges = Table("run_edges", metadata, _key("run"), _number("edge_set"), _text("ends"))
flows = Table(
    "flows",
    metadata,
    _number("source"),
    _number("source_name"),
    _number("edge_set"),
    _number("target"),
    _number("target_name"),
    _number("run"),
    PrimaryKeyConstraint("source", "source_name", "edge_set", "target", "target_name"),
    Index("flows_by_target", "target"),
    sqlite_with_rowid=False,
)

audit = Table(
    "audit",
    metadata,
    _key("seq"),
    _text("actor"),
    _text("action"),
    _text("subject"),
    _text("detail"),
    _number("at"),
    _text("prev"),
    _text("digest"),
    Index("audit_by_subject", "subject"),
)
events = Table("events", metadata, _key("cursor"), _text("kind"), _text("subject"), _text("state"), _number("at"))
