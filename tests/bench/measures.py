"""How a figure is taken: medians, interleaved with its peer, and what the disk's fsync adds told apart."""

from __future__ import annotations

import gc
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any


@dataclass
class Figure:
    """One line of the table.

    Attributes:
        name: Of the benchmark that took it.
        what: For people.
        value, unit: The median.
        budget: As the design page says it.
        met: Whether the budget is met; None where there is none.
        peer, peer_value: What was measured beside it, in the same unit.
        ratio: value / peer_value.
        fsync_ms: What the disk adds: the same on the home's disk minus in memory.
    """

    name: str
    what: str
    value: float
    unit: str
    budget: str = ""
    met: bool | None = None
    peer: str = ""
    peer_value: float = 0.0
    ratio: float | None = None
    fsync_ms: float | None = None

    def beside(self, peer: str, value: float, most: float | None = None) -> Figure:
        """The same with its peer; `most` is the budget as a ratio."""
        self.peer, self.peer_value, self.ratio = peer, value, self.value / value if value else None
        if most is not None and self.ratio is not None:
            self.met = self.ratio <= most
        return self


def within(name: str, what: str, value: float, unit: str, budget: float, text: str = "") -> Figure:
    """A figure with an absolute budget."""
    return Figure(name, what, value, unit, text or f"{budget:g} {unit}", value <= budget)


def milliseconds(call: Callable[[], Any]) -> float:
    """How long one call took."""
    began = perf_counter()
    call()
    return (perf_counter() - began) * 1e3


def interleaved(calls: dict[str, Callable[[], Any]], rounds: int, each: int = 1, warm: int = 3) -> dict[str, float]:
    """Medians in milliseconds of several calls, taken in turns so that a busy moment hits all of them."""
    for call in calls.values():
        for _ in range(warm):
            call()
    taken: dict[str, list[float]] = {name: [] for name in calls}
    gc.collect()
    for _ in range(rounds):
        for name, call in calls.items():
            taken[name] += [milliseconds(call) for _ in range(each)]
    return {name: statistics.median(values) for name, values in taken.items()}


def p95(values: Iterable[float]) -> float:
    """The 95th percentile."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))]


def pss_mb(pids: Iterable[int]) -> float:
    """Proportional set size of processes together: shared pages count once."""
    total = 0
    for pid in pids:
        try:
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
        except OSError:
            # No /proc: resident size is what ps tells.
            text = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
            total += int(text or 0)
    return total / 1024


def fresh_python(script: str, **environment: str) -> str:
    """What a new interpreter prints; compiled files are there, as after an installation."""
    done = subprocess.run(
        [sys.executable, "-c", script], env=os.environ | environment, capture_output=True, text=True, timeout=120, check=False
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return done.stdout.strip().splitlines()[-1]
