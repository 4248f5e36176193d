"""What every run owes wherever it happens: in a local worker, in a Ray actor, or in the person's own kernel."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mlstudio_lab.blobs.local import LocalBlobs
from mlstudio_lab.calling.in_kernel import KernelTask, execute_in_kernel
from mlstudio_lab.core.bundle import Bundle, Unit
from mlstudio_lab.core.interface import Interface
from mlstudio_lab.core.lock import Lock
from mlstudio_lab.data.code_refs import NoCode
from mlstudio_lab.data.graph import pack, unpack
from mlstudio_lab.wire.task import Outcome, Payload

Runs = Callable[..., Outcome]


@pytest.fixture(params=["local", pytest.param("ray", marks=pytest.mark.ray), "kernel"])
def runs(request: pytest.FixtureRequest, tmp_path: Path) -> Runs:
    """The outcome of a cell's text, run by each executor."""
    lock = Lock(platform.python_version(), f"{sys.platform}-{platform.machine()}", ())

    def bundle(source: str) -> Bundle:
        return Bundle("cell", "", (Unit("main", "main", source),), Interface(), lock)

    if request.param == "kernel":

        def here(source: str, **limits: Any) -> Outcome:
            captured = SimpleNamespace(bundle=bundle(source), inputs={}, origins={"main": ["cell.py", 1]}, code=NoCode(), env_reads={})
            task = KernelTask("0" * 26, "a1", 1, "tests/module", str(tmp_path), **limits)
            done = execute_in_kernel(captured, {}, task=task, blobs=LocalBlobs(tmp_path / "blobs"), emit=lambda event: None)
            return Outcome.load(done.outcome.dump())

        return here
    rig = request.getfixturevalue("local_rig" if request.param == "local" else "ray_agent_rig")
    rig.until(lambda: rig.executor.ready(), 90)

    def there(source: str, **limits: Any) -> Outcome:
        inputs = pack({"args": [], "kwargs": {}, "globals": {}}, LocalBlobs(rig.home / "blobs"), NoCode()).to_json()
        task = rig.task(bundle=bundle(source).to_json(), inputs=inputs, origins={"main": ["cell.py", 1]}, **limits)
        found: Outcome = rig.submit(task).outcome()
        return found

    return there


def bound(outcome: Outcome) -> dict[str, Any]:
    assert outcome.outputs is not None
    names: dict[str, Any] = unpack(Payload.from_json(outcome.outputs), LocalBlobs(Path("unused")), NoCode()).values["bound"]
    return names


def said(outcome: Outcome) -> list[tuple[str, str]]:
    """(stream, text) in order, neighbours of one stream joined."""
    parts: list[tuple[str, str]] = []
    for event in outcome.log:
        if event["t"] in ("stdout", "stderr"):
            if parts and parts[-1][0] == event["t"]:
                parts[-1] = (event["t"], parts[-1][1] + event["text"])
            else:
                parts.append((event["t"], event["text"]))
    return parts


def test_what_a_cell_binds_and_says_comes_back(runs: Runs) -> None:
    outcome = runs("import sys\nx = [1, 2]\ny = x\nprint('a')\nprint('b', file=sys.stderr)\nprint('c')")
    assert outcome.state == "succeeded"
    names = bound(outcome)
    assert names["x"] == [1, 2]
    assert names["y"] is names["x"], "shared objects stay shared"
    assert said(outcome) == [("stdout", "a\n"), ("stderr", "b\n"), ("stdout", "c\n")]
    assert outcome.impurities == []


def test_an_exception_has_its_type_and_the_person_s_line(runs: Runs) -> None:
    outcome = runs("x = 1\nraise KeyError('gone')")
    assert outcome.state == "failed"
    assert outcome.failure is not None
    assert outcome.failure["by"] == "code"
    assert outcome.failure["type"].endswith("KeyError")
    assert outcome.failure["frames"][-1][:2] == ["cell.py", 2]


def test_what_makes_a_result_not_reusable_is_said_with_its_line(runs: Runs) -> None:
    outcome = runs("import time\n\nat = time.time()")
    assert outcome.state == "succeeded"
    assert [(i["what"], i["line"]) for i in outcome.impurities] == [("clock", 3)]


def test_a_seed_makes_randomness_repeatable(runs: Runs) -> None:
    source = "import random\nx = random.random()"
    one, two = runs(source, seed=5), runs(source, seed=5)
    assert bound(one) == bound(two)
    assert one.impurities == two.impurities == []
    assert [i["what"] for i in runs(source).impurities] == ["random"]


def test_a_name_that_is_nowhere_is_told(runs: Runs) -> None:
    outcome = runs("y = nowhere_defined + 1")
    assert outcome.state == "failed"
    assert outcome.failure is not None
    assert "nowhere_defined" in outcome.failure["message"]


def test_the_time_limit_is_kept(runs: Runs) -> None:
    outcome = runs("import time\nwhile True: time.sleep(0.01)", timeout_s=0.3)
    assert outcome.state == "timed_out"


def test_usage_is_counted(runs: Runs) -> None:
    usage = runs("x = sum(range(1000))").usage
    assert usage["wall_s"] >= 0
    assert usage["peak_bytes"] > 0
