"""Every interactive question is answered from an index, so that it stays fast when the ledger is full.

`tests/bench/ledger_full.py` measures it at full size; here SQLite is asked how it would go about each of its questions.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from mlstudio_lab.ledger.ledger import Ledger
from mlstudio_lab.testing import FakeClock

BENCH = Path(__file__).parents[1] / "bench" / "ledger_full.py"
WALKS = {
    # Newest first by the primary key, ended by LIMIT.
    "runs: newest 100": {"runs"},
    # A few thousand names are searched for a part of one.
    "modules: first page": {"modules"},
    "modules: search": {"modules"},
    "modules: all names": {"modules"},
    "datasets: first page": {"datasets"},
    "datasets: search": {"datasets"},
    # An index of the open ones alone.
    "attempts: open": {"attempts"},
    # One row for each distinct set of labels, ended by the first.
    "labels: any asserted": {"label_sets"},
}
"""Which tables a question may walk, and why that is not a scan of everything."""


@pytest.fixture(scope="module")
def bench() -> Any:
    spec = importlib.util.spec_from_file_location("ledger_full", BENCH)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["ledger_full"] = module
    spec.loader.exec_module(module)
    return module


def test_no_question_reads_a_whole_table(tmp_path: Path, bench: Any) -> None:
    clock = FakeClock()
    with Ledger.open(tmp_path, clock) as ledger:
        assert list(bench.Fill(ledger, clock, 0.0005).all())
        asked = 0
        for name, ask in bench.queries(ledger).items():
            statements: list[str] = []

            def watched(c: Any, ask: Any = ask, statements: list[str] = statements) -> None:
                c.raw.set_trace_callback(statements.append)
                try:
                    ask(c, 3)
                finally:
                    c.raw.set_trace_callback(None)

            ledger.read(watched)
            for statement in statements:
                if not statement.lstrip().upper().startswith(("SELECT", "WITH")):
                    continue
                asked += 1
                plan = [row[3] for row in ledger.read(lambda c, s=statement: c.raw.execute(f"EXPLAIN QUERY PLAN {s}").fetchall())]
                for line in plan:
                    scan = re.match(r"SCAN (\w+)", line)
                    if scan and "VIRTUAL TABLE" not in line and scan[1] not in ("anon_1", "CONSTANT", *WALKS.get(name, ())):
                        raise AssertionError(f"{name}: {line}\n{statement}")
        assert asked > 40


def test_the_measurement_runs(tmp_path: Path, bench: Any) -> None:
    clock = FakeClock()
    with Ledger.open(tmp_path, clock) as ledger:
        assert list(bench.Fill(ledger, clock, 0.0005).all())
        figures = bench.measure(ledger, times=2)
    assert len(figures) > 30 and all(set(row) == {"p50", "p95", "worst", "cpu_p95"} for row in figures.values())
