"""fsck says what is wrong and where, changes nothing, and is silent where nothing is."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from mlstudio_lab.blobs.local import LocalBlobs
from mlstudio_lab.core.edges import Edge
from mlstudio_lab.core.errors import NotFound
from mlstudio_lab.core.run import FINAL
from mlstudio_lab.ledger import datasets, fsck, labels, lineage, memos, runs, tags
from mlstudio_lab.ledger.fsck import check, check_folder
from mlstudio_lab.ledger.ledger import FILE, Ledger
from mlstudio_lab.ledger.roots import live_blobs, needed_blobs
from mlstudio_lab.testing import FakeClock


class Home:
    """A home in which a little of everything happened."""

    def __init__(self, folder: Path, ledger: Ledger, clock: FakeClock, scene: Any) -> None:
        self.folder, self.ledger, self.blobs = folder, ledger, LocalBlobs(folder / "blobs")
        self.log = self.blobs.put("log/1", [b"hello"]).digest
        self.leaf = self.blobs.put("arrow/1", [b"frame"]).digest
        self.graph = self.blobs.put("pickle/1", [b"graph"]).digest
        self.frame = self.blobs.put("arrow/1", [b"dataset"]).digest
        self.spare = self.blobs.put("arrow/1", [b"needed by nothing"]).digest
        self.ambient = self.blobs.put("ambient/1", [b"options"]).digest
        payload = {
            "graph": "",
            "graph_blob": self.graph,
            "leaves": [{"codec": "polars/1", "blob": self.leaf, "content": "d" * 64}],
            "values": {},
        }
        self.run = run = scene.add_run(request={"ambient": {"options": self.ambient}, "blob": ""})
        edges = [Edge("return", "a", "x", "b", "direct", "IDENTITY")]

        def everything(c: Any) -> None:
            at = clock.now()
            tags.move_tag(c, "flights/delay", "latest", "", scene.version.id, None, "ada", at)
            runs.insert_attempt(c, id="a1", run=run, fence=1, executor="local", queued_at=at)
            runs.update_run(c, run, event="start", at=at)
            runs.end_attempt(c, "a1", state="succeeded", at=at)
            runs.update_run(c, run, event="succeed", at=at, outputs=payload, log_blob=self.log)
            lineage.put_edges(c, run, edges, inputs={"x": lineage.End("1")}, outputs={"return": lineage.End("2")})
            memos.put_memo(
                c, key="k" * 64, parts={}, tree={}, run_id=run, outputs=payload, effects={}, edges=edges, log_blob=self.log,
                zone="", actor="ada", at=at,
            )  # fmt: skip
            stored = {"graph": "x", "leaves": [{"blob": self.frame}]}
            datasets.put_dataset_version(
                c, "a/x", content="e" * 64, payload=stored, schema={"a": "Int8"}, rows=1, labels={"a": {"s": 1}}, actor="ada", at=at
            )
            labels.put_labels(c, "2", "a", None, {"s": 1})

        ledger.write(everything).result(timeout=20)

    def sql(self, statement: str) -> None:
        self.ledger.write(lambda c: c.raw.execute(statement).rowcount).result(timeout=20)

    def check(self) -> list[fsck.Finding]:
        return check(self.ledger, LocalBlobs(self.folder / "blobs"))

    def bytes(self) -> str:
        digest = hashlib.sha256()
        for file in sorted(self.folder.rglob("*")):
            if file.is_file() and not file.name.endswith("-shm"):
                digest.update(file.name.encode() + file.read_bytes())
        return digest.hexdigest()


@pytest.fixture
def home(tmp_path: Path, ledger: Ledger, clock: FakeClock, scene: Any) -> Home:
    return Home(tmp_path, ledger, clock, scene)


def test_a_sound_home_is_silent_and_untouched(home: Home) -> None:
    before = home.bytes()
    assert home.check() == []
    assert home.bytes() == before


def test_the_roots(home: Home) -> None:
    needed = home.ledger.read(lambda c: list(needed_blobs(c)))
    assert {root.digest for root in needed} == {home.log, home.leaf, home.graph, home.frame}
    assert {root.where for root in needed} == {"run 1", "a/x@v1"}
    live = home.ledger.read(lambda c: set(live_blobs(c)))
    assert live >= {home.log, home.leaf, home.graph, home.frame, home.ambient} and home.spare not in live


def flip(path: Path, place: int) -> None:
    raw = bytearray(path.read_bytes())
    raw[place] ^= 0xFF
    path.write_bytes(raw)


@pytest.mark.parametrize("how", ["missing", "truncated", "garbled", "empty"])
@pytest.mark.parametrize("which", ["log", "leaf", "graph", "frame"])
def test_damage_to_a_needed_blob(home: Home, which: str, how: str) -> None:
    digest = getattr(home, which)
    path = home.blobs.path(digest)
    if how == "missing":
        path.unlink()
    elif how == "truncated":
        path.write_bytes(path.read_bytes()[:-1])
    elif how == "garbled":
        flip(path, -1)
    else:
        path.write_bytes(b"")
    before = home.bytes()
    (finding,) = home.check()
    assert digest in finding.where and finding.what
    assert home.bytes() == before


def test_a_folder_of_blobs_that_cannot_be_read_is_a_finding(home: Home) -> None:
    (home.blobs.root / "zz").symlink_to("zz")
    (finding,) = home.check()
    assert finding.where == "blobs" and "zz cannot be read" in finding.what


def test_damage_to_a_blob_nobody_needs_is_still_damage(home: Home) -> None:
    flip(home.blobs.path(home.spare), -1)
    (finding,) = home.check()
    assert home.spare in finding.where
    home.blobs.path(home.spare).unlink()
    assert home.check() == []


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("UPDATE audit SET actor = 'eve' WHERE seq = 2", "not what was written"),
        ("DELETE FROM audit WHERE seq = 2", "follow"),
        ("UPDATE tags SET version_id = 'x'", "points to no version"),
        ("DELETE FROM versions", "points to no version"),
        ("DELETE FROM bundles", "no source"),
        ("UPDATE bundles SET body = x'00'", "not that of its name"),
        ("UPDATE locks SET body = (SELECT body FROM bundles)", "not that of its name"),
        ("UPDATE modules SET latest = 7", "newest version"),
        ("UPDATE attempts SET ended_at = NULL", "has not ended"),
        ("UPDATE attempts SET run = 'x'", "no run"),
        ("UPDATE runs SET ended_at = NULL", "disagree"),
        ("UPDATE runs SET state = 'running'", "disagree"),
        ("UPDATE memos SET run = 'x'", "no run"),
        ("DELETE FROM edge_sets", "edges are not there"),
        ("UPDATE datasets SET latest = 7", "latest version"),
        ("DELETE FROM label_sets", "labels are not there"),
        ("UPDATE runs SET outputs = 'nonsense'", "not JSON"),
        ("UPDATE memos SET parts = '{\"half\": '", "not JSON"),
    ],
)
def test_damage_to_the_ledger(home: Home, statement: str, what: str) -> None:
    home.sql(statement)
    findings = home.check()
    assert any(what in finding.what for finding in findings), findings
    assert all(finding.where for finding in findings)


@pytest.mark.parametrize("first", [0, 1, 2, 0.5])
def test_damage_to_the_ledgers_file(home: Home, clock: FakeClock, first: float) -> None:
    home.ledger.close()
    path = home.ledger.folder / FILE
    raw = bytearray(path.read_bytes())
    pages = len(raw) // 4096
    for page in range(int(first * pages) if first == 0.5 else int(first), pages, 3):
        raw[page * 4096 : page * 4096 + 64] = b"\xa5" * 64
    path.write_bytes(raw)
    flip(home.blobs.path(home.spare), -1)
    findings = check_folder(home.ledger.folder, clock, home.blobs)
    assert any(finding.where == "ledger.db" for finding in findings)
    assert any(home.spare in finding.where for finding in findings)
    assert path.read_bytes() == raw


def test_a_folder_without_a_ledger(tmp_path: Path, clock: FakeClock) -> None:
    with pytest.raises(NotFound):
        check_folder(tmp_path / "nowhere", clock, LocalBlobs(tmp_path))


def test_the_questions_know_every_final_state() -> None:
    asked = {state for sql, _ in fsck._REFERENCES if "state IN" in sql for state in FINAL if f"'{state}'" in sql}
    assert asked == FINAL


def test_fsck_beside_a_working_studio(home: Home, scene: Any, clock: FakeClock) -> None:
    with Ledger.open(home.ledger.folder, clock, writing=False) as beside:
        assert check(beside, home.blobs) == []
        scene.add_run()
        assert check(beside, home.blobs) == []
