"""Opening a ledger's file: created, recognised, migrated with a backup, or refused."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sqlite3
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from mlstudio_lab.blobs.disk import sync, sync_folder
from mlstudio_lab.core.errors import Corrupt, Incompatible, StorageFailed

VERSIONS: Final = Path(__file__).parent / "migrations" / "versions"
APPLICATION: Final = 0x4D4C5331
"""SQLite's application id of a ledger ("MLS1"), so that another program's file is not taken for one."""

_WHEN_FULL: Final = ("the disk is full", "free some space there; the studio goes on by itself, without a restart")
_WHEN_CLOSED: Final = ("it is read-only or cannot be opened", "make it and its folder writable, or choose another home with MLSTUDIO_HOME")
_WHEN_FAILED: Final = ("the disk failed, or something else holds the file", "check the disk; nothing was acknowledged that is not stored")
_STORAGE: Final = {
    sqlite3.SQLITE_FULL: _WHEN_FULL,
    sqlite3.SQLITE_READONLY: _WHEN_CLOSED,
    sqlite3.SQLITE_CANTOPEN: _WHEN_CLOSED,
    sqlite3.SQLITE_PERM: _WHEN_CLOSED,
    sqlite3.SQLITE_AUTH: _WHEN_CLOSED,
    sqlite3.SQLITE_IOERR: _WHEN_FAILED,
    sqlite3.SQLITE_BUSY: _WHEN_FAILED,
    sqlite3.SQLITE_LOCKED: _WHEN_FAILED,
    sqlite3.SQLITE_NOLFS: _WHEN_FAILED,
    sqlite3.SQLITE_PROTOCOL: _WHEN_FAILED,
}
_DAMAGED: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


def storage_error(error: sqlite3.Error, path: Path) -> StorageFailed | Corrupt | None:
    """The refusal for what SQLite said of the disk; None when the fault is not the disk's."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in _DAMAGED:
        return Corrupt(f"{path} is damaged: {error}", str(path), "run mlstudio fsck; a backup of the whole home restores it")
    if code in _STORAGE:
        message, hint = _STORAGE[code]
        return StorageFailed(f"{path} cannot be used: {message}", str(path), hint)
    return None


@contextlib.contextmanager
def sqlite_storage(path: Path) -> Iterator[None]:
    """Turns SQLite's storage errors inside into ours; others pass."""
    try:
        yield
    except sqlite3.Error as error:
        ours = storage_error(error, path)
        if ours is None:
            raise
        raise ours from error


def connect(path: Path, *, writing: bool) -> sqlite3.Connection:
    """A driver connection with the settings on which durability rests; transactions are begun by hand."""
    mode = "rwc" if writing else "ro"
    raw = sqlite3.connect(
        f"{path.as_uri()}?mode={mode}", uri=True, timeout=30, isolation_level=None, check_same_thread=False, cached_statements=512
    )
    raw.execute("PRAGMA busy_timeout = 30000")
    raw.execute("PRAGMA mmap_size = 0")
    raw.execute("PRAGMA temp_store = MEMORY")
    if writing:
        # FULL: a commit returns after its log is synced. fullfsync: macOS, where fsync alone is not enough.
        raw.execute("PRAGMA synchronous = FULL")
        raw.execute("PRAGMA fullfsync = 1")
        raw.execute("PRAGMA checkpoint_fullfsync = 1")
        raw.execute("PRAGMA cache_size = -32000")
        raw.execute("PRAGMA journal_size_limit = 67108864")
    else:
        raw.execute("PRAGMA query_only = 1")
        raw.execute("PRAGMA cache_size = -8000")
    return raw


def revision_of(raw: sqlite3.Connection) -> str | None:
    """The revision a ledger's file is at; None for an empty file.

    Raises:
        Incompatible: A SQLite file of another program.
    """
    tables = raw.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    if not tables:
        return None
    if raw.execute("PRAGMA application_id").fetchone()[0] != APPLICATION:
        raise Incompatible("this SQLite file is not a studio's ledger", subject="ledger.db", hint="choose another home with MLSTUDIO_HOME")
    return str(raw.execute("SELECT version_num FROM alembic_version").fetchone()[0])


