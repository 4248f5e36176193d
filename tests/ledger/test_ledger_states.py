"""Runs and tags against a model: whatever is tried in whatever order, the ledger and the model agree."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle as Pool
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from mlstudio_lab.blobs.local import LocalBlobs
from mlstudio_lab.core.errors import Conflict
from mlstudio_lab.core.ids import ulid
from mlstudio_lab.core.run import FINAL, advance
from mlstudio_lab.ledger import modules, runs, tags
from mlstudio_lab.ledger.fsck import check
from mlstudio_lab.ledger.ledger import Ledger
from mlstudio_lab.testing import FakeClock, sample_bundle

NAMES = ("flights/delay", "shop/basket")
TAGS = ("latest", "latestAlpha", "dev")


class Books(RuleBasedStateMachine):
    """Every rule does one thing to both; a restart may come between any two."""

    run_ids = Pool("run_ids")

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="books-"))
        self.clock = FakeClock()
        self.ledger = Ledger.open(self.folder / "ledger", self.clock)
        self.versions: dict[str, list[str]] = {name: [] for name in NAMES}
        self.tags: dict[tuple[str, str, str], str] = {}
        self.moves = 0
        self.states: dict[str, str] = {}
        self.fences: dict[str, list[str | None]] = {}
        for name in NAMES:
            self.add_version(name, 0)

    def write(self, fn: Any) -> Any:
        return self.ledger.write(fn).result(timeout=20)

    @rule(name=st.sampled_from(NAMES), source=st.integers(0, 5))
    def add_version(self, name: str, source: int) -> None:
        bundle = sample_bundle(f"y = {source}")
        row, new = self.write(lambda c: modules.put_version(c, name=name, bundle=bundle, code_digest="c", actor="ada", at=self.clock.now()))
        assert new is (bundle.id not in self.versions[name])
        if new:
            self.versions[name].append(bundle.id)
        assert self.versions[name][row.number - 1] == row.id == bundle.id

    @rule(
        name=st.sampled_from(NAMES),
        tag=st.sampled_from(TAGS),
        owner=st.sampled_from(("", "ada")),
        to=st.integers(0, 5),
        expect=st.integers(-2, 5),
    )
    def move_tag(self, name: str, tag: str, owner: str, to: int, expect: int) -> None:
        known = self.versions[name]
        target = known[to % len(known)]
        wanted: Any = tags.ANY if expect == -2 else None if expect == -1 else known[expect % len(known)]
        now = self.tags.get((name, tag, owner))
        try:
            self.write(lambda c: tags.move_tag(c, name, tag, owner, target, wanted, "ada", self.clock.now()))
        except Conflict:
            assert wanted is not tags.ANY and wanted != now
        else:
            assert wanted is tags.ANY or wanted == now
            self.moves += target != now
            self.tags[name, tag, owner] = target

    @rule(target=run_ids, name=st.sampled_from(NAMES), actor=st.sampled_from(("ada", "bob")))
    def add_run(self, name: str, actor: str) -> str:
        run_id = ulid(len(self.states), b"0123456789")
        version = self.versions[name][-1]
        self.write(lambda c: runs.insert_run(c, id=run_id, module=name, version_id=version, actor=actor, created_at=self.clock.now()))
        self.states[run_id] = "queued"
        self.fences[run_id] = []
        return run_id

    @rule(run=run_ids, event=st.sampled_from(("start", "requeue", "succeed", "fail", "cancel")))
    def advance_run(self, run: str, event: Any) -> None:
        try:
            expected = advance(self.states[run], event)  # type: ignore[arg-type]
        except Conflict:
            expected = None
        try:
            got = self.write(lambda c: (runs.update_run(c, run, event=event, at=self.clock.now()), self.end_all(c, run))[0])
        except Conflict:
            assert expected is None
        else:
            assert got == expected
            self.states[run] = got
            if got in FINAL:
                self.fences[run] = ["cancelled" if end is None else end for end in self.fences[run]]

    def end_all(self, c: Any, run: str) -> None:
        """As the engine does: with a final state every attempt ends, in the same transaction."""
        row = runs.get_run(c, run)
        if row is not None and row.state in FINAL:
            for attempt in runs.attempts_of(c, run):
                if attempt.ended_at is None:
                    runs.end_attempt(c, attempt.id, state="cancelled", at=self.clock.now())

    @rule(run=run_ids, fence=st.integers(1, 6))
    def add_attempt(self, run: str, fence: int) -> None:
        if self.states[run] in FINAL:
            return
        have = self.fences[run]
        try:
            self.write(
                lambda c: runs.insert_attempt(c, id=f"{run}-{fence}", run=run, fence=fence, executor="local", queued_at=self.clock.now())
            )
        except Conflict:
            assert fence <= len(have)
        else:
            assert fence > len(have)
            self.fences[run] = have + ["skipped"] * (fence - len(have) - 1) + [None]

    @rule()
    def restart(self) -> None:
        self.ledger.close()
        self.clock.forward(1)
        self.ledger = Ledger.open(self.folder / "ledger", self.clock)

    @invariant()
    def they_agree(self) -> None:
        if not hasattr(self, "ledger"):
            return
        read = self.ledger.read
        assert {row.id: row.state for row in read(lambda c: runs.list_runs(c, limit=1000))} == self.states
        for name in NAMES:
            assert {(name, row.tag, row.owner): row.version_id for row in read(lambda c, n=name: tags.list_tags(c, n))} == {
                key: value for key, value in self.tags.items() if key[0] == name
            }
        unended = {run: len([end for end in ends if end is None]) for run, ends in self.fences.items()}
        rows = read(runs.open_attempts)
        assert {run: n for run, n in unended.items() if n} == {row.run: sum(r.run == row.run for r in rows) for row in rows}
        count = read(lambda c: c.raw.execute("SELECT count(*) FROM audit WHERE action = 'tag.move'").fetchone()[0])
        assert count == self.moves

    def teardown(self) -> None:
        if hasattr(self, "ledger"):
            assert check(self.ledger, LocalBlobs(self.folder / "blobs")) == []
            self.ledger.close()
            shutil.rmtree(self.folder)


Books.TestCase.settings = settings(
    max_examples=25, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
TestBooks = Books.TestCase
