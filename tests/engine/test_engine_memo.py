"""A reused result equals what would have been computed, and the reason is said."""

from __future__ import annotations

from dataclasses import replace

import pytest
from engine_rig import EngineRig, function, new_run

from mlstudio_lab.core.interface import Port
from mlstudio_lab.core.lock import Lock
from mlstudio_lab.core.memo import MemoParts, explain
from mlstudio_lab.engine.model import Caller

ADD = "def f(x):\n    print('adding')\n    return x + 1\n"


def test_memo_key_is_golden() -> None:
    parts = MemoParts("c0de", {"x": "d1", "global:base": "d2"}, "10c", {"numpy options": "a"}, "", "user:ada", 7, {"HOME": None}, ("y",))
    assert parts.key == "87ea3500fad2f0fff1f5ea6ce981b62488f17adba7229ae5994fecb84987f7ed"
    assert MemoParts.from_json(parts.to_json()).key == parts.key


@pytest.mark.parametrize(
    "change",
    [{"code": "d"}, {"args": {"x": "2"}}, {"args": {"y": "1"}}, {"lock": "m"}, {"ambient": {"a": "b"}}, {"view": "v"}, {"zone": "z"},
     {"seed": 0}, {"env": {"A": None}}, {"env": {"A": "1"}}, {"outputs": ()}],
)  # fmt: skip
def test_every_part_enters_the_key(change: dict[str, object]) -> None:
    parts = MemoParts("c", {"x": "1"}, "l")
    changed = replace(parts, **change)
    assert changed.key != parts.key
    assert explain(parts, {}, changed, {}).startswith("ran: ")


def test_sentences() -> None:
    parts = MemoParts("c", {"x": "1"}, "l")
    tree = {"import np": "1", "clean": "2", "module helpers": "3", "main": "4"}
    assert explain(parts, tree, replace(parts, code="d"), tree | {"clean": "5"}, since="v3") == "ran: helper `clean` changed since v3"
    assert explain(parts, tree, replace(parts, code="d"), tree | {"main": "5"}) == "ran: its own code changed"
    assert explain(parts, tree, replace(parts, code="d"), tree | {"module helpers": "5"}) == "ran: local module `helpers` changed"
    assert explain(parts, {}, replace(parts, args={"global:base": "1"}), {}) == "ran: input `base` added, argument `x` removed"
    old, new = Lock("3.11.7", "l", (("polars", "2.0.0"),)), Lock("3.11.7", "l", (("polars", "2.1.0"),))
    assert explain(parts, {}, replace(parts, lock="m"), {}, locks=(old, new)) == "ran: polars 2.0.0 -> 2.1.0"
    assert (
        explain(parts, {}, replace(parts, ambient={"order of named arguments": "b,a"}), {}) == "ran: the order of named arguments changed"
    )
    assert explain(parts, {}, parts, {}) == ""


def test_first_time_then_reused_with_its_output(real: EngineRig) -> None:
    code = function(ADD, "x")
    first = real.ask(code, {"x": 1}, name="memo/basic")
    assert (first["state"], first["why"], first["reused"]) == ("succeeded", "ran: first time", False)
    again = real.ask(code, {"x": 1}, name="memo/basic")
    assert again["reused"] and again["reused_from"] == first["number"]
    assert again["why"] == f"reused: same code, same inputs (run {first['number']})"
    assert real.result(again) == real.result(first) == 2
    assert [e["text"] for e in again["log"] if e["t"] == "stdout"] == ["adding\n"]
    assert again["number"] > first["number"]
    other = real.ask(code, {"x": 2}, name="memo/basic")
    assert (other["why"], real.result(other)) == ("ran: argument `x` changed", 3)


def test_a_comment_reuses_and_is_a_new_version(real: EngineRig) -> None:
    real.ask(function(ADD, "x"), {"x": 5}, name="memo/comment")
    again = real.ask(function(ADD + "# more\n", "x"), {"x": 5}, name="memo/comment")
    assert again["reused"] and again["version_number"] == 2
    old = real.ask(function(ADD, "x"), {"x": 5}, name="memo/comment")
    assert (old["version_number"], old["dev_newer"]) == (1, 2)


def test_a_helper_says_which(real: EngineRig) -> None:
    source = "def f(x):\n    return clean(x)\n"
    real.ask(function(source, "x", helpers=(("clean", "def clean(x):\n    return x"),)), {"x": 5}, name="memo/helper")
    after = real.ask(function(source, "x", helpers=(("clean", "def clean(x):\n    return -x"),)), {"x": 5}, name="memo/helper")
    assert after["why"] == "ran: helper `clean` changed since v1"
    undone = real.ask(function(source, "x", helpers=(("clean", "def clean(x):\n    return x"),)), {"x": 5}, name="memo/helper")
    assert undone["reused"]


def test_a_file_that_changed_runs_again(real: EngineRig) -> None:
    file = real.cwd / "data.csv"
    file.write_text("1")
    code = function("def f():\n    return open('data.csv').read()\n")
    first = real.ask(code, name="memo/file")
    assert first["stored"], first["why"]
    assert real.ask(code, name="memo/file")["reused"]
    file.write_text("22")
    after = real.ask(code, name="memo/file")
    assert (after["why"], real.result(after)) == ("ran: file data.csv changed", "22")


