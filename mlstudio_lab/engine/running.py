"""Runs under way: handed to executors, stopped, tried again, ended; one loop, one commit each."""

from __future__ import annotations

import asyncio
import json
import platform
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import structlog

from mlstudio_lab.blobs.store import Blobs
from mlstudio_lab.core.clock import Clock
from mlstudio_lab.core.errors import Conflict, RunFailed, StorageFailed, StudioError, Unavailable
from mlstudio_lab.engine import admit
from mlstudio_lab.engine.beside import Beside
from mlstudio_lab.engine.commit import Ended, Ending, commit, ending_of, failure, put_log, timed_out, without_secrets
from mlstudio_lab.engine.executors import Executor
from mlstudio_lab.engine.kernels import watch_kernel
from mlstudio_lab.engine.memory import Hot, Memory
from mlstudio_lab.engine.model import KERNEL, Live, Plan
from mlstudio_lab.engine.outcomes import drop_outcome, read_outcome
from mlstudio_lab.engine.retry import Loss, decide
from mlstudio_lab.engine.stopping import stop, time_up
from mlstudio_lab.engine.streams import Waiting
from mlstudio_lab.engine.tasks import build_task, new_id
from mlstudio_lab.engine.versions import Versions
from mlstudio_lab.ledger import datasets, events, memos, runs
from mlstudio_lab.ledger.connection import Connection
from mlstudio_lab.ledger.ledger import Ledger
from mlstudio_lab.wire.routes import NEEDS_KERNEL
from mlstudio_lab.wire.task import Outcome

MARK_AFTER_S: Final = 0.05
"""Shorter runs are never written down as running: they are over before anybody could look."""
COMMIT_AGAIN_S: Final = 2.0
"""Pause before an outcome that could not be stored (a full disk) is tried again."""

log = structlog.get_logger("engine")


