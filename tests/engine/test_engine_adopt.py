"""A restarted service takes up what the one before left."""

from __future__ import annotations

from engine_rig import ADA, EngineRig, function

from mlstudio_lab.ledger import runs


def begin(rig: EngineRig, name: str = "demo/f", **more: object) -> dict[str, object]:
    return rig.do(rig.engine.submit(rig.request(function("def f():\n    return 1\n"), name=name, wait_s=0.0, **more), ADA))  # type: ignore[no-any-return]


def test_a_durable_outcome_is_adopted(fake: EngineRig) -> None:
    view = begin(fake)
    fake.executors["local"].leave_outcome(fake.executors["local"].seen[0], log=[{"t": "stdout", "text": "hi"}])
    fake.restart()
    done = fake.do(fake.engine.view(view["id"]))
    assert (done["state"], done["stored"]) == ("succeeded", True)
    assert list((fake.home / "outcomes").iterdir()) == []
    assert fake.executors["local"].seen == [], "nothing ran again"
    assert begin(fake)["reused"], "its memo was stored with it"


def test_an_open_attempt_runs_again_under_a_new_fence(fake: EngineRig) -> None:
    view = begin(fake)
    fake.executors["local"].begin(fake.executors["local"].seen[0])
    fake.restart()
    fake.turn()
    local = fake.executors["local"]
    assert len(local.seen) == 1
    assert local.tasks[local.seen[0]].fence == 2
    assert local.tasks[local.seen[0]].bundle["entry"] == "f"
    local.finish(local.seen[0])
    fake.turn()
    assert fake.do(fake.engine.view(view["id"]))["state"] == "succeeded"
    attempts = fake.ledger.read(lambda c: runs.attempts_of(c, view["id"]))
    assert [(a.fence, a.state) for a in attempts] == [(1, "lost"), (2, "succeeded")]


def test_after_three_lost_attempts_it_fails(fake: EngineRig) -> None:
    view = begin(fake)
    for _ in range(3):
        fake.restart()
        fake.turn()
    done = fake.do(fake.engine.view(view["id"]))
    assert done["state"] == "failed"
    assert "3 attempts were lost" in done["failure"]["message"]


def test_outcomes_of_nobody_are_removed(fake: EngineRig) -> None:
    view = begin(fake)
    local = fake.executors["local"]
    local.leave_outcome(local.seen[0])
    old = fake.home / "outcomes" / f"{local.seen[0]}-1.json"
    kept = old.read_bytes()
    local.finish(local.seen[0])
    fake.turn()
    old.write_bytes(kept)
    (fake.home / "outcomes" / "notes.txt").write_text("not ours")
    fake.restart()
    assert [p.name for p in (fake.home / "outcomes").iterdir()] == ["notes.txt"]
    assert fake.do(fake.engine.view(view["id"]))["state"] == "succeeded"


def test_a_garbled_outcome_is_as_none(fake: EngineRig) -> None:
    view = begin(fake)
    attempt = fake.executors["local"].seen[0]
    (fake.home / "outcomes" / f"{attempt}-1.json").write_bytes(b'{"protocol": 1, "attempt"')
    fake.restart()
    fake.turn()
    fake.executors["local"].finish(fake.executors["local"].seen[0])
    fake.turn()
    assert fake.do(fake.engine.view(view["id"]))["state"] == "succeeded"


def test_a_living_kernel_may_still_report(fake: EngineRig) -> None:
    from mlstudio_lab.wire.task import Outcome

    view = begin(fake, where="kernel")
    fake.do(_mark(fake))
    fake.restart()
    again = fake.do(fake.engine.view(view["id"]))
    assert (again["needs"], again["attempt"]) == (["kernel"], view["attempt"])
    outcome = Outcome(view["attempt"], 1, view["id"], "succeeded", outputs={"graph": "x", "values": {}})
    assert fake.do(fake.engine.take_outcome(view["id"], outcome, ADA))["state"] == "succeeded"


async def _mark(rig: EngineRig) -> None:
    import asyncio

    await asyncio.sleep(0.1)
    await asyncio.wrap_future(rig.ledger.write(lambda _c: None))


def test_a_run_that_cannot_be_taken_up_ends_and_keeps_no_environment(fake: EngineRig) -> None:
    view = begin(fake, ambient={"cwd": str(fake.cwd), "env": {"DB_PASSWORD": "s3cret"}})
    fake.ledger.write(lambda c: c.raw.execute("UPDATE runs SET version_id = 'gone' WHERE id = ?", (view["id"],)).rowcount).result()
    fake.restart()
    row = fake.ledger.read(lambda c: runs.get_run(c, view["id"]))
    assert row is not None and row.state == "failed"
    assert row.request is not None and row.request["ambient"] == {"cwd": str(fake.cwd)}