def test_an_environment_variable_is_verified(real: EngineRig) -> None:
    from mlstudio_lab.core.memo import env_digest

    code = function("def f():\n    import os\n    return os.environ.get('COLOUR')\n")
    ambient = {"cwd": str(real.cwd), "env": {"COLOUR": "red"}}
    red = {"ambient": ambient, "env": {"COLOUR": env_digest("red")}}
    assert real.result(real.ask(code, name="memo/env", **red)) == "red"
    assert real.ask(code, name="memo/env", **red)["reused"]
    green = {"ambient": ambient | {"env": {"COLOUR": "green"}}, "env": {"COLOUR": env_digest("green")}}
    after = real.ask(code, name="memo/env", **green)
    assert (after["reused"], real.result(after), after["why"]) == (False, "green", "ran: environment variable COLOUR changed")


def test_impure_runs_are_not_stored_and_say_why(real: EngineRig) -> None:
    code = function("def f():\n    import time\n\n    return time.time()\n")
    first = real.ask(code, name="memo/clock")
    assert not first["stored"]
    assert first["why"].startswith("not stored: reads the clock") and first["why"].endswith("at line 4")
    assert not real.ask(code, name="memo/clock")["reused"]


def test_failures_are_not_reused(real: EngineRig) -> None:
    code = function("def f(x):\n    return 1 / x\n", "x")
    first = real.ask(code, {"x": 0}, name="memo/fails")
    assert (first["state"], first["failure"]["type"]) == ("failed", "builtins.ZeroDivisionError")
    assert not real.ask(code, {"x": 0}, name="memo/fails")["reused"]


def test_no_reuse_runs_and_says_so(real: EngineRig) -> None:
    code = function(ADD, "x")
    real.ask(code, {"x": 9}, name="memo/again")
    forced = real.ask(code, {"x": 9}, name="memo/again", reuse=False)
    assert (forced["reused"], forced["why"]) == (False, "ran: --no-reuse")


def test_nobody_gets_another_persons_result(real: EngineRig) -> None:
    code = function(ADD, "x")
    real.ask(code, {"x": 10}, name="memo/zones")
    assert not real.ask(code, {"x": 10}, name="memo/zones", caller=Caller("bob"))["reused"]


def test_a_value_without_a_digest_is_never_guessed(real: EngineRig) -> None:
    code = function(ADD, "x")
    request = real.request(code, {"x": 11}, name="memo/blind")
    request["values"]["x"]["digest"] = ""
    for _ in range(2):
        view = real.do(real.engine.submit({**request, "run": new_run()}, Caller("ada")))
        assert not view["reused"] and not view["stored"]
        assert "`x` has no digest" in view["why"]


def test_a_result_whose_bytes_are_gone_is_computed_again(real: EngineRig) -> None:
    code = function("def f(n):\n    import numpy as np\n    return np.zeros(n)\n", "n")
    first = real.ask(code, {"n": 100_000}, name="memo/gone")
    leaf = first["outputs"]["leaves"][0]["blob"]
    real.blobs.path(leaf).unlink()
    again = real.ask(code, {"n": 100_000}, name="memo/gone")
    assert (again["reused"], again["why"]) == (False, "ran: its stored result is damaged or gone")
    assert real.result(again).shape == (100_000,)


def test_a_result_whose_bytes_were_changed_is_computed_again(real: EngineRig) -> None:
    code = function("def f(n):\n    import numpy as np\n    return np.zeros(n)\n", "n")
    first = real.ask(code, {"n": 100_001}, name="memo/flipped")
    assert real.ask(code, {"n": 100_001}, name="memo/flipped")["reused"]
    path = real.blobs.path(first["outputs"]["leaves"][0]["blob"])
    damaged = bytearray(path.read_bytes())
    damaged[-1] ^= 1
    path.write_bytes(damaged)
    again = real.ask(code, {"n": 100_001}, name="memo/flipped")
    assert (again["reused"], again["why"]) == (False, "ran: its stored result is damaged or gone")
    assert not real.result(again).any()
    assert real.ask(code, {"n": 100_001}, name="memo/flipped")["reused"], "the put healed it"


def test_what_is_missing_is_asked_for(real: EngineRig) -> None:
    code = function(ADD, "x")
    request = real.request(code, {"x": 12}, name="memo/needs")
    bare = {k: v for k, v in request.items() if k not in ("bundle", "payload", "ambient")} | {"version": code.id}
    assert real.do(real.engine.submit(dict(bare), Caller("ada")))["needs"] == ["bundle"]
    more = {**bare, "bundle": request["bundle"]}
    assert real.do(real.engine.submit(dict(more), Caller("ada")))["needs"] == ["payload"]
    gone = {**request, "payload": {**request["payload"], "leaves": [{"codec": "numpy/1", "blob": "0" * 64}]}}
    assert real.do(real.engine.submit(gone, Caller("ada")))["needs"] == ["blob:" + "0" * 64]
    assert real.do(real.engine.submit(dict(request), Caller("ada")))["state"] == "succeeded"
    hit = real.do(real.engine.submit({**bare, "run": new_run()}, Caller("ada")))
    assert hit["reused"]


def test_the_command_line_finds_what_the_notebook_computed(real: EngineRig) -> None:
    code = function("def f(x, y=2):\n    return x * y\n", "x", Port("y", required=False, default="2"))
    real.ask(code, {"x": 21, "y": 2}, name="memo/cli")
    bare = {"run": new_run(), "module": "memo/cli", "parameters": {"x": 21}, "wait_s": 30.0}
    view = real.do(real.engine.submit(bare, Caller("ada")))
    assert view["reused"] and real.result(view) == 42
    view = real.do(real.engine.submit({**bare, "run": new_run(), "parameters": {"x": 4, "y": 5}}, Caller("ada")))
    assert (view["reused"], real.result(view)) == (False, 20)