class Running(Beside):
    """Every run that is not final; loop-bound.

    Args:
        ledger, blobs, clock: The home's.
        executors: By name.
        home: The home's folder.
        versions, memory: The engine's.
        preferred: The home's executor setting.
    """

    def __init__(
        self, ledger: Ledger, blobs: Blobs, clock: Clock, executors: Mapping[str, Executor], home: Path, versions: Versions, memory: Memory,
        preferred: str = "auto",
    ) -> None:  # fmt: skip
        super().__init__(ledger)
        self._blobs = blobs
        self.clock = clock
        self.executors = executors
        self._home = home
        self._versions = versions
        self._memory = memory
        self._preferred = preferred
        self.lives: dict[str, Live] = {}
        self.by_attempt: dict[str, Live] = {}
        self.computing: dict[str, Live] = {}
        self.waiting = Waiting()
        self.label_epoch = 0

    def start(self) -> None:
        """Binds it to the running loop and listens to the executors."""
        self.bind()
        for executor in self.executors.values():
            executor.lost = self.lost

    # -- beginning ---------------------------------------------------------------------------------------------------

    def begin(self, plan: Plan, executor: str) -> Live:
        """Takes a run in hand and writes it down; `Live.stored` resolves when it survives."""
        number = self.ledger.next_run_number()
        live = Live(plan, number, self.clock.now(), executor, new_id(self.clock), 1)
        self.enter(live)
        live.stored = self.ledger.write(lambda c: self._insert(c, live))
        return live

    def enter(self, live: Live) -> None:
        """Takes a run in hand that is written down already."""
        self.lives[live.plan.run] = live
        self.by_attempt[live.attempt] = live

    def _insert(self, c: Connection, live: Live) -> None:
        plan, at = live.plan, live.created_at
        self._versions.store(c, plan, at)
        kept = {k: v for k, v in plan.request.items() if k not in ("bundle", "wait_s")}
        kept |= {"parts": plan.parts.to_json() if plan.parts else None, "obstacles": plan.obstacles}
        runs.insert_run(
            c,
            id=plan.run,
            module=str(plan.name),
            version_id=plan.code.id,
            actor=plan.caller.actor,
            created_at=at,
            number=live.number,
            where=str(plan.request.get("where") or "auto"),
            executor=live.executor,
            why=plan.why,
            memo_key=plan.key or None,
            cloned_from=plan.cloned_from,
            zone=plan.parts.zone if plan.parts else "",
            request=kept,
        )
        plan.request |= {"parts": kept["parts"], "obstacles": kept["obstacles"]}
        runs.insert_attempt(
            c, id=live.attempt, run=plan.run, fence=live.fence, executor=live.executor, queued_at=at, worker=json.dumps(live.worker or {})
        )
        events.append(c, "run", plan.run, {"number": live.number, "module": str(plan.name), "state": "queued"}, at)

    def launch(self, live: Live) -> None:
        """Hands a run to its executor, or back to its own kernel."""
        if live.plan.key and live.plan.request.get("reuse", True):
            self.computing.setdefault(live.plan.key, live)
        if live.executor == KERNEL:
            self._hand_to_kernel(live)
            return
        executor = self.executors[live.executor]
        task = build_task(live.plan, live.attempt, live.fence, str(self._home), self._sources(live.plan))
        executor.submit(task, self.on_event(live.attempt), self.on_outcome)

    def _sources(self, plan: Plan) -> dict[str, Any]:
        contents = {n: v["content"] for n, v in (plan.request.get("values") or {}).items() if v.get("content")}
        if not contents:
            return {}
        named = self.ledger.read(lambda c: datasets.named_by_content(c, contents.values()))
        return {n: {"dataset": named[d][0][0], "version": d} for n, d in contents.items() if d in named}

    def _hand_to_kernel(self, live: Live) -> None:
        caller = live.plan.caller
        live.worker = {"host": platform.node(), "pid": caller.pid, "started": caller.started}
        live.needs = [NEEDS_KERNEL]
        self._started(live)
        watch_kernel(self, live)
        self.waiting.notify(live.plan.run)

    async def take(self, live: Live, hot: Hot) -> None:
        """Ends a run with the result of the same computation that another run has just made."""
        live.committing = True
        at, plan = self.clock.now(), live.plan
        plan.why = f"reused: same code, same inputs (run {hot.number})"

        def record(c: Connection) -> None:
            runs.end_attempt(c, live.attempt, state="succeeded", at=at)
            runs.update_run(
                c, plan.run, event="succeed", at=at, executor="", why=plan.why, reused_from=hot.run, warnings=hot.warnings,
                usage={"edges": hot.edges, "stored": True}, request=without_secrets(plan.request),
            )  # fmt: skip
            memos.record_hits(c, plan.key, at=at)
            events.append(c, "run", plan.run, {"number": live.number, "module": str(plan.name), "state": "succeeded", "reused": True}, at)

        await self._write(record, plan.run)
        live.state = "succeeded"
        self.leave(live)

    async def _write(self, record: Callable[[Connection], None], run: str) -> None:
        """Writes a record without which a run would neither go on nor end; kept trying while the home cannot be written."""
        while True:
            try:
                await asyncio.wrap_future(self.ledger.write(record))
            except StorageFailed as error:
                log.error("not recorded yet", run=run, error=error.code)
                await asyncio.sleep(COMMIT_AGAIN_S)
            else:
                return

    def now(self) -> datetime:
        """The home's time."""
        return self.clock.now()

    # -- what executors say ------------------------------------------------------------------------------------------

    def on_event(self, attempt: str) -> Callable[[dict[str, Any]], None]:
        """What takes an attempt's events, on any thread."""
        return lambda event: self.on_loop(lambda: self._event(attempt, event))

    def _event(self, attempt: str, event: dict[str, Any]) -> None:
        live = self.by_attempt.get(attempt)
        if live is None or live.attempt != attempt:
            return
        if event.get("t") == "state" and event.get("state") == "running":
            live.worker = event.get("worker") or {}
            self._started(live)
        else:
            live.stream.append(event)

    def _started(self, live: Live) -> None:
        live.state = "running"
        live.started_at = self.clock.now()
        live.stream.append({"t": "state", "state": "running", "executor": live.executor})
        loop = self.loop
        live.timers.append(loop.call_later(MARK_AFTER_S, self._mark, live, live.attempt))
        limit = live.plan.request.get("timeout_s") or 0
        if limit and live.executor != KERNEL:
            live.timers.append(loop.call_later(limit, time_up, self, live, live.attempt))
        if live.cancel_asked:
            stop(self, live)

    def _mark(self, live: Live, attempt: str) -> None:
        """Writes down that a run is running, and where: whoever comes after a crash looks for it there."""
        at = live.started_at or self.clock.now()
        worker = json.dumps(live.worker)
        run, number, module = live.plan.run, live.number, str(live.plan.name)

        def mark(c: Connection) -> None:
            if runs.state_of(c, run) == "queued":
                runs.update_run(c, run, event="start", at=at, executor=live.executor)
                runs.start_attempt(c, attempt, worker=worker, at=at)
                events.append(c, "run", run, {"number": number, "module": module, "state": "running"}, at)

        self.soon(mark)

    def on_outcome(self, outcome: Outcome) -> None:
        """Takes how an attempt ended, on any thread."""
        live = self.by_attempt.get(outcome.attempt)
        if live is None:
            return
        self.on_loop(lambda: self.background(self.finish(live, outcome)))

    def lost(self, attempt: str, reason: str = "", *, infrastructure: bool = False) -> None:
        """Takes an attempt that ended without an outcome; may be called on any thread."""
        self.on_loop(lambda: self._lost(attempt, reason, infrastructure))

    def _lost(self, attempt: str, reason: str, infrastructure: bool) -> None:
        live = self.by_attempt.get(attempt)
        if live is None or live.attempt != attempt or live.committing:
            return
        # It may have finished and died before it could say so.
        outcome = read_outcome(self._home, attempt, live.fence)
        if outcome is not None:
            self.background(self.finish(live, outcome))
            return
        live.stop_timers()
        if live.cancel_asked:
            self.background(self.end(live, Ending("cancel", "cancelled", why=live.plan.why)))
            return
        if live.timed_out:
            self.background(self.end(live, Ending("fail", "timed_out", failure=timed_out(live), why=live.plan.why)))
            return
        live.losses.append(Loss(reason, infrastructure))
        log.info("attempt lost", run=live.plan.run, attempt=attempt, reason=reason, infrastructure=infrastructure)
        given_up = decide(live.losses)
        if given_up is not None:
            message = f"{given_up.message} ({given_up.hint})"
            self.background(self.end(live, Ending("fail", "lost", failure=failure("worker", message, RunFailed), why=live.plan.why)))
            return
        self.background(self.again(live, "lost"))

    # -- trying again, and stopping ----------------------------------------------------------------------------------

    async def again(self, live: Live, how: str, executor: str = "") -> None:
        """Gives a run a new attempt under a higher fence; the one before is closed as `how`."""
        old, at = live.attempt, self.clock.now()
        live.stop_timers()
        try:
            live.executor = executor or admit.choose(live.plan.request, self.executors, self._preferred)
        except StudioError as error:
            await self.end(live, Ending("fail", how, failure=failure("worker", error.message, Unavailable), why=live.plan.why))
            return
        live.attempt, live.fence = new_id(self.clock), live.fence + 1
        live.state, live.started_at, live.worker, live.committing = "queued", None, {}, False
        self.by_attempt.pop(old, None)
        self.by_attempt[live.attempt] = live
        attempt, fence, run, name = live.attempt, live.fence, live.plan.run, live.executor

        def record(c: Connection) -> None:
            runs.end_attempt(c, old, state=how, at=at)
            if runs.state_of(c, run) == "running":
                runs.update_run(c, run, event="requeue", at=at, executor=name)
            runs.insert_attempt(c, id=attempt, run=run, fence=fence, executor=name, queued_at=at)
            events.append(c, "run", run, {"number": live.number, "module": str(live.plan.name), "state": "queued"}, at)

        await self._write(record, run)
        live.stream.append({"t": "state", "state": "queued", "executor": live.executor})
        if live.attempt == attempt and run in self.lives:
            if live.cancel_asked:
                await self.end(live, Ending("cancel", "cancelled", why=live.plan.why))
            else:
                self.launch(live)

    # -- ending ------------------------------------------------------------------------------------------------------

    async def finish(self, live: Live, outcome: Outcome) -> None:
        """Ends a run with what its newest attempt says; an older attempt is not heard."""
        if live.committing or outcome.attempt != live.attempt or outcome.fence != live.fence:
            return
        if outcome.state == "refused":
            await self._refused(live, outcome)
            return
        await self.end(live, ending_of(live, outcome))

    async def _refused(self, live: Live, outcome: Outcome) -> None:
        live.committing = True
        live.refusals += 1
        drop_outcome(self._home, outcome.attempt, outcome.fence)
        if outcome.versions and live.refusals < 2 and live.executor != KERNEL:
            await self.again(live, "refused")
        elif live.plan.request.get("kernel") and live.plan.request.get("where", "auto") == "auto" and live.executor != KERNEL:
            await self.again(live, "refused", KERNEL)
        else:
            await self.end(live, Ending("fail", "refused", outcome, failure=outcome.failure, why=live.plan.why))

    async def end(self, live: Live, ending: Ending) -> None:
        """Commits one ending; kept trying while the home cannot be written."""
        live.committing = True
        live.stop_timers()
        run = live.plan.run
        while run in self.lives:
            try:
                ended = await self._commit(live, ending)
            except Conflict:
                # Somebody else ended it: a newer attempt, or a cancel that won.
                self.leave(live)
                return
            except StudioError as error:
                log.error("outcome not stored yet", run=run, error=error.code)
                await asyncio.sleep(COMMIT_AGAIN_S)
                continue
            except Exception as error:
                # An outcome we cannot digest must not leave its run open for ever: it ends as failed, saying so.
                log.error("outcome refused", run=run, exc_info=error)
                if ending.attempt_state == "unusable":
                    self.leave(live)
                    return
                message = f"the result could not be recorded ({type(error).__name__}); the studio's log has the details"
                ending = Ending("fail", "unusable", failure=failure("worker", message, RunFailed), why=live.plan.why)
                continue
            self._ended(live, ended)
            return

    async def _commit(self, live: Live, ending: Ending) -> Ended:
        if live.stored is not None:
            await asyncio.wrap_future(live.stored)
        if ending.outcome is not None and ending.outcome.log:
            ending.log_blob = await asyncio.to_thread(put_log, self._blobs, ending.outcome)
        at = self.clock.now()
        return await asyncio.wrap_future(self.ledger.write(lambda c: commit(c, live, ending, at)))

    def _ended(self, live: Live, ended: Ended) -> None:
        row, ending, plan = ended.row, ended.ending, live.plan
        plan.why = ending.why
        live.state, live.ended = row.state, row
        if ending.stored and ending.outcome is not None:
            kept = ending.outcome.log if len(ending.outcome.log) < 2_000 else None
            hot = Hot(
                plan.key, row.id, row.number, row.outputs, ending.outcome.effects, row.warnings, ended.joined.kinds, row.log_blob, kept,
                epoch=self.label_epoch,
            )  # fmt: skip
            self._memory.keep(hot)
        self.leave(live)
        drop_outcome(self._home, live.attempt, live.fence)
        self.say("run ended", run=row.id, number=row.number, module=row.module, state=row.state, executor=row.executor)

    def leave(self, live: Live) -> None:
        """Lets a run go and tells everybody who waits for it."""
        run = live.plan.run
        live.stop_timers()
        if self.lives.get(run) is live:
            del self.lives[run]
        self.by_attempt.pop(live.attempt, None)
        if self.computing.get(live.plan.key) is live:
            del self.computing[live.plan.key]
        live.stream.close({"t": "state", "state": live.state, "final": True})
        self.waiting.notify(run)
        self.changed()

    def dismiss(self) -> None:
        """Lets everybody go who waits for a run: the service is about to stop, its successor is asked again."""
        for live in list(self.lives.values()):
            live.stream.close({"t": "state", "state": live.state})
            self.waiting.notify(live.plan.run)

    async def close(self) -> None:
        """Forgets everything in hand; the ledger has what a next service takes up."""
        for live in list(self.lives.values()):
            live.stop_timers()
        await self.stop_background()
