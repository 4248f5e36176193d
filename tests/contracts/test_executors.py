"""What every executor owes the engine, whatever it is made of."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from executor_rig import Rig, Ticket

from mlstudio_lab.core.lock import Lock
from mlstudio_lab.wire.task import Outcome

Cell = Callable[..., Any]


def text(ticket: Ticket, stream: str = "stdout") -> str:
    return "".join(e["text"] for e in ticket.events if e.get("t") == stream)


def test_success_is_told_in_order_and_written_first(rig: Rig, cell: Cell) -> None:
    ticket = rig.submit(cell("y = 1 + 1\nprint('done')"))
    outcome = ticket.outcome()
    assert outcome.state == "succeeded"
    assert outcome.attempt == ticket.attempt
    assert ticket.events[0]["t"] == "state"
    assert ticket.running()["pid"] > 0
    assert text(ticket) == "done\n"
    durable = json.loads((rig.home / "outcomes" / f"{ticket.attempt}-1.json").read_text())
    assert durable["state"] == "succeeded"
    assert durable["outputs"] == outcome.outputs
    assert outcome.worker["executor"] == rig.executor.name


def test_an_exception_is_an_outcome_with_the_person_s_line(rig: Rig, cell: Cell) -> None:
    outcome = rig.submit(cell("x = 1\nraise ValueError('bad')")).outcome()
    assert outcome.state == "failed"
    assert outcome.failure is not None
    assert (outcome.failure["by"], outcome.failure["message"]) == ("code", "bad")
    assert any(line == 2 for _file, line, *_rest in outcome.failure["frames"])


def test_an_exception_that_cannot_be_pickled_still_arrives(rig: Rig, cell: Cell) -> None:
    source = "class Odd(Exception):\n    def __reduce__(self):\n        raise TypeError('never')\nraise Odd('odd')"
    outcome = rig.submit(cell(source)).outcome()
    assert outcome.state == "failed"
    assert outcome.failure is not None
    assert outcome.failure["type"].endswith("Odd")
    assert outcome.failure["message"] == "odd"


def test_a_worker_that_ends_itself_is_lost_and_replaced(rig: Rig, cell: Cell) -> None:
    reason, infrastructure = rig.submit(cell("import os\nos._exit(3)")).lost()
    assert "its worker" in reason
    assert not infrastructure, "the code is to blame"
    assert rig.submit(cell("y = 1")).outcome().state == "succeeded"


def test_a_killed_worker_is_lost(rig: Rig, cell: Cell) -> None:
    reason, infrastructure = rig.submit(cell("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)")).lost()
    assert "its worker" in reason
    assert not infrastructure


def test_cancel_stops_code_that_prints_without_end(rig: Rig, cell: Cell) -> None:
    ticket = rig.submit(cell("i = 0\nwhile True:\n    i += 1\n    print('line', i)"))
    ticket.said("line 1\n")
    began = time.monotonic()
    rig.executor.cancel(ticket.attempt, False)
    assert ticket.outcome(10).state == "cancelled"
    assert time.monotonic() - began < 3
    assert text(ticket).startswith("line 1\nline 2\nline 3\n")


def test_cancel_stops_a_loop(rig: Rig, cell: Cell) -> None:
    ticket = rig.submit(cell("import time\nprint('in')\nwhile True:\n    time.sleep(0.01)"))
    ticket.said("in")
    rig.executor.cancel(ticket.attempt, False)
    assert ticket.outcome(3).state == "cancelled"


def test_force_ends_code_that_does_not_listen(rig: Rig, cell: Cell) -> None:
    source = "import time\nprint('in')\nwhile True:\n    try:\n        time.sleep(600)\n    except BaseException:\n        pass"
    ticket = rig.submit(cell(source))
    ticket.said("in")
    rig.executor.cancel(ticket.attempt, False)
    began = time.monotonic()
    rig.executor.cancel(ticket.attempt, True)
    assert "its worker" in ticket.lost(3)[0]
    assert time.monotonic() - began < 3
    assert rig.submit(cell("y = 1")).outcome().state == "succeeded"


def test_a_queued_attempt_can_be_withdrawn(rig: Rig, cell: Cell) -> None:
    busy = [rig.submit(cell("import time\nprint('in')\nwhile True: time.sleep(0.01)")) for _ in range(2)]
    for ticket in busy:
        ticket.said("in")
    waiting = rig.submit(cell("y = 1"))
    rig.until(lambda: rig.executor.status()["queued"] == 1)
    rig.executor.cancel(waiting.attempt, False)
    assert waiting.lost(5)[1], "the code never ran"
    for ticket in busy:
        rig.executor.cancel(ticket.attempt, False)
        assert ticket.outcome(5).state == "cancelled"


def test_an_unknown_attempt_cannot_be_cancelled(rig: Rig, cell: Cell) -> None:
    rig.executor.cancel("never-heard-of", True)
    assert rig.submit(cell("y = 1")).outcome().state == "succeeded"


def test_the_time_limit_is_kept(rig: Rig, cell: Cell) -> None:
    ticket = rig.submit(cell("import time\nwhile True: time.sleep(0.01)", timeout_s=0.3))
    began = time.monotonic()
    assert ticket.outcome(10).state == "timed_out"
    assert time.monotonic() - began < 5


def test_output_keeps_its_order_across_streams_and_arrives_while_it_runs(rig: Rig, cell: Cell) -> None:
    source = (
        "import sys, time\n"
        "for i in range(5):\n"
        "    print(i, flush=True)\n"
        "    print(i, file=sys.stderr, flush=True)\n"
        "print('half', flush=True)\n"
        "while True: time.sleep(0.01)"
    )
    ticket = rig.submit(cell(source))
    ticket.said("half")
    assert not ticket.outcomes, "told before the end"
    kinds = [(e["t"], c) for e in ticket.events if e["t"] in ("stdout", "stderr") for c in e["text"] if c.isdigit()]
    assert kinds == [pair for i in range(5) for pair in (("stdout", str(i)), ("stderr", str(i)))]
    rig.executor.cancel(ticket.attempt, False)
    ticket.outcome(5)


def test_two_run_at_once(rig: Rig, cell: Cell, tmp_path: Any) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    meet = "import os, time\nopen({mine!r}, 'w').close()\nwhile not os.path.exists({other!r}): time.sleep(0.005)"
    first = rig.submit(cell(meet.format(mine=str(a), other=str(b)), timeout_s=20))
    second = rig.submit(cell(meet.format(mine=str(b), other=str(a)), timeout_s=20))
    assert {first.outcome().state, second.outcome().state} == {"succeeded"}
    assert first.running()["pid"] != second.running()["pid"]


def test_fifty_queue_up_and_each_ends_once(rig: Rig, cell: Cell) -> None:
    tickets = [rig.submit(cell(f"y = {i}")) for i in range(50)]
    assert [t.outcome().state for t in tickets] == ["succeeded"] * 50
    assert all(len(t.outcomes) == 1 and not t.losses for t in tickets)


def test_a_lock_the_worker_does_not_have_is_refused(rig: Rig, cell: Cell) -> None:
    import platform
    import sys

    lock = Lock(platform.python_version(), f"{sys.platform}-{platform.machine()}", (("polars", "0.0.1"),))
    outcome = rig.submit(cell("y = 1", lock=lock)).outcome()
    assert outcome.state == "refused"
    assert "polars" in outcome.versions
    assert rig.submit(cell("y = 1")).outcome().state == "succeeded"


def test_another_protocol_is_refused(rig: Rig, cell: Cell) -> None:
    task = cell("y = 1")
    task.protocol = 999
    ticket = rig.submit(task)
    ticket.wait(lambda t: bool(t.outcomes or t.losses))
    assert ticket.losses or ticket.outcomes[0].state == "refused"
    assert rig.submit(cell("y = 1")).outcome().state == "succeeded"


def test_status_says_who_works(rig: Rig, cell: Cell) -> None:
    ticket = rig.submit(cell("import time\nprint('in')\nwhile True: time.sleep(0.01)"))
    ticket.said("in")
    status = rig.on_loop(rig.executor.status)
    assert (status["name"], status["ready"], status["busy"]) == (rig.executor.name, True, 1)
    assert [m["run"] for m in status["members"] if m["state"] == "busy"] == [ticket.task.run]
    assert {"worker", "pid", "state", "run"} <= set(status["members"][0])
    rig.executor.cancel(ticket.attempt, False)
    ticket.outcome(5)


def test_methods_may_be_called_from_any_thread(rig: Rig, cell: Cell) -> None:
    found: list[Outcome] = []
    threads = [threading.Thread(target=lambda i=i: found.append(rig.submit(cell(f"y = {i}")).outcome())) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [o.state for o in found] == ["succeeded"] * 4


@pytest.mark.parametrize("size", [10, 300_000])
def test_code_of_any_length_and_character_crosses(rig: Rig, cell: Cell, size: int) -> None:
    source = "# " + "é\u2028x" * size + "\nprint('ünï')"
    ticket = rig.submit(cell(source))
    assert ticket.outcome().state == "succeeded"
    assert text(ticket) == "ünï\n"


def test_every_executor_has_every_method_of_the_protocol() -> None:
    from mlstudio_lab.adapters.ray_executor import RayExecutor
    from mlstudio_lab.engine.executors import Executor
    from mlstudio_lab.engine.local import LocalPool
    from mlstudio_lab.testing import FakeExecutor

    wanted = {name for name in vars(Executor) if not name.startswith("_")}
    assert {"submit", "cancel", "adopt", "leave", "close"} <= wanted
    for kind in (LocalPool, RayExecutor, FakeExecutor):
        assert wanted <= {name for name in dir(kind) if not name.startswith("_")}, kind
