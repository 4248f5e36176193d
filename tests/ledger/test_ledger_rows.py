"""What is written down is what is read back; names point where they say; every shared act leaves an audit row."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from mlstudio_lab.core.edges import Edge
from mlstudio_lab.core.errors import BadInput, BadName, Conflict, NotFound
from mlstudio_lab.ledger import audit, datasets, edges, events, labels, memos, modules, runs, tags
from mlstudio_lab.ledger.connection import Connection, from_micros, to_micros
from mlstudio_lab.ledger.ledger import Ledger
from mlstudio_lab.testing import FakeClock, sample_bundle

Do = Callable[[Callable[[Connection], Any]], Any]


def actions(read: Do) -> list[str]:
    return [row.action for row in read(lambda c: audit.since(c, 0))]


def test_moments_round_trip_to_the_microsecond() -> None:
    at = datetime(2026, 11, 21, 19, 3, 56, 123457, tzinfo=UTC)
    assert from_micros(to_micros(at)) == at
    with pytest.raises(ValueError, match="time zone"):
        to_micros(datetime(2026, 1, 1))


class TestModules:
    def put(self, c: Connection, clock: FakeClock, source: str, name: str = "flights/delay", kind: str = "cell", actor: str = "ada"):
        return modules.put_version(c, name=name, bundle=sample_bundle(source, kind), code_digest="c" * 64, actor=actor, at=clock.now())

    def test_the_same_bundle_is_the_same_version(self, write: Do, read: Do, clock: FakeClock) -> None:
        first, new = write(lambda c: self.put(c, clock, "y = 1"))
        second, _ = write(lambda c: self.put(c, clock, "y = 2"))
        clock.forward(60)
        again, new_again = write(lambda c: self.put(c, clock, "y = 1", actor="bob"))
        assert (first.number, second.number, new, new_again) == (1, 2, True, False)
        assert again == first, "neither its author nor its time change"
        assert actions(read) == ["version.add", "version.add"]

    def test_read_back_by_id_number_and_prefix(self, write: Do, read: Do, clock: FakeClock) -> None:
        row, _ = write(lambda c: self.put(c, clock, "y = x + 1"))
        assert row.bundle == sample_bundle("y = x + 1")
        for how in ({"id": row.id}, {"number": 1}, {"prefix": row.id[:12]}):
            assert read(lambda c, how=how: modules.get_version(c, "flights/delay", **how)) == row
        for how in ({"id": "0" * 64}, {"number": 2}, {"prefix": "0" * 12}):
            assert read(lambda c, how=how: modules.get_version(c, "flights/delay", **how)) is None
        assert read(lambda c: modules.get_version(c, "flights/other", number=1)) is None
        with pytest.raises(BadInput):
            read(lambda c: modules.get_version(c, "flights/delay"))

    def test_an_ambiguous_prefix_is_refused(self, write: Do, read: Do, clock: FakeClock) -> None:
        for source in ("y = 1", "y = 2"):
            write(lambda c, s=source: self.put(c, clock, s))
        write(lambda c: c.raw.execute("UPDATE versions SET id = 'abcdefabcdef' || number").rowcount)
        write(lambda c: c.raw.execute("UPDATE bundles SET id = 'abcdefabcdef' || seq").rowcount)
        with pytest.raises(BadInput, match="several"):
            read(lambda c: modules.get_version(c, "flights/delay", prefix="abcdefabcdef"))

    def test_a_module_keeps_its_kind(self, write: Do, clock: FakeClock) -> None:
        write(lambda c: self.put(c, clock, "y = 1"))
        with pytest.raises(Conflict, match="cell module"):
            write(lambda c: self.put(c, clock, "def main(): ...", kind="function"))

    def test_a_malformed_name_is_refused(self, write: Do, clock: FakeClock) -> None:
        with pytest.raises(BadName):
            write(lambda c: self.put(c, clock, "y = 1", name="../../x"))

    def test_two_names_may_share_a_bundle(self, write: Do, read: Do, clock: FakeClock) -> None:
        a, _ = write(lambda c: self.put(c, clock, "y = 1", name="a/x"))
        b, new = write(lambda c: self.put(c, clock, "y = 1", name="b/x"))
        assert a.id == b.id and new and (a.name, b.name) == ("a/x", "b/x")
        assert read(lambda c: modules.get_version(c, "b/x", id=a.id)).name == "b/x"

    def test_listing(self, write: Do, read: Do, clock: FakeClock, scene: Any) -> None:
        for name in ("flights/eta", "flights-2/x", "shop/basket"):
            write(lambda c, n=name: self.put(c, clock, "y = 2", name=n))
        run = scene.add_run()
        write(lambda c: modules.move_tag(c, "flights/delay", "latest", "", scene.version.id, None, "ada", clock.now()))
        write(lambda c: modules.move_tag(c, "flights/delay", "dev", "bob", scene.version.id, None, "bob", clock.now()))
        rows = read(modules.list_modules)
        assert [row.name for row in rows] == ["flights-2/x", "flights/delay", "flights/eta", "shop/basket"]
        assert [row.name for row in read(lambda c: modules.list_modules(c, "flights"))] == ["flights/delay", "flights/eta"]
        assert [row.name for row in read(lambda c: modules.list_modules(c, match="ask"))] == ["shop/basket"]
        assert [row.name for row in read(lambda c: modules.list_modules(c, after="flights/delay", limit=1))] == ["flights/eta"]
        delay = rows[1]
        assert (delay.tags, delay.dev, delay.latest) == ({"latest": 1}, {"bob": 1}, 1)
        assert delay.last_run is not None and delay.last_run["id"] == run and rows[0].last_run is None
        assert read(modules.module_names) == [row.name for row in rows]

    def test_versions_are_paged_newest_first(self, read: Do, scene: Any) -> None:
        for n in range(4):
            scene.add_version(f"y = {n}")
        rows = read(lambda c: modules.list_versions(c, "flights/delay", limit=3))
        assert [row.number for row in rows] == [5, 4, 3] and all(row.bundle is None for row in rows)
        assert [row.number for row in read(lambda c: modules.list_versions(c, "flights/delay", below=3))] == [2, 1]


class TestTags:
    def test_compare_and_set(self, write: Do, read: Do, scene: Any, clock: FakeClock) -> None:
        one, two = scene.version, scene.add_version("y = 2")

        def move(to: str, expect: Any, owner: str = "") -> Any:
            return write(lambda c: tags.move_tag(c, "flights/delay", "latest", owner, to, expect, "ada", clock.now()))

        assert move(one.id, None).number == 1
        with pytest.raises(Conflict, match="v1"):
            move(two.id, None)
        with pytest.raises(Conflict):
            move(two.id, two.id)
        assert move(two.id, one.id).number == 2
        assert move(one.id, tags.ANY).number == 1
        assert move(two.id, None, owner="bob").owner == "bob"
        assert [(row.owner, row.number) for row in read(lambda c: tags.list_tags(c, "flights/delay"))] == [("", 1), ("bob", 2)]
        assert read(lambda c: tags.get_tag(c, "flights/delay", "latest", "eve")) is None
        assert actions(read).count("tag.move") == 4

    def test_moving_to_where_it_is_leaves_no_trace(self, write: Do, read: Do, scene: Any, clock: FakeClock) -> None:
        for _ in range(3):
            write(lambda c: tags.move_tag(c, "flights/delay", "dev", "ada", scene.version.id, tags.ANY, "ada", clock.now()))
        assert actions(read).count("tag.move") == 1

    def test_a_version_that_is_not_there(self, write: Do, scene: Any, clock: FakeClock) -> None:
        with pytest.raises(NotFound):
            write(lambda c: tags.move_tag(c, "flights/delay", "latest", "", "0" * 64, None, "ada", clock.now()))

    def test_removing(self, write: Do, read: Do, scene: Any, clock: FakeClock) -> None:
        write(lambda c: tags.move_tag(c, "flights/delay", "latest", "", scene.version.id, None, "ada", clock.now()))
        with pytest.raises(Conflict):
            write(lambda c: tags.remove_tag(c, "flights/delay", "latest", "", None, "ada", clock.now()))
        assert write(lambda c: tags.remove_tag(c, "flights/delay", "latest", "", scene.version.id, "ada", clock.now())) is True
        assert write(lambda c: tags.remove_tag(c, "flights/delay", "latest", "", tags.ANY, "ada", clock.now())) is False
        assert read(lambda c: tags.get_tag(c, "flights/delay", "latest")) is None


class TestRuns:
    def test_everything_given_is_read_back(self, read: Do, scene: Any, clock: FakeClock) -> None:
        given = {
            "where": "ray", "why": "ran: new", "memo_key": "k" * 64, "cloned_from": "0" * 26, "zone": "z", "request": {"values": {"é": [1, None]}},
            "warnings": [{"column": "a"}], "executor": "local",
        }  # fmt: skip
        run = read(lambda c: runs.get_run(c, scene.add_run(**given)))
        assert {name: getattr(run, name) for name in given} == given
        assert (run.number, run.state, run.created_at, run.impurities, run.error) == (1, "queued", clock.now(), [], None)
        assert read(lambda c: runs.get_run(c, 1)) == read(lambda c: runs.get_run(c, "1")) == run
        for nothing in ("2", 2, "9" * 40, "nosuch", "0" * 26):
            assert read(lambda c, n=nothing: runs.get_run(c, n)) is None

    def test_its_life(self, write: Do, read: Do, scene: Any, clock: FakeClock) -> None:
        run = scene.add_run()
        clock.forward(1)
        started = clock.now()
        assert write(lambda c: runs.update_run(c, run, event="start", at=clock.now(), executor="local")) == "running"
        clock.forward(1)
        assert write(lambda c: runs.update_run(c, run, event="succeed", at=clock.now(), outputs={}, usage={"wall_s": 1.0})) == "succeeded"
        row = read(lambda c: runs.get_run(c, run))
        assert (row.started_at, row.ended_at, row.executor, row.outputs, row.usage) == (started, clock.now(), "local", {}, {"wall_s": 1.0})
        with pytest.raises(Conflict):
            write(lambda c: runs.update_run(c, run, event="fail", at=clock.now()))
        assert write(lambda c: runs.update_run(c, run, at=clock.now(), why="later words")) == "succeeded"
        assert actions(read)[-2:] == ["run.submit", "run.succeed"]

    def test_a_cancel_names_who(self, write: Do, read: Do, scene: Any, clock: FakeClock) -> None:
        run = scene.add_run()
        write(lambda c: runs.update_run(c, run, event="cancel", at=clock.now(), actor="bob"))
        (row, *_) = read(lambda c: audit.list_audit(c, subject=run))
        assert (row.actor, row.action) == ("bob", "run.cancel")

    def test_refusals(self, write: Do, scene: Any, clock: FakeClock) -> None:
        run = scene.add_run()
        with pytest.raises(NotFound):
            write(lambda c: runs.update_run(c, "0" * 26, at=clock.now(), why="x"))
        with pytest.raises(BadInput):
            write(lambda c: runs.update_run(c, run, at=clock.now(), **{"st" + "ate": "succeeded"}))
        with pytest.raises(Conflict, match="already"):
            write(lambda c: runs.insert_run(c, id=run, module="a/b", actor="ada", created_at=clock.now()))

    def test_a_reused_run_is_final_at_once(self, read: Do, scene: Any, clock: FakeClock) -> None:
        first = scene.add_run()
        run = read(lambda c: runs.get_run(c, scene.add_run(state="succeeded", reused_from=first)))
        assert (run.state, run.ended_at, run.reused_from) == ("succeeded", clock.now(), first)
        assert actions(read)[-1] == "run.reuse"

    def test_lists(self, write: Do, read: Do, scene: Any, clock: FakeClock) -> None:
        ids = [scene.add_run(actor="ada" if n % 2 else "bob", module="a/b" if n % 3 else "flights/delay") for n in range(12)]
        for n, event in ((2, "succeed"), (3, "fail"), (4, "cancel"), (5, "start"), (6, "succeed")):
            write(lambda c, n=n, e=event: runs.update_run(c, ids[n], event=e, at=clock.now()))

        def numbers(**filters: Any) -> list[int]:
            return [row.number for row in read(lambda c: runs.list_runs(c, **filters))]

        assert numbers() == list(range(12, 0, -1))
        assert numbers(limit=3, before=6) == [5, 4, 3]
        assert numbers(state="succeeded") == [7, 3]
        assert numbers(state=("succeeded", "failed", "cancelled")) == [7, 5, 4, 3]
        assert numbers(state=("succeeded", "failed"), limit=2) == [7, 4]
        assert numbers(state=("queued", "running"), actor="ada", before=9) == [8, 6, 2]
        assert numbers(module="flights/delay") == [10, 7, 4, 1]
        assert numbers(state=()) == [] and numbers(limit=0) == []
        assert read(runs.count_open) == {"queued": 7, "running": 1}
        with pytest.raises(BadInput):
            numbers(limit=-1)

    def test_a_narrow_list_leaves_documents_out(self, read: Do, scene: Any) -> None:
        scene.add_run(request={"a": 1})
        assert read(lambda c: runs.list_runs(c, wide=False))[0].request is None
        assert read(lambda c: runs.list_runs(c))[0].request == {"a": 1}


class TestAttempts:
    def test_their_life(self, write: Do, read: Do, scene: Any, clock: FakeClock) -> None:
        run = scene.add_run()
        write(lambda c: runs.insert_attempt(c, id="a1", run=run, fence=1, executor="local", queued_at=clock.now()))
        write(lambda c: runs.start_attempt(c, "a1", worker="w1", at=clock.now()))
        assert [row.state for row in read(runs.open_attempts)] == ["running"]
        assert write(lambda c: runs.end_attempt(c, "a1", state="lost", at=clock.now(), cpu_s=0.5, peak_bytes=7, moving_s=1.0)) is True
        assert write(lambda c: runs.end_attempt(c, "a1", state="succeeded", at=clock.now())) is False
        write(lambda c: runs.insert_attempt(c, id="a2", run=run, fence=2, executor="ray", queued_at=clock.now()))
        rows = read(lambda c: runs.attempts_of(c, run))
        assert [(row.id, row.state, row.cpu_s, row.peak_bytes) for row in rows] == [("a1", "lost", 0.5, 7), ("a2", "queued", 0.0, 0)]
        assert read(lambda c: runs.newest_fence(c, run)) == 2 and read(lambda c: runs.newest_fence(c, "x")) == 0
        assert [row.id for row in read(runs.open_attempts)] == ["a2"]

    def test_only_a_newer_fence_may_follow(self, write: Do, scene: Any, clock: FakeClock) -> None:
        run = scene.add_run()
        write(lambda c: runs.insert_attempt(c, id="a1", run=run, fence=3, executor="local", queued_at=clock.now()))
        for fence in (1, 3):
            with pytest.raises(Conflict):
                write(lambda c, f=fence: runs.insert_attempt(c, id="a9", run=run, fence=f, executor="local", queued_at=clock.now()))
        with pytest.raises(NotFound):
            write(lambda c: runs.end_attempt(c, "nosuch", state="lost", at=clock.now()))


class TestMemos:
    EDGES = (Edge("return", "a", "flights", "b", "direct", "IDENTITY"), Edge("return", "a", "flights", "c", "indirect", "FILTER"))

    def put(self, c: Connection, clock: FakeClock, run: str, key: str = "k", actor: str = "ada", **more: Any) -> None:
        given: dict[str, Any] = {
            "parts": {"code": "1"},
            "tree": {"main": "2"},
            "outputs": {"graph": "x"},
            "effects": {"files": {}},
            "edges": self.EDGES,
        }
        memos.put_memo(c, key=key, run_id=run, log_blob="b" * 64, zone="", actor=actor, at=clock.now(), **(given | more))

    def test_found_again(self, write: Do, read: Do, scene: Any, clock: FakeClock) -> None:
        run = scene.add_run()
        write(lambda c: self.put(c, clock, run))
        found = read(lambda c: memos.find_memo(c, "k"))
        assert (found.run_id, found.module, found.outputs, found.effects) == (run, "flights/delay", {"graph": "x"}, {"files": {}})
        assert found.parts is None and read(lambda c: memos.find_memo(c, "other")) is None
        assert read(lambda c: edges.get_set(c, found.edge_set)) == sorted(self.EDGES)
        assert read(lambda c: memos.get_memo(c, "k")).tree == {"main": "2"}

    def test_json_edges_are_the_same_edges(self, write: Do, read: Do, scene: Any, clock: FakeClock) -> None:
        run = scene.add_run()
        write(lambda c: self.put(c, clock, run))
        write(lambda c: self.put(c, clock, run, key="j", edges=[e.to_json() for e in reversed(self.EDGES)]))
        assert read(lambda c: memos.find_memo(c, "k")).edge_set == read(lambda c: memos.find_memo(c, "j")).edge_set

    def test_quarantined_until_remembered_anew(self, write: Do, read: Do, scene: Any, clock: FakeClock) -> None:
        run = scene.add_run()
        write(lambda c: self.put(c, clock, run))
        assert write(lambda c: memos.quarantine(c, "k", "damaged", actor="studio", at=clock.now())) is True
        assert write(lambda c: memos.quarantine(c, "k", "again", actor="studio", at=clock.now())) is False
        assert read(lambda c: memos.find_memo(c, "k")) is None
        assert read(lambda c: memos.get_memo(c, "k")).quarantined == "damaged"
        again = scene.add_run()
        write(lambda c: self.put(c, clock, again))
        assert read(lambda c: memos.find_memo(c, "k")).run_id == again

    def test_hits_and_the_last_of_a_module(self, write: Do, read: Do, scene: Any, clock: FakeClock) -> None:
        for key, actor in (("a", "ada"), ("b", "ada"), ("c", "bob")):
            clock.forward(1)
            run = scene.add_run(actor=actor)
            write(lambda c, k=key, r=run, a=actor: self.put(c, clock, r, k, a))
        write(lambda c: memos.record_hits(c, "a", at=clock.now(), times=2))
        assert (read(lambda c: memos.find_memo(c, "a")).hits, read(lambda c: memos.find_memo(c, "a")).last_hit_at) == (2, clock.now())
        last = read(lambda c: memos.last_for_module(c, "flights/delay", "ada"))
        assert (last.key, last.parts, last.tree) == ("b", {"code": "1"}, {"main": "2"})
        assert read(lambda c: memos.last_for_module(c, "flights/delay", "eve")) is None

    def test_a_memo_needs_its_run(self, write: Do, clock: FakeClock) -> None:
        with pytest.raises(NotFound):
            write(lambda c: self.put(c, clock, "0" * 26))


class TestDatasets:
    def put(self, c: Connection, clock: FakeClock, content: str, name: str = "flights/flights", **more: Any):
        given: dict[str, Any] = {"payload": {"graph": content}, "schema": {"a": "Int64", "b": "String"}, "rows": 3, "actor": "ada"}
        return datasets.put_dataset_version(c, name, content=content * 64, at=clock.now(), **(given | more))

    def test_the_same_content_is_the_same_version_and_becomes_the_latest(self, write: Do, read: Do, clock: FakeClock) -> None:
        first, new = write(lambda c: self.put(c, clock, "1"))
        second, _ = write(lambda c: self.put(c, clock, "2"))
        assert (first.number, second.number, new, second.latest) == (1, 2, True, True)
        back, new = write(lambda c: self.put(c, clock, "1"))
        assert (back.number, new, back.latest) == (1, False, True)
        assert read(lambda c: datasets.get_dataset(c, "flights/flights")).number == 1
        third, _ = write(lambda c: self.put(c, clock, "3"))
        assert third.number == 3
        assert [row.number for row in read(lambda c: datasets.versions(c, "flights/flights"))] == [3, 2, 1]
        assert [row.number for row in read(lambda c: datasets.versions(c, "flights/flights", below=3, limit=1))] == [2]
        assert actions(read) == ["dataset.add"] * 4

    def test_asked_for_in_every_way(self, write: Do, read: Do, clock: FakeClock) -> None:
        for content in "12":
            write(lambda c, x=content: self.put(c, clock, x))
        for version, number in ((None, 2), ("latest", 2), (1, 1), ("1", 1), ("v1", 1), ("1" * 64, 1), ("2" * 12, 2)):
            assert read(lambda c, v=version: datasets.get_dataset(c, "flights/flights", v)).number == number
        for version in (3, "v9", "9" * 64, "abc", "7" * 12):
            assert read(lambda c, v=version: datasets.get_dataset(c, "flights/flights", v)) is None
        assert read(lambda c: datasets.get_dataset(c, "flights/nosuch")) is None

    def test_everything_given_is_read_back(self, write: Do, read: Do, clock: FakeClock, scene: Any) -> None:
        run = scene.add_run()
        reference = {"uri": "s3://x", "snapshot": "7"}
        row, _ = write(lambda c: self.put(c, clock, "1", payload=None, reference=reference, schema=None, rows=None, made_by=run))
        assert (row.reference, row.payload, row.schema, row.rows, row.run, row.actor, row.at) == (
            reference,
            None,
            None,
            None,
            run,
            "ada",
            clock.now(),
        )
        stored, _ = write(lambda c: self.put(c, clock, "2", schema={"z": "Int8", "a": "String"}))
        assert list(stored.schema) == ["z", "a"], "the order of columns is kept"

    def test_refusals(self, write: Do, read: Do, clock: FakeClock) -> None:
        with pytest.raises(BadName):
            write(lambda c: self.put(c, clock, "1", name="x"))
        with pytest.raises(BadInput):
            write(lambda c: self.put(c, clock, "1", reference={"uri": "x"}))
        with pytest.raises(BadInput):
            write(lambda c: self.put(c, clock, ""))
        assert read(datasets.list_datasets) == [] and actions(read) == []

    def test_lists_and_names_by_content(self, write: Do, read: Do, clock: FakeClock) -> None:
        for name, content in (("a/x", "1"), ("b/y", "1"), ("b/z", "2"), ("a/x", "3")):
            write(lambda c, n=name, x=content: self.put(c, clock, x, name=n))
        assert [(row.name, row.number) for row in read(datasets.list_datasets)] == [("a/x", 2), ("b/y", 1), ("b/z", 1)]
        assert [row.name for row in read(lambda c: datasets.list_datasets(c, "b", match="z"))] == ["b/z"]
        assert read(datasets.dataset_names) == ["a/x", "b/y", "b/z"]
        named = read(lambda c: datasets.named_by_content(c, ["1" * 64, "2" * 64, "9" * 64]))
        assert named == {"1" * 64: [("a/x", 1), ("b/y", 1)], "2" * 64: [("b/z", 1)]}


class TestLabels:
    def test_asserted_and_propagated_stay_apart(self, write: Do, read: Do, clock: FakeClock) -> None:
        write(lambda c: labels.put_labels(c, "d1", "tail", {"s": "confidential"}, None, actor="ada", at=clock.now()))
        assert read(labels.any_asserted) is True
        write(lambda c: labels.put_labels(c, "d1", "tail", None, {"s": "internal"}))
        write(lambda c: labels.put_labels(c, "d1", "other", None, {"s": "public"}))
        got = read(lambda c: labels.labels_of(c, ["d1", "d2"]))
        assert got == {
            ("d1", "tail"): labels.LabelRow({"s": "confidential"}, {"s": "internal"}),
            ("d1", "other"): labels.LabelRow(None, {"s": "public"}),
        }
        assert actions(read) == ["label.assert"]

    def test_equal_sets_are_kept_once(self, write: Do, read: Do, clock: FakeClock) -> None:
        for n in range(50):
            write(
                lambda c, n=n: labels.put_label_set(
                    c, f"d{n}", {"b": labels.LabelRow(None, {"s": 1}), "a": labels.LabelRow(None, {"s": 2})}
                )
            )
        assert read(lambda c: c.raw.execute("SELECT count(*) FROM label_sets").fetchone()) == (1,)
        assert len(read(lambda c: labels.labels_of(c, [f"d{n}" for n in range(50)]))) == 100
        assert read(labels.any_asserted) is False

    def test_nobody_asserts_nothing(self, write: Do, clock: FakeClock) -> None:
        with pytest.raises(ValueError, match="actor"):
            write(lambda c: labels.put_labels(c, "d1", "x", {"s": 1}, None))

    def test_a_dataset_brings_its_own(self, write: Do, read: Do, clock: FakeClock) -> None:
        put = TestDatasets().put
        write(lambda c: put(c, clock, "1", labels={"a": {"s": "pii"}}))
        write(lambda c: put(c, clock, "1", labels={"a": {"s": "pii"}}))
        assert read(lambda c: labels.labels_of(c, ["1" * 64])) == {("1" * 64, "a"): labels.LabelRow({"s": "pii"}, None)}
        assert actions(read) == ["dataset.add", "label.assert"]


class TestAuditAndEvents:
    def test_the_chain_shows_every_change(self, ledger: Ledger, write: Do, read: Do, clock: FakeClock) -> None:
        for n in range(20):
            clock.forward(1)
            write(lambda c, n=n: audit.append(c, "ada", "test", f"s{n}", {"n": n}, clock.now()))
        assert read(audit.verify) is None
        for column, value in (
            ("actor", "eve"),
            ("action", "x"),
            ("subject", "x"),
            ("detail", '{"n":99}'),
            ("at", 1),
            ("prev", "0"),
            ("digest", "0"),
        ):
            before = read(lambda c, x=column: c.raw.execute(f"SELECT {x} FROM audit WHERE seq = 7").fetchone()[0])
            write(lambda c, x=column, v=value: c.raw.execute(f"UPDATE audit SET {x} = ? WHERE seq = 7", (v,)).rowcount)
            broken = read(audit.verify)
            assert broken is not None and broken.seq in (7, 8), column
            write(lambda c, x=column, v=before: c.raw.execute(f"UPDATE audit SET {x} = ? WHERE seq = 7", (v,)).rowcount)
            assert read(audit.verify) is None
        write(lambda c: c.raw.execute("DELETE FROM audit WHERE seq = 7").rowcount)
        broken = read(audit.verify)
        assert broken is not None and broken.seq == 8

    def test_the_first_links_are_golden(self, write: Do, read: Do, clock: FakeClock) -> None:
        write(lambda c: audit.append(c, "ada", "version.add", "flights/delay@v1", {"id": "x"}, clock.now()))
        write(lambda c: audit.append(c, "bob", "tag.move", "flights/delay@latest", {}, clock.now()))
        assert [row.digest for row in read(lambda c: audit.since(c, 0))] == [
            "acd8d9f1495f68c384f9124e6d577adcc549bb9af2e446d6419df0fe9364763e",
            "25be76fdd701d834b919dc3706a9f8173468e66db5742a52b34ce8d332dae689",
        ]

    def test_events_resume_after_a_cursor(self, write: Do, read: Do, clock: FakeClock) -> None:
        cursors = [write(lambda c, n=n: events.append(c, "run", f"r{n}", {"state": "x"}, clock.now())) for n in range(5)]
        assert cursors == sorted(cursors) and read(events.newest) == cursors[-1]
        assert [event.subject for event in read(lambda c: events.since(c, cursors[1], 2))] == ["r2", "r3"]
        assert read(lambda c: events.since(c, cursors[-1])) == []
