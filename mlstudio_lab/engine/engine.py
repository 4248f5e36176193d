"""The engine: a request becomes a remembered result or a run, and every run ends exactly once."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import structlog

from mlstudio_lab.blobs.store import Blobs
from mlstudio_lab.core.clock import Clock
from mlstudio_lab.core.errors import BadInput, Conflict, StorageFailed
from mlstudio_lab.core.ids import is_ulid, ulid
from mlstudio_lab.core.memo import MemoParts, explain
from mlstudio_lab.core.run import FINAL
from mlstudio_lab.engine import admit, views
from mlstudio_lab.engine.adopt import adopt
from mlstudio_lab.engine.executors import Executor
from mlstudio_lab.engine.lineage import relabel
from mlstudio_lab.engine.looking import Looking
from mlstudio_lab.engine.memory import Hot, Memory, blobs_of, what_changed
from mlstudio_lab.engine.model import KERNEL, Caller, Live, Plan
from mlstudio_lab.engine.plan import Needs, is_detached, make_plan
from mlstudio_lab.engine.running import Running
from mlstudio_lab.engine.stopping import cancel
from mlstudio_lab.engine.versions import Versions
from mlstudio_lab.ledger import events, lineage, memos, runs
from mlstudio_lab.ledger.connection import Connection
from mlstudio_lab.ledger.labels import any_asserted
from mlstudio_lab.ledger.ledger import Ledger
from mlstudio_lab.wire.routes import MAX_WAIT_S, NEEDS_PAYLOAD
from mlstudio_lab.wire.task import Outcome

_MOST_LAST: Final = 4_096
_MOST_IDS: Final = 20_000

log = structlog.get_logger("engine")

_KEPT_OF_A_HIT: Final = ("parameters", "arguments", "datasets", "where", "seed", "outputs", "values")
"""Parts of a request that a run which computed nothing keeps: enough to show it and to clone it."""


class Engine(Looking):
    """Plans, remembers, runs; every method belongs to one event loop.

    Args:
        ledger, blobs, clock: The home's.
        executors: By name; `local` is always among them.
        home: The home's folder.
        preferred: The home's executor setting: auto, local or ray.

    Example:
        `view = await engine.submit(request, Caller("ada"))`
    """

    def __init__(
        self, ledger: Ledger, blobs: Blobs, clock: Clock, executors: Mapping[str, Executor], home: Path, preferred: str = "auto"
    ) -> None:
        versions, memory = Versions(ledger), Memory(ledger, blobs)
        super().__init__(ledger, blobs, versions, Running(ledger, blobs, clock, executors, home, versions, memory, preferred))
        self.clock = clock
        self.executors = executors
        self.home = home
        self.preferred = preferred
        self.memory = memory
        self._last: OrderedDict[tuple[str, str], tuple[int, str, MemoParts | None]] = OrderedDict()
        self._labelled = False
        self._ids: set[str] = set()
        self._floor = ulid(int(clock.now().timestamp() * 1000), b"\xff" * 10)

    async def start(self) -> None:
        """Listens to the executors and takes up what an earlier service left."""
        self.running.start()
        self._labelled = self.ledger.read(any_asserted)
        await adopt(self.running, self.ledger, self.versions, self.home)

    async def close(self) -> None:
        """Lets go; runs under way are in the ledger."""
        await self.running.close()

    # -- asking ------------------------------------------------------------------------------------------------------

    async def submit(self, request: dict[str, Any], caller: Caller, *, cloned_from: str | None = None) -> dict[str, Any]:
        """A run's view: final on a hit, under way on a miss, or what must be sent along.

        Args:
            request: A RunRequest as JSON; it becomes the engine's.
            caller: Who asks.
            cloned_from: Id of the run it is a copy of.

        Raises:
            StudioError: The request cannot mean anything here; nothing was started.
        """
        run = str(request.get("run", ""))
        if not is_ulid(run):
            raise BadInput("a run's id is a ULID", subject="run", hint="make one with core.ids.ulid")
        wait_s = min(float(request.get("wait_s") or 0.0), MAX_WAIT_S)
        if not self._is_new(run) and (run in self.running.lives or self.ledger.read(lambda c: runs.get_run(c, run)) is not None):
            return await self.view(run, wait_s)
        try:
            plan = make_plan(request, caller, self.versions, self.ledger)
        except Needs as needs:
            return views.of_needs(run, None, needs.needs)
        plan.cloned_from = cloned_from
        if (view := await self._remembered(plan)) is not None:
            return view
        if run in self.running.lives:
            # Sent again by a sender whose connection was lost while files were looked at.
            return await self.view(run, wait_s)
        needs_more = self._needs(plan)
        if needs_more:
            return views.of_needs(run, plan, needs_more)
        live = self._begin(plan)
        try:
            await asyncio.wrap_future(live.stored)  # type: ignore[arg-type]
        except Exception:
            # Nothing was acknowledged: whatever has started is stopped and forgotten.
            self._forget(live)
            if self.ledger.read(lambda c: runs.get_run(c, run)) is not None:
                # A sender whose clock is ahead sent it to an earlier service already.
                return await self.view(run, wait_s)
            raise
        self.versions.stored(plan)
        self._remember_last(plan, live.number)
        self.running.changed()
        if wait_s and live.state not in FINAL and not live.needs:
            await self.running.waiting.until(run, wait_s)
        view = self._just_ended(live) or await self.view(run, 0.0)
        if view["state"] in FINAL:
            # Whoever waited for so short a run gets what it said with it, and need not ask again.
            view["log"] = [event for event in live.stream.events if event.get("t") != "state"]
            view["dev_newer"] = plan.dev_newer
        return view

    def _just_ended(self, live: Live) -> dict[str, Any] | None:
        """The view of a run from the row that was committed; None when it must be read, with the numbers of runs it names."""
        row = live.ended
        if row is None or row.reused_from or row.cloned_from:
            return None
        return views.of_row(row, version_number=self.versions.number(row.module, row.version_id), kind=live.plan.code.bundle.kind)

    def _is_new(self, run: str) -> bool:
        """Whether a run's id was certainly never sent before: ULIDs sort by time, and all that came since a moment are known."""
        if run <= self._floor or run in self._ids:
            return False
        self._ids.add(run)
        if len(self._ids) > _MOST_IDS:
            self._floor = max(self._ids)
            self._ids.clear()
        return True

    async def _remembered(self, plan: Plan) -> dict[str, Any] | None:
        if not plan.request.get("reuse", True):
            plan.why = "ran: --no-reuse"
            return None
        hot = None if plan.obstacles or plan.parts is None else self.memory.find(plan.key)
        if hot is None:
            plan.why = self._why(plan)
            return None
        changed = what_changed(hot.effects, plan.request) if not hot.effects.get("files") else await asyncio.to_thread(
            what_changed, hot.effects, plan.request
        )  # fmt: skip
        if changed is None:
            if not plan.request.get("ambient") and not is_detached(plan.request):
                return views.of_needs(plan.run, plan, [NEEDS_PAYLOAD])
            plan.why = "ran: the environment it depends on is not known"
            return None
        if changed:
            plan.why = f"ran: {changed}"
            return None
        replay = self.memory.log(hot)
        if replay is None or not await self._is_whole(hot):
            self.memory.forget(plan.key)
            plan.why = "ran: its stored result is damaged or gone"
            return None
        return await self._hit(plan, hot, replay)

    async def _hit(self, plan: Plan, hot: Hot, replay: list[dict[str, Any]]) -> dict[str, Any]:
        plan.why = f"reused: same code, same inputs (run {hot.number})"
        if self._labelled and hot.epoch != self.running.label_epoch:
            await self._relabel(plan, hot)
        number, at = self.ledger.next_run_number(), self.clock.now()
        moves_dev = bool(plan.request.get("tag_dev", True)) and self.versions.dev(str(plan.name), plan.caller.actor) < plan.number
        kept = {k: plan.request[k] for k in _KEPT_OF_A_HIT if plan.request.get(k)}
        kept["parts"] = plan.parts.to_json() if plan.parts else None

        def record(c: Connection) -> None:
            if not plan.number or moves_dev:
                self.versions.store(c, plan, at)
            runs.insert_run(
                c, id=plan.run, number=number, module=str(plan.name), version_id=plan.code.id, actor=plan.caller.actor, created_at=at,
                state="succeeded", where=str(plan.request.get("where") or "auto"), why=plan.why, reused_from=hot.run, memo_key=plan.key,
                cloned_from=plan.cloned_from, zone=plan.parts.zone if plan.parts else "", warnings=hot.warnings,
                usage={"edges": hot.edges, "stored": True}, request=kept,
            )  # fmt: skip
            memos.record_hits(c, plan.key, at=at)
            events.append(c, "run", plan.run, {"number": number, "module": str(plan.name), "state": "succeeded", "reused": True}, at)

        if not plan.number or moves_dev:
            # A new version or a moved tag is a fact of its own, acknowledged only when it survives.
            await asyncio.wrap_future(self.ledger.write(record))
            self.versions.stored(plan)
            self.running.changed()
        else:
            self.running.soon(record)
        self._remember_last(plan, number)
        return views.of_hit(plan, number, hot, replay, at)

    async def _is_whole(self, hot: Hot) -> bool:
        """Whether every byte of a result is as it was written; read through beside the loop the first time."""
        return self.memory.is_whole(hot) if hot.was_read else await asyncio.to_thread(self.memory.is_whole, hot)

    async def _relabel(self, plan: Plan, hot: Hot) -> None:
        """Joins labels again over a remembered result's edges: somebody has asserted one since."""
        epoch, at = self.running.label_epoch, self.clock.now()

        def work(c: Connection) -> list[dict[str, Any]]:
            edges = [resolved.edge for resolved in lineage.edges_of_run(c, hot.run)]
            return relabel(c, plan, edges, hot.outputs, at).warnings

        new = await asyncio.wrap_future(self.ledger.write(work))
        hot.warnings, hot.epoch = [*hot.warnings, *(w for w in new if w not in hot.warnings)], epoch

    def labels_changed(self) -> None:
        """Somebody asserted a label: remembered results join theirs again when next met."""
        self._labelled = True
        self.running.label_epoch += 1

    def _needs(self, plan: Plan) -> list[str]:
        request = plan.request
        if request.get("where") == KERNEL or is_detached(request):
            return []
        payload = request.get("payload")
        if payload is None:
            return [NEEDS_PAYLOAD]
        return [f"blob:{digest}" for digest in self.blobs.missing(blobs_of(payload))]

    def _begin(self, plan: Plan) -> Live:
        executor = admit.choose(plan.request, self.executors, self.preferred)
        leader = self.running.computing.get(plan.key) if plan.request.get("reuse", True) and not plan.obstacles else None
        live = self.running.begin(plan, executor)
        if leader is None:
            self.running.launch(live)
        else:
            live.follows = True
            self.running.background(self._follow(live, leader))
        return live

    async def _follow(self, live: Live, leader: Live) -> None:
        """Waits for the same computation under way, takes its result, or computes when there is none to take."""
        plan = live.plan
        if live.stored is not None:
            await asyncio.wrap_future(live.stored)
        while leader.plan.run in self.running.lives:
            await self.running.waiting.until(leader.plan.run, MAX_WAIT_S)
        if plan.run not in self.running.lives or live.committing:
            return
        hot = self.memory.find(plan.key)
        if hot is not None and hot.run == leader.plan.run and await self._is_whole(hot):
            await self.running.take(live, hot)
            return
        other = self.running.computing.get(plan.key)
        if other is not None:
            await self._follow(live, other)
            return
        live.follows = False
        self.running.launch(live)

    def _forget(self, live: Live) -> None:
        live.committing = True
        if live.executor != KERNEL and not live.follows:
            self.executors[live.executor].cancel(live.attempt, True)
        self.running.leave(live)

    # -- why ---------------------------------------------------------------------------------------------------------

    def _why(self, plan: Plan) -> str:
        """In a person's words, how this run differs from their last one of this module."""
        before = self._last_of(plan)
        if before is None:
            return "ran: first time"
        number, version, parts = before
        if plan.parts is None:
            return "ran: its inputs have no digest"
        old = self.versions.by_id(plan.name, version)
        if parts is None or old is None:
            return "ran: first time with these inputs"
        _, code = old
        told = explain(parts, code.tree, plan.parts, plan.code.tree, since=f"v{old[0]}", locks=(code.bundle.lock, plan.code.bundle.lock))
        return told or f"ran: run {number} left nothing to reuse"

    def _last_of(self, plan: Plan) -> tuple[int, str, MemoParts | None] | None:
        key = (str(plan.name), plan.caller.actor)
        if key not in self._last:
            rows = self.ledger.read(lambda c: runs.list_runs(c, module=key[0], actor=key[1], limit=1))
            if not rows:
                return None
            parts = (rows[0].request or {}).get("parts")
            self._last[key] = (rows[0].number, rows[0].version_id, MemoParts.from_json(parts) if parts else None)
        return self._last[key]

    def _remember_last(self, plan: Plan, number: int) -> None:
        key = (str(plan.name), plan.caller.actor)
        self._last[key] = (number, plan.code.id, plan.parts)
        self._last.move_to_end(key)
        while len(self._last) > _MOST_LAST:
            self._last.popitem(last=False)

    # -- doing -------------------------------------------------------------------------------------------------------

    async def cancel(self, run: str, caller: Caller, force: bool = False) -> dict[str, Any]:
        """Asks a run to stop; its view as it is then.

        Raises:
            NotFound: There is no such run.
            Conflict: It has ended, and not by being cancelled.
        """
        live = self.live(run)
        if live is not None:
            live.by_itself = bool(caller.pid) and caller.pid == live.worker.get("pid")
            cancel(self.running, live, force)
            return views.of_live(live)
        row = self.read(lambda c: self.row(c, run))
        if row.state == "cancelled":
            return await self.view(run)
        raise Conflict(f"run {row.number} has ended already: {row.state}", subject=str(row.number), hint="there is nothing to stop")

    async def take_outcome(self, run: str, outcome: Outcome, caller: Caller) -> dict[str, Any]:
        """Ends a run that its sender executed in their own process.

        Raises:
            NotFound: There is no such run.
            Conflict: It is not the sender's to end: another executor has it, a newer attempt, or it has ended.
        """
        live = self.live(run)
        if live is None:
            row = self.read(lambda c: self.row(c, run))
            raise Conflict(f"run {row.number} has ended already: {row.state}", subject=str(row.number), hint="its result is not changed")
        if live.executor != KERNEL or outcome.attempt != live.attempt or outcome.fence != live.fence:
            raise Conflict(f"run {live.number} waits for another attempt", subject=str(live.number), hint="start a new run")
        missing = self.blobs.missing(blobs_of(outcome.outputs))
        if missing:
            raise StorageFailed(
                f"blob {missing[0][:12]} of the outcome is not stored here", subject=missing[0], hint="upload it, then report again"
            )
        if outcome.state == "refused":
            outcome.state = "failed"
        await self.running.finish(live, outcome)
        return await self.view(live.plan.run)
