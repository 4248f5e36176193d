"""What following columns costs; `python -m tests.lineage.test_cost` prints the figures."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import polars as pl

from mlstudio_lab.data.lineage import Tracker

c = pl.col


def wide() -> pl.LazyFrame:
    return pl.LazyFrame({f"c{number}": [1.0, 2.0] for number in range(200)})


def pipeline(plan: Any) -> Any:
    """Fifty nodes over 200 columns, as feature code looks: a few columns a step."""
    for step in range(49):
        match step % 4:
            case 0:
                plan = plan.with_columns((c(f"c{step}") * c(f"c{step + 1}")).alias(f"c{step + 50}"), c(f"c{step + 2}").fill_null(0))
            case 1:
                plan = plan.filter(c(f"c{step}") > 0)
            case 2:
                plan = plan.with_columns(c(f"c{step}").sum().over(c(f"c{step + 3}")))
            case _:
                plan = plan.with_columns(pl.when(c(f"c{step}") > 1).then(c(f"c{step + 60}")).otherwise(0.0).alias(f"c{step + 61}"))
    return plan.sort("c7")


def dense(plan: Any) -> Any:
    """Fifty nodes of which every second makes all 200 columns anew."""
    for step in range(24):
        plan = plan.with_columns((c(f"c{n}") * c(f"c{(n + step) % 200}")).alias(f"c{n}") for n in range(200)).filter(c(f"c{step}") > 0)
    return plan.sort("c7").head(5)


def followed(build: Callable[[Any], Any]) -> tuple[Tracker, Any]:
    tracker = Tracker()
    frame = tracker.track("f", wide())
    with tracker:
        return tracker, build(frame)


def seconds(work: Callable[[], object], clock: Callable[[], float] = time.process_time, times: int = 9) -> float:
    best = float("inf")
    for _ in range(times):
        start = clock()
        work()
        best = min(best, clock() - start)
    return best


def test_a_plan_of_200_columns_and_50_nodes_is_read_within_its_budget() -> None:
    tracker, out = followed(pipeline)
    edges, why = tracker.edges({"return": out}, {})
    assert len(edges) > 200 * 10
    assert why == []
    # Processor time of this process, the best of several: the budget is for a quiet machine.
    assert seconds(lambda: tracker.edges({"return": out}, {})) < 0.05


def test_watching_costs_little_to_start_and_to_stop() -> None:
    def nothing() -> None:
        with Tracker():
            pass

    assert seconds(nothing) < 0.005


def figures() -> None:
    """Prints the cost of reading plans, and of running followed code beside the same code alone."""
    for build in (pipeline, dense):
        tracker, out = followed(build)
        number = len(tracker.edges({"return": out}, {})[0])
        milliseconds = seconds(lambda: tracker.edges({"return": out}, {})) * 1e3  # noqa: B023
        print(f"{build.__name__:10} 200 columns x 50 nodes: {milliseconds:6.1f} ms for {number:,} edges")
    for rows in (1_000, 5_000_000):
        frame = pl.DataFrame({"g": pl.int_range(rows, eager=True) % 100, "x": pl.int_range(rows, eager=True) * 0.5})
        for name, code in (
            ("lazy", lambda f: f.lazy().filter(c("x") > 9).group_by("g").agg(c("x").sum()).collect()),
            ("eager", lambda f: f.with_columns(z=c("x") * 2).filter(c("x") > 9).group_by("g").agg(c("z").sum())),
        ):
            alone = seconds(lambda: code(frame), time.perf_counter, 15)  # noqa: B023
            tracker = Tracker()
            seen = tracker.track("f", frame.clone())
            with tracker:
                watched = seconds(lambda: code(seen), time.perf_counter, 15)  # noqa: B023
            print(f"{name:6} {rows:>9,} rows: alone {alone * 1e3:7.2f} ms, followed {watched * 1e3:7.2f} ms, ratio {watched / alone:.2f}")


if __name__ == "__main__":
    figures()