def check_readable(raw: sqlite3.Connection, path: Path, versions: Path = VERSIONS) -> None:
    """Returns when a file opened for reading is a ledger of the newest revision.

    Raises:
        Incompatible: It is of a newer or an older studio, or not a ledger.
    """
    found = revision_of(raw)
    newest = sorted(file.name.split("_")[0] for file in versions.glob("r[0-9]*.py"))[-1]
    if found != newest:
        hint = "start the studio once, which brings it forward" if (found or "") < newest else "update mlstudio_lab"
        raise Incompatible(f"{path} has schema {found}, this studio reads {newest}", subject=str(path), hint=hint)


def bring_up(path: Path, at: datetime, versions: Path = VERSIONS) -> None:
    """Leaves the file a ledger of the newest revision: new files are filled, older ones copied beside and migrated.

    Args:
        path: The ledger's file; its folder exists.
        at: The present moment, for the backup's name.
        versions: The folder of revisions.

    Raises:
        Incompatible: The file is of a newer studio, or not a ledger.
        StorageFailed: It cannot be written.
        Corrupt: It is damaged.
    """
    files = sorted(versions.glob("r[0-9]*.py"))
    names = [file.name.split("_")[0] for file in files]
    with sqlite_storage(path), contextlib.closing(connect(path, writing=True)) as raw:
        if raw.execute("PRAGMA journal_mode = WAL").fetchone()[0] != "wal":
            raise StorageFailed(f"{path} cannot use a write-ahead log", str(path), "choose a home on a local disk with MLSTUDIO_HOME")
        found = revision_of(raw)
        if found == names[-1]:
            return
        if found is not None and found not in names:
            raise Incompatible(
                f"{path} was written by a newer studio (its schema is {found}, this one knows {names[-1]})",
                subject=str(path),
                hint="update mlstudio_lab, or choose another home with MLSTUDIO_HOME",
            )
        if found is None:
            _create(raw, files, names[-1])
        else:
            _back_up(raw, path, found, at)
            _migrate(raw, versions)


def _create(raw: sqlite3.Connection, files: list[Path], newest: str) -> None:
    raw.execute("BEGIN IMMEDIATE")
    try:
        if revision_of(raw) is None:
            for file in files:
                for statement in _load(file).STATEMENTS:
                    raw.execute(statement)
            # As alembic itself makes it, so that the next revision finds what it expects.
            raw.execute(
                "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL, CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))"
            )
            raw.execute("INSERT INTO alembic_version VALUES (?)", (newest,))
            raw.execute(f"PRAGMA application_id = {APPLICATION}")
        raw.execute("COMMIT")
    finally:
        if raw.in_transaction:
            raw.execute("ROLLBACK")


def _back_up(raw: sqlite3.Connection, path: Path, found: str, at: datetime) -> Path:
    target = path.with_name(f"{path.stem}-{found}-{at:%Y%m%dT%H%M%S}{path.suffix}")
    beside = target.with_name(f".{target.name}.part")
    beside.unlink(missing_ok=True)
    with contextlib.closing(sqlite3.connect(beside)) as copy:
        raw.backup(copy)
    fd = os.open(beside, os.O_RDONLY)
    try:
        sync(fd)
    finally:
        os.close(fd)
    beside.replace(target)
    sync_folder(path.parent)
    return target


def _migrate(raw: sqlite3.Connection, versions: Path) -> None:
    """Runs alembic's missing revisions in one transaction of ours."""
    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext
    from alembic.script import ScriptDirectory
    from sqlalchemy import create_engine
    from sqlalchemy.pool import StaticPool

    config = Config()
    config.set_main_option("script_location", str(versions.parent))
    config.set_main_option("version_locations", str(versions))
    config.set_main_option("path_separator", "newline")
    script = ScriptDirectory.from_config(config)

    def upgrade(revision: Any, _context: Any) -> Any:
        return script._upgrade_revs("head", revision)

    engine = create_engine("sqlite://", creator=lambda: raw, poolclass=StaticPool)
    # Inside a transaction of SQLAlchemy's, alembic does not commit step by step; the driver's own is begun by hand, and
    # only now, since SQLAlchemy rolls back once when it first meets a connection.
    with engine.begin() as connection, EnvironmentContext(config, script, fn=upgrade) as environment:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        environment.configure(connection=connection, transactional_ddl=True)
        environment.run_migrations()


def _load(file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"mlstudio_ledger_{file.stem}", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
