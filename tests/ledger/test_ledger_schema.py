"""Opening: created fast, recognised, migrated with a backup, or refused with a reason."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from mlstudio_lab.core.errors import Conflict, Corrupt, Incompatible, StorageFailed
from mlstudio_lab.ledger import events, schema
from mlstudio_lab.ledger.ledger import FILE, Ledger
from mlstudio_lab.ledger.places import check_local, file_system, is_network
from mlstudio_lab.ledger.tables import metadata
from mlstudio_lab.testing import FakeClock


def shape(path: Path) -> list[tuple[str, str]]:
    with contextlib.closing(sqlite3.connect(path)) as raw:
        return sorted((name, " ".join((sql or "").split())) for name, sql in raw.execute("SELECT name, sql FROM sqlite_schema"))


def test_a_fresh_ledger_opens_fast(tmp_path: Path, clock: FakeClock) -> None:
    took = []
    for n in range(5):
        began = time.perf_counter()
        Ledger.open(tmp_path / str(n), clock).close()
        took.append(time.perf_counter() - began)
    assert min(took) < 0.15


def test_opening_does_not_load_alembic(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from mlstudio_lab.ledger.ledger import Ledger; from mlstudio_lab.testing import FakeClock;"
        f"Ledger.open(pathlib.Path({str(tmp_path / 'x')!r}), FakeClock()).close(); print('alembic' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "False"


def test_migrations_make_what_the_code_expects(tmp_path: Path, clock: FakeClock) -> None:
    Ledger.open(tmp_path, clock).close()
    with create_engine(f"sqlite:///{tmp_path / FILE}").connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_the_durable_settings_are_in_force(ledger: Ledger) -> None:
    def settings(c):
        return {
            name: c.raw.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous", "mmap_size", "busy_timeout")
        }

    assert ledger.write(settings).result(timeout=10) == {"journal_mode": "wal", "synchronous": 2, "mmap_size": 0, "busy_timeout": 30000}


def older_and_newer(tmp_path: Path) -> tuple[Path, Path]:
    """Folders of revisions: as shipped, and with one more."""
    old, new = tmp_path / "old" / "versions", tmp_path / "new" / "versions"
    shutil.copytree(schema.VERSIONS, old, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(old, new)
    newest = sorted(file.name.split("_")[0] for file in schema.VERSIONS.glob("r0*.py"))[-1]
    (new / "r9000_next.py").write_text(
        f'revision = "r9000"\ndown_revision = "{newest}"\nbranch_labels = None\ndepends_on = None\n'
        'STATEMENTS = ("ALTER TABLE events ADD COLUMN extra TEXT", "CREATE TABLE novel (id INTEGER PRIMARY KEY)")\n'
        "def upgrade():\n    from alembic import op\n    for s in STATEMENTS:\n        op.execute(s)\n"
    )
    return old, new


def test_an_older_ledger_is_copied_and_migrated(tmp_path: Path, clock: FakeClock) -> None:
    _, new = older_and_newer(tmp_path)
    with Ledger.open(tmp_path / "led", clock) as ledger:
        ledger.write(lambda c: events.append(c, "k", "kept", {}, clock.now())).result(timeout=10)
    path = tmp_path / "led" / FILE
    schema.bring_up(path, clock.now(), new)
    names = {name for name, _ in shape(path)}
    assert "novel" in names
    with contextlib.closing(sqlite3.connect(path)) as raw:
        assert raw.execute("SELECT subject, extra FROM events").fetchall() == [("kept", None)]
        assert raw.execute("SELECT version_num FROM alembic_version").fetchall() == [("r9000",)]
    (backup,) = tmp_path.glob("led/ledger-r*.db")
    with contextlib.closing(sqlite3.connect(backup)) as raw:
        assert raw.execute("SELECT subject FROM events").fetchall() == [("kept",)]
        assert raw.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    schema.bring_up(path, clock.now(), new)
    assert len(list(tmp_path.glob("led/ledger-r*.db"))) == 1, "a ledger that is up to date is not copied again"


def test_migrated_and_fresh_ledgers_have_one_shape(tmp_path: Path, clock: FakeClock) -> None:
    old, new = older_and_newer(tmp_path)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    schema.bring_up(tmp_path / "a" / FILE, clock.now(), old)
    schema.bring_up(tmp_path / "a" / FILE, clock.now(), new)
    schema.bring_up(tmp_path / "b" / FILE, clock.now(), new)
    assert {name for name, _ in shape(tmp_path / "a" / FILE)} == {name for name, _ in shape(tmp_path / "b" / FILE)}


def test_a_failed_migration_changes_nothing(tmp_path: Path, clock: FakeClock) -> None:
    _, new = older_and_newer(tmp_path)
    bad = new / "r9000_next.py"
    bad.write_text(bad.read_text().replace('"CREATE TABLE novel (id INTEGER PRIMARY KEY)"', '"CREATE GARBAGE"'))
    Ledger.open(tmp_path / "led", clock).close()
    before = shape(tmp_path / "led" / FILE)
    with pytest.raises(Exception, match="GARBAGE"):
        schema.bring_up(tmp_path / "led" / FILE, clock.now(), new)
    assert shape(tmp_path / "led" / FILE) == before
    Ledger.open(tmp_path / "led", clock).close()


def test_a_newer_ledger_is_refused_and_untouched(tmp_path: Path, clock: FakeClock) -> None:
    _, new = older_and_newer(tmp_path)
    (tmp_path / "led").mkdir()
    schema.bring_up(tmp_path / "led" / FILE, clock.now(), new)
    before = shape(tmp_path / "led" / FILE)
    with pytest.raises(Incompatible, match="newer studio") as refused:
        Ledger.open(tmp_path / "led", clock)
    assert refused.value.hint
    assert shape(tmp_path / "led" / FILE) == before


def test_another_programs_database_is_refused(tmp_path: Path, clock: FakeClock) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / FILE)) as raw:
        raw.execute("CREATE TABLE theirs (x)")
        raw.commit()
    with pytest.raises(Incompatible, match="not a studio's ledger"):
        Ledger.open(tmp_path, clock)


def test_a_file_that_is_no_database_is_corrupt(tmp_path: Path, clock: FakeClock) -> None:
    (tmp_path / FILE).write_bytes(b"this is not a database, and never was one" * 200)
    with pytest.raises(Corrupt):
        Ledger.open(tmp_path, clock)
    with pytest.raises(Corrupt):
        Ledger.open(tmp_path, clock, writing=False)


def test_one_writer_at_a_time_also_across_processes(tmp_path: Path, clock: FakeClock) -> None:
    code = (
        "import sys, pathlib; from mlstudio_lab.ledger.ledger import Ledger; from mlstudio_lab.testing import FakeClock;"
        f"led = Ledger.open(pathlib.Path({str(tmp_path)!r}), FakeClock()); print('open', flush=True); sys.stdin.read(); led.close()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None and child.stdin is not None
        assert child.stdout.readline() == "open\n"
        with pytest.raises(Conflict, match="another process"):
            Ledger.open(tmp_path, clock)
        child.stdin.close()
        assert child.wait(20) == 0
    Ledger.open(tmp_path, clock).close()


MOUNTS = """\
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw
28 27 0:25 / /srv/ada rw,relatime shared:5 - nfs4 server:/export rw
29 27 0:26 / /mnt/win\\040share rw,relatime - cifs //server/share rw
30 27 0:27 / /mnt/ssh rw,nosuid - fuse.sshfs ada@host:/ rw
31 27 0:28 / /mnt/virt rw - 9p hostshare rw
32 28 0:29 / /srv/ada/local rw - xfs /dev/vdb rw
33 27 0:30 / /mnt/over rw - nfs a:/ rw
34 33 0:31 / /mnt/over rw - tmpfs tmpfs rw
garbled line
"""


@pytest.mark.parametrize(
    ("folder", "kind", "network"),
    [
        ("/var/studio", "ext4", False),
        ("/srv/ada/.mlstudio/ledger", "nfs4", True),
        ("/srv/adam", "ext4", False),
        ("/mnt/win share/x", "cifs", True),
        ("/mnt/ssh", "fuse.sshfs", True),
        ("/mnt/virt/a/b", "9p", True),
        ("/srv/ada/local/x", "xfs", False),
        ("/mnt/over/x", "tmpfs", False),
    ],
)
def test_the_file_system_of_a_folder(tmp_path: Path, folder: str, kind: str, network: bool) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(MOUNTS)
    assert file_system(Path(folder), mounts) == kind
    assert is_network(kind) is network


def test_a_network_file_system_is_refused(tmp_path: Path, clock: FakeClock) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"1 0 0:1 / / rw - ext4 a rw\n2 1 0:2 / {tmp_path} rw - nfs4 server:/x rw\n")
    with pytest.raises(StorageFailed, match="nfs4") as refused:
        Ledger.open(tmp_path / "home" / "ledger", clock, mounts=mounts)
    assert "MLSTUDIO_HOME" in refused.value.hint
    assert not (tmp_path / "home").exists()
    check_local(tmp_path, tmp_path / "no such file")
