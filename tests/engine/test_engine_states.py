"""Whatever crashes when: an acknowledged run ends once, with the result of its newest attempt, and the ledger stays whole."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path
from typing import Any

from engine_rig import ADA, EngineRig, function
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from mlstudio_lab.core.errors import StudioError, Unavailable
from mlstudio_lab.core.run import FINAL
from mlstudio_lab.ledger import audit, runs
from mlstudio_lab.ledger.ledger import Ledger
from mlstudio_lab.testing import FakeExecutor


class PowerCut(Unavailable):
    """The machine went away before a write."""


class MortalLedger(Ledger):
    """A real ledger that dies before a chosen write; everything after it is refused, as after kill -9."""

    left: int | None = None

    def write(self, fn: Any) -> Any:
        self._count()
        return super().write(fn)

    def write_soon(self, fn: Any) -> Any:
        self._count()
        return super().write_soon(fn)

    def _count(self) -> None:
        if self.left is not None:
            if self.left <= 0:
                raise PowerCut("the machine went away", subject="ledger")
            self.left -= 1


CODES = [function(f"def f():\n    return {n}\n") for n in range(3)]


class Lives(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.rig = EngineRig(self.folder / "home", lambda home: {"local": FakeExecutor(home)}, MortalLedger)
        self.acknowledged: set[str] = set()
        self.final: dict[str, tuple[str, Any]] = {}

    @property
    def local(self) -> FakeExecutor:
        found: FakeExecutor = self.rig.executors["local"]
        return found

    def guarded(self, act: Any) -> Any:
        """Does something; a cut in the middle of it is a crash, and a new service comes up."""
        cut = False
        found = None
        try:
            found = act()
            self.rig.turn()
        except PowerCut:
            cut = True
        if cut or (self.rig.ledger.left is not None and self.rig.ledger.left <= 0):  # type: ignore[attr-defined]
            self.crash()
        return found

    @rule(code=st.sampled_from(range(3)), reuse=st.booleans())
    def submit(self, code: int, reuse: bool) -> None:
        request = self.rig.request(CODES[code], name=f"demo/m{code}", wait_s=0.0, reuse=reuse)

        def act() -> None:
            view = self.rig.do(self.rig.engine.submit(request, ADA))
            # A hit may be recorded a second late: only what runs is promised.
            if view["state"] and not view["reused"]:
                self.acknowledged.add(view["id"])

        self.guarded(act)

    def one(self, pick: int) -> str | None:
        open_ = sorted(self.local.tasks)
        return open_[pick % len(open_)] if open_ else None

    @rule(pick=st.integers(0, 9))
    def begin(self, pick: int) -> None:
        if attempt := self.one(pick):
            self.guarded(lambda: self.local.begin(attempt))

    @rule(pick=st.integers(0, 9), state=st.sampled_from(["succeeded", "succeeded", "failed", "cancelled"]))
    def finish(self, pick: int, state: str) -> None:
        if attempt := self.one(pick):
            self.guarded(lambda: self.local.finish(attempt, state))

    @rule(pick=st.integers(0, 9))
    def lose(self, pick: int) -> None:
        if attempt := self.one(pick):
            self.guarded(lambda: self.local.lose(attempt, infrastructure=True))

    @rule(pick=st.integers(0, 9))
    def finish_unheard(self, pick: int) -> None:
        if attempt := self.one(pick):
            self.local.leave_outcome(attempt)

    @rule(pick=st.integers(0, 9))
    def cancel(self, pick: int) -> None:
        lives = sorted(self.rig.engine.running.lives)
        if lives:
            run = lives[pick % len(lives)]

            def act() -> None:
                try:
                    self.rig.do(self.rig.engine.cancel(run, ADA))
                except PowerCut:
                    raise
                except StudioError:
                    pass  # it has ended meanwhile

            self.guarded(act)

    @rule()
    def crash(self) -> None:
        self.rig.ledger.left = None  # type: ignore[attr-defined]
        self.rig.do(self.rig.engine.close())
        for executor in self.rig.executors.values():
            executor.close()
        self.rig.ledger.close()
        self.rig.up()
        self.rig.turn()

    @precondition(lambda self: self.rig.ledger.left is None)
    @rule(writes=st.integers(0, 3))
    def cut_soon(self, writes: int) -> None:
        self.rig.ledger.left = writes  # type: ignore[attr-defined]

    @invariant()
    def nothing_acknowledged_is_lost(self) -> None:
        self.rig.turn() if self.rig.ledger.left is None else None  # type: ignore[attr-defined]
        for run in self.acknowledged:
            row = self.rig.ledger.read(lambda c, r=run: runs.get_run(c, r))
            assert row is not None, "an acknowledged run is gone"
            attempts = self.rig.ledger.read(lambda c, r=run: runs.attempts_of(c, r))
            fences = [a.fence for a in attempts]
            assert fences == list(range(1, len(fences) + 1))
            if row.state in FINAL:
                ended = (row.state, row.outputs and row.outputs["graph"])
                assert self.final.setdefault(run, ended) == ended, "a final state changed"
                assert all(a.ended_at for a in attempts), "a final run has an open attempt"
                if row.state == "succeeded" and row.reused_from is None:
                    assert row.outputs is not None and row.outputs["graph"] == attempts[-1].id, "an older attempt committed"

    def teardown(self) -> None:
        try:
            self.crash()
            for _ in range(50):
                if not self.local.tasks:
                    break
                for attempt in sorted(self.local.tasks):
                    self.local.finish(attempt)
                self.rig.turn()
            self.rig.do(self._settled())
            self.nothing_acknowledged_is_lost()
            for run in self.acknowledged:
                row = self.rig.ledger.read(lambda c, r=run: runs.get_run(c, r))
                assert row is not None and row.state in FINAL, "a run never ended"
            assert self.rig.ledger.read(audit.verify) is None
            assert list((self.rig.home / "outcomes").iterdir()) == []
        finally:
            self.rig.close()
            shutil.rmtree(self.folder, ignore_errors=True)

    async def _settled(self) -> None:
        for _ in range(200):
            if not self.rig.engine.running.lives:
                return
            for attempt in sorted(self.local.tasks):
                self.local.finish(attempt)
            await asyncio.sleep(0.01)


TestLives = Lives.TestCase
TestLives.settings = settings(
    max_examples=40, stateful_step_count=18, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
