"""Everything a ledger holds at first."""

from __future__ import annotations

revision = "r0001"
down_revision = None
branch_labels = None
depends_on = None

STATEMENTS = (
    """
    CREATE TABLE modules (
        id INTEGER NOT NULL,
        name TEXT NOT NULL,
        kind TEXT NOT NULL,
        latest INTEGER NOT NULL,
        created_by TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        PRIMARY KEY (id),
        UNIQUE (name)
    )
    """,
    """
    CREATE TABLE locks (
        id INTEGER NOT NULL,
        digest TEXT NOT NULL,
        body BLOB NOT NULL,
        PRIMARY KEY (id),
        UNIQUE (digest)
    )
    """,
    """
    CREATE TABLE bundles (
        seq INTEGER NOT NULL,
        id TEXT NOT NULL,
        lock INTEGER NOT NULL,
        body BLOB NOT NULL,
        PRIMARY KEY (seq),
        UNIQUE (id)
    )
    """,
    """
    CREATE TABLE versions (
        module INTEGER NOT NULL,
        number INTEGER NOT NULL,
        id TEXT NOT NULL,
        entry TEXT NOT NULL,
        code_digest TEXT NOT NULL,
        created_by TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        PRIMARY KEY (module, number),
        UNIQUE (module, id)
    )
     WITHOUT ROWID
    """,
    "CREATE INDEX versions_by_id ON versions (id)",
    """
    CREATE TABLE tags (
        module INTEGER NOT NULL,
        tag TEXT NOT NULL,
        owner TEXT NOT NULL,
        number INTEGER NOT NULL,
        version_id TEXT NOT NULL,
        moved_by TEXT NOT NULL,
        moved_at INTEGER NOT NULL,
        PRIMARY KEY (module, tag, owner)
    )
     WITHOUT ROWID
    """,
    """
    CREATE TABLE runs (
        number INTEGER NOT NULL,
        id TEXT NOT NULL,
        kind TEXT NOT NULL,
        module TEXT NOT NULL,
        version_id TEXT NOT NULL,
        state TEXT NOT NULL,
        "where" TEXT NOT NULL,
        executor TEXT NOT NULL,
        why TEXT NOT NULL,
        reused_from TEXT,
        memo_key TEXT,
        cloned_from TEXT,
        actor TEXT NOT NULL,
        zone TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        started_at INTEGER,
        ended_at INTEGER,
        log_blob TEXT,
        error TEXT,
        impurities TEXT,
        warnings TEXT,
        usage TEXT,
        outputs TEXT,
        request TEXT,
        PRIMARY KEY (number),
        UNIQUE (id)
    )
    """,
    "CREATE INDEX runs_by_actor ON runs (actor, number)",
    "CREATE INDEX runs_by_module ON runs (module, number)",
    "CREATE INDEX runs_by_state ON runs (state, number)",
    """
    CREATE TABLE attempts (
        seq INTEGER NOT NULL,
        id TEXT NOT NULL,
        run TEXT NOT NULL,
        fence INTEGER NOT NULL,
        executor TEXT NOT NULL,
        worker TEXT NOT NULL,
        state TEXT NOT NULL,
        queued_at INTEGER NOT NULL,
        started_at INTEGER,
        ended_at INTEGER,
        cpu_s REAL NOT NULL,
        gpu_s REAL NOT NULL,
        wall_s REAL NOT NULL,
        peak_bytes INTEGER NOT NULL,
        moved_bytes INTEGER NOT NULL,
        cost_rate REAL NOT NULL,
        PRIMARY KEY (seq),
        UNIQUE (run, fence),
        UNIQUE (id)
    )
    """,
    "CREATE INDEX attempts_open ON attempts (queued_at) WHERE ended_at IS NULL",
    """
    CREATE TABLE memos (
        seq INTEGER NOT NULL,
        "key" TEXT NOT NULL,
        module TEXT NOT NULL,
        run TEXT NOT NULL,
        actor TEXT NOT NULL,
        zone TEXT NOT NULL,
        at INTEGER NOT NULL,
        log_blob TEXT,
        edge_set INTEGER,
        quarantined TEXT,
        hits INTEGER NOT NULL,
        last_hit_at INTEGER,
        effects TEXT NOT NULL,
        outputs TEXT,
        parts TEXT NOT NULL,
        tree TEXT NOT NULL,
        PRIMARY KEY (seq),
        UNIQUE ("key")
    )
    """,
    "CREATE INDEX memos_by_module ON memos (module, actor, at)",
    """
    CREATE TABLE schemas (
        id INTEGER NOT NULL,
        digest TEXT NOT NULL,
        body TEXT NOT NULL,
        PRIMARY KEY (id),
        UNIQUE (digest)
    )
    """,
    """
    CREATE TABLE datasets (
        id INTEGER NOT NULL,
        name TEXT NOT NULL,
        latest INTEGER NOT NULL,
        created_by TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        PRIMARY KEY (id),
        UNIQUE (name)
    )
    """,
    """
    CREATE TABLE dataset_versions (
        id INTEGER NOT NULL,
        dataset INTEGER NOT NULL,
        number INTEGER NOT NULL,
        content TEXT NOT NULL,
        schema INTEGER,
        rows INTEGER,
        actor TEXT NOT NULL,
        at INTEGER NOT NULL,
        run TEXT,
        reference TEXT,
        payload TEXT,
        PRIMARY KEY (id),
        UNIQUE (dataset, number),
        UNIQUE (dataset, content)
    )
    """,
    "CREATE INDEX dataset_versions_by_content ON dataset_versions (content)",
    """
    CREATE TABLE words (
        id INTEGER NOT NULL,
        text TEXT NOT NULL,
        PRIMARY KEY (id),
        UNIQUE (text)
    )
    """,
    """
    CREATE TABLE contents (
        id INTEGER NOT NULL,
        digest TEXT NOT NULL,
        PRIMARY KEY (id),
        UNIQUE (digest)
    )
    """,
    """
    CREATE TABLE label_sets (
        id INTEGER NOT NULL,
        digest TEXT NOT NULL,
        asserted INTEGER NOT NULL,
        body TEXT NOT NULL,
        PRIMARY KEY (id),
        UNIQUE (digest)
    )
    """,
    """
    CREATE TABLE content_labels (
        content INTEGER NOT NULL,
        label_set INTEGER NOT NULL,
        PRIMARY KEY (content)
    )
    """,
    """
    CREATE TABLE edge_sets (
        id INTEGER NOT NULL,
        digest TEXT NOT NULL,
        edges INTEGER NOT NULL,
        PRIMARY KEY (id),
        UNIQUE (digest)
    )
    """,
    """
    CREATE TABLE edge_blocks (
        id INTEGER NOT NULL,
        edge_set INTEGER NOT NULL,
        kind TEXT NOT NULL,
        subtype TEXT NOT NULL,
        PRIMARY KEY (id)
    )
    """,
    "CREATE INDEX edge_blocks_by_set ON edge_blocks (edge_set)",
    """
    CREATE TABLE block_inputs (
        edge_set INTEGER NOT NULL,
        name INTEGER NOT NULL,
        "column" INTEGER NOT NULL,
        block INTEGER NOT NULL,
        PRIMARY KEY (edge_set, name, "column", block)
    )
     WITHOUT ROWID
    """,
    "CREATE INDEX block_inputs_by_block ON block_inputs (block)",
    """
    CREATE TABLE block_outputs (
        edge_set INTEGER NOT NULL,
        name INTEGER NOT NULL,
        "column" INTEGER NOT NULL,
        block INTEGER NOT NULL,
        PRIMARY KEY (edge_set, name, "column", block)
    )
     WITHOUT ROWID
    """,
    "CREATE INDEX block_outputs_by_block ON block_outputs (block)",
    """
    CREATE TABLE run_edges (
        run INTEGER NOT NULL,
        edge_set INTEGER NOT NULL,
        ends TEXT NOT NULL,
        PRIMARY KEY (run)
    )
    """,
    """
    CREATE TABLE flows (
        source INTEGER NOT NULL,
        source_name INTEGER NOT NULL,
        edge_set INTEGER NOT NULL,
        target INTEGER NOT NULL,
        target_name INTEGER NOT NULL,
        run INTEGER NOT NULL,
        PRIMARY KEY (source, source_name, edge_set, target, target_name)
    )
     WITHOUT ROWID
    """,
    "CREATE INDEX flows_by_target ON flows (target)",
    """
    CREATE TABLE audit (
        seq INTEGER NOT NULL,
        actor TEXT NOT NULL,
        action TEXT NOT NULL,
        subject TEXT NOT NULL,
        detail TEXT NOT NULL,
        at INTEGER NOT NULL,
        prev TEXT NOT NULL,
        digest TEXT NOT NULL,
        PRIMARY KEY (seq)
    )
    """,
    "CREATE INDEX audit_by_subject ON audit (subject)",
    """
    CREATE TABLE events (
        cursor INTEGER NOT NULL,
        kind TEXT NOT NULL,
        subject TEXT NOT NULL,
        state TEXT NOT NULL,
        at INTEGER NOT NULL,
        PRIMARY KEY (cursor)
    )
    """,
)
"""A new ledger runs these as they are, without loading alembic, which would double the time to open it."""


def upgrade() -> None:
    from alembic import op

    for statement in STATEMENTS:
        op.execute(statement)
