"""Publishing, datasets, lineage, labels, clones: the verbs over a real engine with real workers."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "engine"))
from engine_rig import ADA, EngineRig, function, new_run

from mlstudio_lab.core.errors import BadInput, BadName, Conflict, NotFound
from mlstudio_lab.data.code_refs import NoCode
from mlstudio_lab.data.content import digest_values
from mlstudio_lab.data.graph import pack
from mlstudio_lab.engine.local import LocalPool
from mlstudio_lab.engine.model import Caller
from mlstudio_lab.studio import cluster, datasets, lineage, modules, runs
from mlstudio_lab.studio.context import Studio


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineRig]:
    made = EngineRig(tmp_path_factory.mktemp("home"), lambda home: {"local": LocalPool(home, 1)})
    yield made
    made.close()


@pytest.fixture
def studio(rig: EngineRig) -> Studio:
    return Studio(rig.engine, lambda: None)


def publish(rig: EngineRig, studio: Studio, name: str, code: Any, **more: Any) -> dict[str, Any]:
    found: dict[str, Any] = rig.do(modules.publish(studio, ADA, {"name": name, "bundle": code.to_json(), **more}))
    return found


def add(rig: EngineRig, studio: Studio, name: str, frame: Any, labels: dict[str, list[str]] | None = None) -> dict[str, Any]:
    value = digest_values({"value": frame}, NoCode())["value"]
    payload = pack({"value": frame}, rig.blobs, NoCode())
    payload.values = {"value": value}
    body = {"name": name, "payload": payload.to_json(), "labels": labels or {}}
    found: dict[str, Any] = rig.do(datasets.add(studio, ADA, body))
    return found


def call(rig: EngineRig, module: str, **more: Any) -> dict[str, Any]:
    found: dict[str, Any] = rig.do(rig.engine.submit({"run": new_run(), "module": module, "wait_s": 30, **more}, ADA))
    assert found["state"] == "succeeded", found["failure"]
    return found


ADD = function("def f(x):\n    return x + 1\n", "x")
ADD_MORE = function("def f(x):\n    return x + 2\n", "x")


def test_publish_counts_versions_and_moves_tags(rig: EngineRig, studio: Studio) -> None:
    first = publish(rig, studio, "pub/f", ADD)
    assert (first["ref"], first["new"], first["tags"]) == ("pub/f@v1", True, ["latestAlpha"])
    assert publish(rig, studio, "pub/f", ADD)["new"] is False
    second = publish(rig, studio, "pub/f", ADD_MORE)
    assert second["number"] == 2
    with pytest.raises(Conflict):
        publish(rig, studio, "pub/f", ADD, expect=first["id"])
    shown = modules.show(studio, ADA, "pub/f")
    assert [v["number"] for v in shown["versions"]] == [2, 1]
    assert shown["tags"] == {"latestAlpha": 2}
    assert modules.version(studio, ADA, "pub/f", "v1")["source"] == ADD.main.source
    assert modules.version(studio, ADA, "pub/f", "default")["number"] == 2
    assert modules.version(studio, ADA, "pub/f", first["id"][:12])["number"] == 1
    assert [m["name"] for m in modules.list_modules(studio, ADA, "pub/")["modules"]] == ["pub/f"]


def test_what_differs(rig: EngineRig, studio: Studio) -> None:
    publish(rig, studio, "dif/f", ADD)
    publish(rig, studio, "dif/f", ADD_MORE)
    found = modules.diff(studio, ADA, "dif/f", "v1", "v2")
    assert (found["same_code"], [u["change"] for u in found["units"]], found["lock"]) == (False, ["changed"], {})
    assert "-    return x + 1" in found["units"][0]["text"] and "+    return x + 2" in found["units"][0]["text"]
    assert modules.diff(studio, ADA, "dif/f", "v1", "v1")["units"] == []


def test_tags_move_by_compare_and_set(rig: EngineRig, studio: Studio) -> None:
    first = publish(rig, studio, "tag/f", ADD)
    second = publish(rig, studio, "tag/f", ADD_MORE)
    assert rig.do(modules.move_tag(studio, ADA, "tag/f", "latest", {"version": "v1", "expect": None}))["number"] == 1
    with pytest.raises(Conflict):
        rig.do(modules.move_tag(studio, ADA, "tag/f", "latest", {"version": "v2", "expect": second["id"]}))
    assert rig.do(modules.move_tag(studio, ADA, "tag/f", "latest", {"version": "v2", "expect": first["id"]}))["number"] == 2
    for tag in ("v3", "../x", "default", ""):
        with pytest.raises(BadName):
            rig.do(modules.move_tag(studio, ADA, "tag/f", tag, {"version": "v1"}))


def test_another_kind_is_refused(rig: EngineRig, studio: Studio) -> None:
    from mlstudio_lab.testing import sample_bundle

    publish(rig, studio, "kind/f", ADD)
    with pytest.raises(Conflict):
        publish(rig, studio, "kind/f", sample_bundle())
    request = rig.request(ADD, {"x": 1}, name="kind/f") | {"bundle": sample_bundle().to_json()}
    with pytest.raises(Conflict):
        rig.do(rig.engine.submit(request, ADA))


def test_a_wheel_is_the_same_every_time(rig: EngineRig, studio: Studio) -> None:
    publish(rig, studio, "wheel/f", ADD)
    name, data = modules.wheel(studio, ADA, "wheel/f", "v1")
    assert name.endswith(".whl") and modules.wheel(studio, ADA, "wheel/f", "latestAlpha") == (name, data)


def test_labels_arrive_over_edges_and_are_told_once(rig: EngineRig, studio: Studio) -> None:
    import polars as pl

    people = pl.DataFrame({"name": ["a", "b"], "town": ["x", "y"], "age": [1, 2]})
    view = add(rig, studio, "lab/people", people, {"name": ["confidential", "pii.name"], "town": ["public"], "age": ["internal"]})
    assert view["labels"]["name"]["asserted"] == {"sensitivity": "confidential", "tags": ["pii.name"]}
    code = function("def f(people):\n    return people.select(who='name', where='town')\n", "people")
    publish(rig, studio, "lab/pick", code)
    first = call(rig, "lab/pick", datasets={"people": "lab/people"})
    assert [(w["column"], w["label"], w["from"]) for w in first["warnings"]] == [("who", "confidential, pii.name", "lab/people.name")]
    edges = lineage.of_run(studio, first["id"])
    assert {(e["output_column"], e["input"], e["input_column"]) for e in edges["edges"] if e["kind"] == "direct"} == {
        ("who", "lab/people", "name"),
        ("where", "lab/people", "town"),
    }
    assert edges["labels"]["return.who"]["propagated"]["tags"] == ["pii.name"]
    again = call(rig, "lab/pick", datasets={"people": "lab/people"}, reuse=False)
    assert again["warnings"] == [], "only what is new"
    # The same content, met again as somebody's variable and kept under a name, has its labels and where it came from.
    from mlstudio_lab.data.graph import unpack
    from mlstudio_lab.wire.task import Payload

    frame = unpack(Payload.from_json(first["outputs"]), rig.blobs, NoCode()).values["return"]
    kept = add(rig, studio, "lab/kept", frame)
    assert kept["labels"]["who"] == {"asserted": None, "propagated": {"sensitivity": "confidential", "tags": ["pii.name"]}}
    assert kept["made_by"] in (first["number"], again["number"])
    up = lineage.of_dataset(studio, "lab/kept", column="who")
    assert [(e["output"], e["input"], e["input_column"]) for e in up["edges"]] == [("lab/kept", "lab/people", "name")]
    down = lineage.of_dataset(studio, "lab/people", column="name", direction="down")
    assert {e["output_column"] for e in down["edges"]} >= {"who"}
    hit = call(rig, "lab/pick", datasets={"people": "lab/people"})
    assert hit["reused"] and lineage.of_run(studio, hit["id"])["edges"], "a reused run has the edges of the run it came from"
    with pytest.raises(NotFound):
        lineage.of_run(studio, first["id"], column="whom")


def test_a_label_asserted_later_reaches_a_remembered_result(rig: EngineRig, studio: Studio) -> None:
    import polars as pl

    frame = pl.DataFrame({"k": [1, 2, 3]})
    add(rig, studio, "late/in", frame)
    publish(rig, studio, "late/f", function("def f(t):\n    return t.with_columns(m=t['k'] * 2)\n", "t"))
    assert call(rig, "late/f", datasets={"t": "late/in"})["warnings"] == []
    add(rig, studio, "late/in", frame, {"k": ["restricted"]})
    hit = call(rig, "late/f", datasets={"t": "late/in"})
    assert hit["reused"]
    assert {w["label"] for w in hit["warnings"]} == {"restricted"}


def test_first_rows_are_read_by_a_worker(rig: EngineRig, studio: Studio) -> None:
    import polars as pl

    add(rig, studio, "head/t", pl.DataFrame({"a": [1, None], "b": ["x" * 200, "y"]}))
    shown = rig.do(datasets.head(studio, "head/t", n=5))
    assert (shown["columns"], shown["total"], shown["rows"][1]) == (["a", "b"], 2, ["", "y"])
    assert len(shown["rows"][0][1]) == 80
    assert list((rig.home / "outcomes").iterdir()) == []
    with pytest.raises(BadInput):
        rig.do(datasets.head(studio, "head/t", n=0))
    rig.do(datasets.add(studio, ADA, {"name": "head/ref", "reference": {"uri": "s3://bucket/table"}}))
    with pytest.raises(BadInput):
        rig.do(datasets.head(studio, "head/ref"))


def test_bad_datasets(rig: EngineRig, studio: Studio) -> None:
    import polars as pl

    frame = pl.DataFrame({"tailnum": ["a"]})
    for labels, said in (({"tailnm": ["confidential"]}, "tailnum"), ({"tailnum": ["secret"]}, "")):
        with pytest.raises(BadInput) as caught:
            add(rig, studio, "bad/t", frame, labels)
        assert said in str(caught.value)
    with pytest.raises(NotFound):
        datasets.show(studio, "bad/t")
    with pytest.raises(BadInput):
        rig.do(datasets.add(studio, ADA, {"name": "bad/t", "payload": {"values": {"value": {"digest": "", "type": "int"}}}}))
    add(rig, studio, "bad/empty", pl.DataFrame({"a": []}))
    assert datasets.show(studio, "bad/empty")["rows"] == 0


def test_clone_carries_everything_and_changes_what_is_named(rig: EngineRig, studio: Studio) -> None:
    code = function("def f(x, y, base):\n    return [x, y, len(base)]\n", "x", "y", "base")
    first = rig.ask(code, {"x": 1, "y": 2, "base": list(range(10))}, name="clone/f")
    body = {"run": new_run(), "set": {"x": 5}, "wait_s": 30}
    clone = rig.do(runs.clone(studio, ADA, str(first["number"]), body))
    assert rig.result(clone) == [5, 2, 10], "the list cannot be edited, and is carried over"
    assert rig.do(rig.engine.view(clone["id"]))["cloned_from"] == first["number"]
    rerun = rig.do(runs.rerun(studio, ADA, clone["id"], {"run": new_run(), "wait_s": 30}))
    assert rerun["reused"] and rig.result(rerun) == [5, 2, 10]
    forced = rig.do(runs.rerun(studio, ADA, rerun["id"], {"run": new_run(), "wait_s": 30, "reuse": False}))
    assert not forced["reused"] and rig.result(forced) == [5, 2, 10]
    with pytest.raises(BadInput) as caught:
        rig.do(runs.clone(studio, ADA, first["id"], {"run": new_run(), "set": {"bsae": 1}}))
    assert "base" in str(caught.value)


def test_a_clone_of_a_reused_run_has_its_inputs(rig: EngineRig, studio: Studio) -> None:
    code = function("def f(x, y):\n    return x - y\n", "x", "y")
    rig.ask(code, {"x": 9, "y": 2}, name="clone/g")
    hit = rig.ask(code, {"x": 9, "y": 2}, name="clone/g")
    assert hit["reused"]
    clone = rig.do(runs.clone(studio, ADA, hit["id"], {"run": new_run(), "set": {"y": 3}, "wait_s": 30}))
    assert rig.result(clone) == 6


def test_a_clone_with_a_dataset(rig: EngineRig, studio: Studio) -> None:
    import polars as pl

    add(rig, studio, "clone/a", pl.DataFrame({"v": [1, 2]}))
    add(rig, studio, "clone/b", pl.DataFrame({"v": [5, 6]}))
    publish(rig, studio, "clone/sum", function("def f(t, times):\n    return int(t['v'].sum()) * times\n", "t", "times"))
    first = call(rig, "clone/sum", datasets={"t": "clone/a"}, parameters={"times": 2})
    assert rig.result(first) == 6
    clone = rig.do(runs.clone(studio, ADA, first["id"], {"run": new_run(), "input": {"t": "clone/b"}, "wait_s": 30}))
    assert rig.result(clone) == 22


def test_what_never_left_its_kernel_cannot_be_cloned_without_inputs(rig: EngineRig, studio: Studio) -> None:
    from mlstudio_lab.wire.task import Outcome

    request = rig.request(function("def f(c):\n    return 1\n", "c"), {"c": 1}, name="clone/kernel", where="kernel", wait_s=0)
    del request["payload"]
    view = rig.do(rig.engine.submit(request, ADA))
    rig.do(rig.engine.take_outcome(view["id"], Outcome(view["attempt"], 1, view["id"], "succeeded", outputs={"values": {}}), ADA))
    with pytest.raises(Conflict) as caught:
        rig.do(runs.clone(studio, ADA, view["id"], {"run": new_run()}))
    assert "--input c=" in str(caught.value)


def test_secrets_are_not_kept_with_a_run(rig: EngineRig, studio: Studio) -> None:
    view = rig.ask(ADD, {"x": 77}, name="sec/f", ambient={"cwd": str(rig.cwd), "env": {"TOKEN": "hunter2"}})
    row = studio.read(lambda c: rig.engine.row(c, view["id"]))
    assert "hunter2" not in str(row.request)


def test_cluster_and_lists(rig: EngineRig, studio: Studio) -> None:
    assert cluster.cluster(studio)["light"] == "green"
    assert cluster.open_runs(studio) == {"queued": 0, "running": 0}
    page = runs.list_runs(studio, state="succeeded,failed", limit=2)
    assert len(page["runs"]) == 2 and page["next_before"] == page["runs"][-1]["number"]
    assert runs.list_runs(studio, actor="nobody")["runs"] == []
    with pytest.raises(NotFound):
        runs.list_runs(studio, module="clone/ff")
    assert rig.do(modules.publish(studio, Caller("bob"), {"name": "who/f", "bundle": ADD.to_json()}))["created_by"] == "bob"


def test_a_label_is_not_forgotten_when_the_same_content_comes_another_way(rig: EngineRig, studio: Studio) -> None:
    import polars as pl

    add(rig, studio, "way/secret", pl.DataFrame({"s": [7, 7]}), {"s": ["restricted", "financial"]})
    add(rig, studio, "way/open", pl.DataFrame({"o": [7, 7, 8]}), {"o": ["public"]})
    publish(rig, studio, "way/one", function("def f(x):\n    return x.select(n='s')\n", "x"))
    publish(rig, studio, "way/two", function("def f(x):\n    return x.head(2).select(n='o')\n", "x"))
    first = call(rig, "way/one", datasets={"x": "way/secret"})
    second = call(rig, "way/two", datasets={"x": "way/open"})
    assert first["outputs"]["values"]["return"]["content"] == second["outputs"]["values"]["return"]["content"]
    label = lineage.of_run(studio, second["id"])["labels"]["return.n"]["propagated"]
    assert label == {"sensitivity": "restricted", "tags": ["financial"]}
