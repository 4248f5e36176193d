"""Runs end once, whatever happens to what runs them."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import TypeVar

import pytest
from engine_rig import ADA, EngineRig, function, new_run

from mlstudio_lab.core.errors import BadInput, Conflict, NotFound, StorageFailed
from mlstudio_lab.engine.model import Caller
from mlstudio_lab.engine.retry import Loss, decide
from mlstudio_lab.ledger import audit, runs
from mlstudio_lab.ledger.connection import Connection
from mlstudio_lab.ledger.ledger import Ledger
from mlstudio_lab.testing import FakeExecutor
from mlstudio_lab.wire.task import Outcome

T = TypeVar("T")
SLEEP = "def f(tag):\n    import time\n    print('in', flush=True)\n    for _ in range(3000):\n        time.sleep(0.01)\n"


def start(rig: EngineRig, code: object, values: dict[str, object] | None = None, **more: object) -> dict[str, object]:
    return rig.do(rig.engine.submit(rig.request(code, values, wait_s=0.0, **more), ADA))  # type: ignore[arg-type,no-any-return]


def test_the_same_request_twice_is_one_run(real: EngineRig) -> None:
    request = real.request(function("def f(x):\n    return x\n", "x"), {"x": 1}, name="runs/once")
    first = real.do(real.engine.submit(dict(request), ADA))
    again = real.do(real.engine.submit(dict(request), ADA))
    assert (first["number"], first["state"]) == (again["number"], again["state"])


def test_a_request_sent_again_while_files_are_looked_at_is_one_run(real: EngineRig) -> None:
    source = "def f(path):\n    with open(path) as file:\n        return file.read()\n"
    code, file = function(source, "path"), real.cwd / "looked-at.txt"
    file.write_text("one")
    real.ask(code, {"path": str(file)}, name="runs/twice")
    file.write_text("two!")
    request = real.request(code, {"path": str(file)}, name="runs/twice")

    async def both() -> list[dict[str, object]]:
        return await asyncio.gather(*(real.engine.submit(dict(request), ADA) for _ in range(2)))

    views = real.do(both())
    assert views[0]["number"] == views[1]["number"]
    assert real.until(str(request["run"]), "succeeded")["number"] == views[0]["number"]


def test_two_at_once_compute_once(real: EngineRig) -> None:
    code = function("def f(x):\n    import time\n    time.sleep(0.3)\n    return x\n", "x")

    async def both() -> list[dict[str, object]]:
        one, two = (real.request(code, {"x": 77}, name="runs/both") for _ in range(2))
        return await asyncio.gather(real.engine.submit(one, ADA), real.engine.submit(two, ADA))

    views = real.do(both())
    assert sorted(v["reused"] for v in views) == [False, True]
    assert {v["state"] for v in views} == {"succeeded"}
    executors = [real.ledger.read(lambda c, v=v: runs.attempts_of(c, v["id"])) for v in views]
    assert all(a.ended_at for each in executors for a in each)


def test_cancel_stops_work_at_once(real: EngineRig) -> None:
    view = start(real, function(SLEEP, "tag"), {"tag": "cancel"}, name="runs/sleep")
    real.until(view["id"], "running")
    began = time.monotonic()
    real.do(real.engine.cancel(view["id"], ADA))
    assert real.until(view["id"], "cancelled", 4)["failure"] is None
    assert time.monotonic() - began < 3.2
    with pytest.raises(Conflict):
        done = real.ask(function("def f():\n    return 1\n"), name="runs/done")
        real.do(real.engine.cancel(done["id"], ADA))


def test_code_that_does_not_listen_is_forced(real: EngineRig) -> None:
    source = "def f():\n    import time\n    while True:\n        try:\n            time.sleep(60)\n        except BaseException:\n            pass\n"
    view = start(real, function(source), name="runs/deaf")
    real.until(view["id"], "running")
    began = time.monotonic()
    real.do(real.engine.cancel(view["id"], ADA))
    real.until(view["id"], "cancelled", 5)
    assert time.monotonic() - began < 3.5


def test_a_queued_run_is_cancelled_before_it_starts(fake: EngineRig) -> None:
    view = start(fake, function("def f():\n    return 1\n"))
    attempt = fake.executors["local"].seen[0]
    fake.do(fake.engine.cancel(view["id"], ADA))
    assert fake.executors["local"].cancelled == [(attempt, False)]
    fake.executors["local"].lose(attempt, "withdrawn before it started", infrastructure=True)
    fake.turn()
    assert fake.do(fake.engine.view(view["id"]))["state"] == "cancelled"


def test_time_up(real: EngineRig) -> None:
    view = real.ask(function(SLEEP, "tag"), {"tag": "timeout"}, name="runs/slow", timeout_s=0.4)
    assert view["state"] == "failed"
    assert "timeout" in view["failure"]["message"].lower() or "limit" in view["failure"]["message"]


def test_code_that_ends_its_worker_twice_fails(real: EngineRig) -> None:
    view = real.ask(function("def f():\n    import os\n    os._exit(3)\n"), name="runs/exits")
    assert view["state"] == "failed"
    assert "ended its worker twice" in view["failure"]["message"]
    assert "exit code 3" in view["failure"]["message"]
    attempts = real.ledger.read(lambda c: runs.attempts_of(c, view["id"]))
    assert [(a.fence, a.state) for a in attempts] == [(1, "lost"), (2, "lost")]
    assert real.ask(function("def f():\n    return 1\n"), name="runs/next")["state"] == "succeeded"


def test_a_killed_worker_is_nobodys_fault(real: EngineRig) -> None:
    code = function("def f():\n    import time\n    time.sleep(1.0)\n    return 41 + 1\n")
    view = start(real, code, name="runs/killed")
    real.until(view["id"], "running")
    member = next(m for m in real.executors["local"].status()["members"] if m["run"] == view["id"])
    os.kill(member["pid"], signal.SIGKILL)
    done = real.until(view["id"], "succeeded")
    assert real.result(done) == 42
    attempts = real.ledger.read(lambda c: runs.attempts_of(c, view["id"]))
    assert [(a.fence, a.state) for a in attempts] == [(1, "lost"), (2, "succeeded")]


def test_what_it_says_streams(real: EngineRig) -> None:
    view = start(real, function("def f():\n    for i in range(3):\n        print('line', i, flush=True)\n"), name="runs/says")

    async def read() -> list[dict[str, object]]:
        return [event async for event in real.engine.stream(view["id"])]

    said = real.do(read())
    assert "".join(e["text"] for e in said if e["t"] == "stdout") == "line 0\nline 1\nline 2\n"
    assert [e["n"] for e in said] == sorted(e["n"] for e in said)
    assert said[-1]["t"] == "state" and said[-1]["state"] == "succeeded"


def test_bad_requests_start_nothing(real: EngineRig) -> None:
    code = function("def f(window):\n    return window\n", "window")
    real.ask(code, {"window": 1}, name="runs/known")

    def ask(**more: object) -> None:
        real.do(real.engine.submit({"run": new_run(), "module": "runs/known", "parameters": {"window": 1}, **more}, ADA))

    for more, kind, said in (
        ({"module": "runs/knwon"}, NotFound, "runs/known"),
        ({"module": "../../x"}, ValueError, "namespace/name"),
        ({"module": "runs/known@v9"}, NotFound, "no version"),
        ({"parameters": {"windw": 1}}, BadInput, "window"),
        ({"parameters": {}}, BadInput, "not given"),
        ({"datasets": {"window": "no/such"}, "parameters": {}}, NotFound, "no dataset"),
        ({"cpus": 10_000, "reuse": False}, BadInput, "--cpus"),
        ({"memory_bytes": 1 << 60, "reuse": False}, BadInput, "--memory"),
        ({"timeout_s": -1, "reuse": False}, BadInput, "--timeout"),
        ({"where": "moon", "reuse": False}, BadInput, "choose"),
        ({"run": "../../etc/passwd"}, BadInput, "ULID"),
    ):
        with pytest.raises(kind) as caught:  # type: ignore[arg-type]
            ask(**more)
        assert said in str(caught.value), str(caught.value)


def test_the_kernel_runs_it_and_reports(fake: EngineRig) -> None:
    code = function("def f():\n    return 1\n")
    view = start(fake, code, where="kernel", name="runs/kernel")
    assert (view["needs"], view["state"], view["executor"]) == (["kernel"], "running", "kernel")
    stale = Outcome(view["attempt"], 99, view["id"], "succeeded")
    with pytest.raises(Conflict):
        fake.do(fake.engine.take_outcome(view["id"], stale, ADA))
    outcome = Outcome(view["attempt"], view["fence"], view["id"], "succeeded", outputs={"graph": "x", "values": {}})
    done = fake.do(fake.engine.take_outcome(view["id"], outcome, ADA))
    assert (done["state"], done["executor"]) == ("succeeded", "kernel")
    with pytest.raises(Conflict):
        fake.do(fake.engine.take_outcome(view["id"], outcome, ADA))


def test_what_no_worker_can_run_goes_back_to_the_kernel(fake: EngineRig) -> None:
    view = start(fake, function("def f():\n    return 1\n"), name="runs/refused")
    fake.executors["local"].finish(fake.executors["local"].seen[0], "refused", failure={"type": "X", "message": "cannot"})
    fake.turn()
    again = fake.do(fake.engine.view(view["id"]))
    assert (again["needs"], again["executor"], again["fence"]) == (["kernel"], "kernel", 2)


def test_a_dead_kernel_fails_its_run(fake: EngineRig) -> None:
    import subprocess
    import sys

    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    request = fake.request(function("def f():\n    return 1\n"), where="kernel", wait_s=0.0)
    view = fake.do(fake.engine.submit(request, Caller("ada", dead.pid, 1)))
    assert fake.until(view["id"], "failed", 5)["failure"]["message"] == "the kernel died"


def test_an_older_attempt_is_not_heard(fake: EngineRig) -> None:
    view = start(fake, function("def f():\n    return 1\n"))
    local = fake.executors["local"]
    late = local.leave_outcome(local.seen[0])
    listener = local._listeners[local.seen[0]][1]
    (fake.home / "outcomes" / f"{late.attempt}-1.json").unlink()
    local.lose(local.seen[0])
    fake.turn()
    assert len(local.seen) == 2
    listener(late)
    fake.turn()
    assert fake.do(fake.engine.view(view["id"]))["state"] == "queued"
    local.finish(local.seen[1])
    fake.turn()
    done = fake.do(fake.engine.view(view["id"]))
    assert (done["state"], done["outputs"]["graph"]) == ("succeeded", local.seen[1])
    assert fake.ledger.read(audit.verify) is None


def test_a_loss_with_an_outcome_on_disk_is_no_loss(fake: EngineRig) -> None:
    view = start(fake, function("def f():\n    return 1\n"))
    local = fake.executors["local"]
    local.leave_outcome(local.seen[0])
    local.lose(local.seen[0])
    fake.turn()
    assert fake.do(fake.engine.view(view["id"]))["state"] == "succeeded"
    assert list((fake.home / "outcomes").iterdir()) == []


def test_retry_decisions() -> None:
    worker, cluster = Loss("its worker was killed by signal 9 (SIGKILL)"), Loss("the Ray head died", True)
    assert decide([worker]) is None
    assert decide([cluster, worker]) is None
    assert "memory" in decide([worker, worker]).hint  # type: ignore[union-attr]
    assert decide([cluster, cluster]) is None
    assert decide([cluster] * 3) is not None


class _FullDisk(Ledger):
    """A ledger whose disk is full while `is_full` is set."""

    is_full = False

    def write(self, fn: Callable[[Connection], T]) -> Future[T]:
        if not self.is_full:
            return super().write(fn)
        refused: Future[T] = Future()
        refused.set_exception(StorageFailed("the disk is full", str(self.path), "free some space"))
        return refused


def test_a_lost_attempt_is_tried_again_once_the_disk_has_room(tmp_path: Path) -> None:
    rig = EngineRig(tmp_path / "home", lambda home: {"local": FakeExecutor(home)}, _FullDisk)
    try:
        view = start(rig, function("def f():\n    return 1\n"))
        local = rig.executors["local"]
        rig.ledger.is_full = True
        local.lose(local.seen[0])
        rig.turn()
        assert len(local.seen) == 1, "nothing runs that is not written down"
        rig.ledger.is_full = False
        deadline = time.monotonic() + 20
        while len(local.seen) < 2 and time.monotonic() < deadline:
            rig.do(rig.engine.view(str(view["id"]), 0.05))
        local.finish(local.seen[1])
        rig.until(str(view["id"]), "succeeded")
        assert [a.fence for a in rig.ledger.read(lambda c: runs.attempts_of(c, str(view["id"])))] == [1, 2]
    finally:
        rig.close()
