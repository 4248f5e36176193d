"""One thread writes; what came together is committed together; one's failure is nobody else's."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from mlstudio_lab.core.errors import BadInput, Conflict, NotFound, Unavailable
from mlstudio_lab.ledger import events
from mlstudio_lab.ledger.ledger import Ledger
from mlstudio_lab.testing import FakeClock


def subjects(ledger: Ledger) -> list[str]:
    return [event.subject for event in ledger.read(lambda c: events.since(c, 0, 100_000))]


def add(clock: FakeClock, subject: str):
    return lambda c: events.append(c, "test", subject, {}, clock.now())


def test_an_acknowledged_write_is_read_by_anyone(ledger: Ledger, clock: FakeClock) -> None:
    assert ledger.write(add(clock, "a")).result(timeout=10) == 1
    assert subjects(ledger) == ["a"]


def test_a_function_that_raises_undoes_only_itself(ledger: Ledger, clock: FakeClock) -> None:
    gate = threading.Event()

    def fails(c):
        events.append(c, "test", "undone", {}, clock.now())
        raise Conflict("no", subject="x")

    held = ledger.write(lambda c: gate.wait(10))
    before, failing, after = ledger.write(add(clock, "before")), ledger.write(fails), ledger.write(add(clock, "after"))
    gate.set()
    assert held.result(timeout=10) and before.result(timeout=10) and after.result(timeout=10)
    with pytest.raises(Conflict):
        failing.result(timeout=10)
    assert subjects(ledger) == ["before", "after"]


def test_what_waits_is_committed_together(ledger: Ledger, clock: FakeClock) -> None:
    gate, inside = threading.Event(), threading.Event()

    def hold(c):
        inside.set()
        return gate.wait(10)

    ledger.write(hold)
    assert inside.wait(10)
    futures = [ledger.write(lambda c, n=n: (events.append(c, "test", str(n), {}, clock.now()), c.raw.total_changes)) for n in range(100)]
    seen_before = subjects(ledger)
    gate.set()
    assert [future.result(timeout=10)[0] for future in futures] == list(range(1, 101))
    assert seen_before == []


def test_many_threads_lose_nothing(ledger: Ledger, clock: FakeClock) -> None:
    def client(k: int) -> None:
        for n in range(40):
            ledger.write(add(clock, f"{k}/{n}")).result(timeout=30)

    threads = [threading.Thread(target=client, args=(k,)) for k in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    got = subjects(ledger)
    assert sorted(got) == sorted(f"{k}/{n}" for k in range(20) for n in range(40))
    for k in range(20):
        assert [s for s in got if s.startswith(f"{k}/")] == [f"{k}/{n}" for n in range(40)]


def test_write_soon_is_stored_within_a_second_without_company(ledger: Ledger, clock: FakeClock) -> None:
    began = time.monotonic()
    future = ledger.write_soon(add(clock, "later"))
    assert future.result(timeout=5) == 1
    assert time.monotonic() - began < 1.0
    assert subjects(ledger) == ["later"]


def test_write_soon_goes_with_the_next_write_and_before_it(ledger: Ledger, clock: FakeClock) -> None:
    soon = ledger.write_soon(add(clock, "soon"))
    ledger.write(add(clock, "now")).result(timeout=10)
    assert soon.done()
    assert subjects(ledger) == ["soon", "now"]


def test_flush_stores_what_waits(ledger: Ledger, clock: FakeClock) -> None:
    for n in range(5):
        ledger.write_soon(add(clock, str(n)))
    ledger.flush()
    assert subjects(ledger) == list("01234")


def test_closing_stores_what_waits_and_then_refuses(tmp_path: Path, clock: FakeClock) -> None:
    ledger = Ledger.open(tmp_path / "x", clock)
    soon, now = ledger.write_soon(add(clock, "soon")), ledger.write(add(clock, "now"))
    ledger.close()
    ledger.close()
    assert soon.result(timeout=0) == 1 and now.result(timeout=0) == 2
    for refused in (lambda: ledger.write(add(clock, "x")), lambda: ledger.write_soon(add(clock, "x")), lambda: ledger.read(lambda c: 1)):
        with pytest.raises(Unavailable):
            refused()
    with Ledger.open(tmp_path / "x", clock) as again:
        assert subjects(again) == ["soon", "now"]


def test_a_cancelled_future_is_not_run(ledger: Ledger, clock: FakeClock) -> None:
    gate = threading.Event()
    inside = threading.Event()

    def hold(c):
        inside.set()
        return gate.wait(10)

    ledger.write(hold)
    assert inside.wait(10)
    dropped = ledger.write(add(clock, "dropped"))
    assert dropped.cancel()
    gate.set()
    ledger.flush()
    assert subjects(ledger) == []


def test_a_reader_sees_one_state_throughout(ledger: Ledger, clock: FakeClock) -> None:
    ledger.write(add(clock, "a")).result(timeout=10)

    def twice(c):
        first = len(events.since(c, 0))
        ledger.write(add(clock, "b")).result(timeout=10)
        return first, len(events.since(c, 0))

    assert ledger.read(twice) == (1, 1)
    assert len(subjects(ledger)) == 2


def test_a_reader_cannot_write(ledger: Ledger, clock: FakeClock) -> None:
    with pytest.raises(Exception, match=r"readonly|query_only|read-only"):
        ledger.read(add(clock, "x"))
    with pytest.raises(BadInput):
        ledger.read(lambda c: c.next_number())
    assert subjects(ledger) == []


def test_opened_for_reading_beside_the_writer(ledger: Ledger, clock: FakeClock) -> None:
    ledger.write(add(clock, "a")).result(timeout=10)
    with Ledger.open(ledger.folder, clock, writing=False) as beside:
        assert subjects(beside) == ["a"]
        ledger.write(add(clock, "b")).result(timeout=10)
        assert subjects(beside) == ["a", "b"]
        with pytest.raises(BadInput):
            beside.write(add(clock, "x"))


def test_reading_where_no_ledger_is(tmp_path: Path, clock: FakeClock) -> None:
    with pytest.raises(NotFound):
        Ledger.open(tmp_path, clock, writing=False)
    assert list(tmp_path.iterdir()) == []


def test_run_numbers_are_given_once_and_go_on_after_a_restart(tmp_path: Path, clock: FakeClock) -> None:
    with Ledger.open(tmp_path / "x", clock) as ledger:
        numbers: list[int] = []
        threads = [threading.Thread(target=lambda: numbers.extend(ledger.next_run_number() for _ in range(200))) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        assert sorted(numbers) == list(range(1, 1601))
    with Ledger.open(tmp_path / "x", clock) as ledger:
        assert ledger.next_run_number() == 1
