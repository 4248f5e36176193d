"""`mlstudio bench`: every budget of the design page that exists yet, measured in homes of its own; under three minutes.

Budgets are compared with a home in memory, so that they speak of our code; what the disk's fsync adds is a column of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).parent))

from measures import Figure, fresh_python, interleaved, pss_mb, within

HERE: Final = Path(__file__).parent
MEMORY: Final = Path("/dev/shm")


class Homes:
    """Temporary homes on disk and in memory; `close` stops what runs in them."""

    def __init__(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="mlsb-"))
        self.disk = self.root / "disk"
        in_memory = MEMORY.is_dir() and os.access(MEMORY, os.W_OK)
        self.memory = Path(tempfile.mkdtemp(prefix="mlsb-", dir=MEMORY)) / "home" if in_memory else self.disk
        self._used: list[Path] = []

    def environment(self, home: Path, **more: str) -> dict[str, str]:
        """Variables of a process that works in a home."""
        if home not in self._used:
            self._used.append(home)
        return {"MLSTUDIO_HOME": str(home), "MLSTUDIO_RUNTIME": str(self.root), **more}

    def kernel(self, what: str, home: Path) -> dict[str, float]:
        """What a kernel process of that home measured."""
        command = [sys.executable, str(HERE / "kernel.py"), what]
        done = subprocess.run(command, env=os.environ | self.environment(home), capture_output=True, text=True, timeout=170, check=False)
        if done.returncode:
            raise RuntimeError(done.stderr[-3000:])
        figures: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
        return figures

    def both(self, what: str) -> tuple[dict[str, float], dict[str, float]]:
        """The same in memory, and what the disk adds to each."""
        quick = self.kernel(what, self.memory)
        slow = self.kernel(what, self.disk) if self.disk != self.memory else quick
        return quick, {name: slow[name] - quick[name] for name in quick}

    def down(self, home: Path) -> None:
        """Stops the studio of a home."""
        command = [sys.executable, "-m", "mlstudio_lab.front.cli", "down", "--json"]
        script = "from mlstudio_lab.front.cli import main; import sys; sys.argv=['mlstudio','down']; main()"
        command = [sys.executable, "-c", script]
        subprocess.run(command, env=os.environ | self.environment(home), capture_output=True, timeout=60, check=False)

    def close(self) -> None:
        """Stops every studio and removes everything."""
        for home in self._used:
            self.down(home)
        shutil.rmtree(self.root, ignore_errors=True)
        if self.memory.parent != self.root:
            shutil.rmtree(self.memory.parent, ignore_errors=True)


def load_ext(homes: Homes) -> list[Figure]:
    """`%load_ext mlstudio_lab` in a kernel, and that nothing heavy came with it."""
    heavy = ("ray", "mlflow", "pandas", "papermill", "polars", "pyarrow", "sqlalchemy", "fastapi")
    script = (
        "import sys, time\nfrom IPython.core.interactiveshell import InteractiveShell\ns = InteractiveShell.instance()\n"
        "began = time.perf_counter(); s.run_line_magic('load_ext', 'mlstudio_lab'); took = time.perf_counter() - began\n"
        f"print(took * 1e3, *(m for m in {heavy!r} if m in sys.modules))"
    )
    said = [fresh_python(script, **homes.environment(homes.memory)).split() for _ in range(5)]
    figure = within("load_ext", "%load_ext mlstudio_lab", statistics.median(float(words[0]) for words in said), "ms", 100)
    if found := said[-1][1:]:
        figure.met, figure.budget = False, f"100 ms, without {', '.join(found)}"
    return [figure]


def from_nothing(homes: Homes) -> list[Figure]:
    """A service ready from nothing, and a first result from nothing."""
    connect = "import time, mlstudio_lab as ml\nbegan = time.perf_counter(); ml.connect().status(); print(time.perf_counter() - began)"
    first = (
        "import time\nfrom IPython.core.interactiveshell import InteractiveShell\ns = InteractiveShell.instance()\nbegan = time.perf_counter()\n"
        "s.run_line_magic('load_ext', 'mlstudio_lab'); s.run_cell_magic('module', 'bench/first', 'y = 1')\n"
        "assert s.user_ns['y'] == 1; print(time.perf_counter() - began)"
    )
    ready, result = [], []
    for n in range(3):
        for taken, script in ((ready, connect), (result, first)):
            home = homes.root / f"nothing-{n}-{len(taken)}-{script == first}"
            taken.append(float(fresh_python(script, **homes.environment(home))))
            homes.down(home)
    return [
        within("from_nothing", "service ready from nothing", statistics.median(ready), "s", 2),
        within("from_nothing", "a no-op cell's result from nothing", statistics.median(result), "s", 3),
    ]


def publish(homes: Homes) -> list[Figure]:
    """Source to published version; the wheel on demand."""
    quick, fsync = homes.both("publish")
    figure = within("publish", "source -> published version", quick["publish"], "ms", 5)
    figure.fsync_ms = fsync["publish"]
    return [figure, within("publish", "the wheel on demand", quick["wheel"], "ms", 10)]


def new_code(homes: Homes) -> list[Figure]:
    """No-op cells with new code, kernel to kernel, recorded."""
    quick, fsync = homes.both("new_code")
    found = []
    for where in ("ray", "local"):
        if where in quick:
            figure = Figure(
                "new_code", f"no-op with new code, kernel to kernel ({where})", quick[where], "ms", "4x" if where == "ray" else ""
            )
            figure.fsync_ms = fsync[where]
            if "bare" in quick:
                figure.beside("bare Ray actor", quick["bare"], 4 if where == "ray" else None)
            found.append(figure)
    return found


def hits(homes: Homes) -> list[Figure]:
    """Memo hits, kernel to kernel."""
    quick, fsync = homes.both("hits")
    found = [
        within("hits", "memo hit, small arguments", quick["small"], "ms", 0.6).beside("joblib", quick["small_joblib"]),
        Figure("hits", "memo hit, a cell", quick["small_cell"], "ms"),
        within("hits", "memo hit, 100 MB frame", quick["frame"], "ms", 30).beside("joblib", quick["frame_joblib"]),
    ]
    for figure, name in zip(found, ("small", "small_cell", "frame"), strict=True):
        figure.fsync_ms = fsync[name]
    return found


def memory(homes: Homes) -> list[Figure]:
    """Idle memory of the service; of Ray's head, bridge and two warm workers."""
    from mlstudio_lab.adapters import processes, ray_head

    script = (
        "import time, json, mlstudio_lab as ml\ns = ml.connect()\n"
        "def ray(): return next((e for e in s.status()['executors'] if e['name'] == 'ray'), {})\n"
        "end = time.monotonic() + 100\nwhile time.monotonic() < end and ray().get('workers', 0) < 2: time.sleep(0.2)\nprint(json.dumps(ray()))"
    )
    ray = json.loads(fresh_python(script, **homes.environment(homes.memory)))
    pointer = json.loads((homes.memory / "service.json").read_text())
    found = [within("memory", "idle memory: service", pss_mb([pointer["pid"]]), "MB", 150)]
    head = ray_head.find(Path(pointer["runtime"]))
    if head is not None:
        pids = [p.pid for p in processes.in_session(head.session)]
        found.append(
            within("memory", f"idle memory: Ray head, bridge, {ray['workers']} workers", pss_mb([*pids, ray["bridge"]]), "MB", 900)
        )
    locals_ = [p for p in processes.below(pointer["pid"]) if p != ray.get("bridge")]
    found.append(Figure("memory", "idle memory: local workers", pss_mb(locals_), "MB"))
    return found


def dataset(homes: Homes) -> list[Figure]:
    """A polars module on a registered dataset against plain polars."""
    quick = homes.kernel("dataset", homes.memory)
    light = Figure("dataset", "polars on a dataset, below a second of work", quick["light"], "ms", "1.1x + 20 ms").beside(
        "plain polars", quick["light_plain"]
    )
    light.met = light.value <= 1.1 * light.peer_value + 20
    heavy = Figure("dataset", "polars on a dataset, above a second of work", quick["heavy"], "ms", "1.1x").beside(
        "plain polars", quick["heavy_plain"], 1.1
    )
    return [light, heavy]


def lineage(homes: Homes) -> list[Figure]:
    """Column lineage of a plan of 200 columns and 50 nodes."""
    import polars as pl

    from mlstudio_lab.data.lineage import Tracker

    columns = [f"c{i}" for i in range(200)]
    frame = pl.LazyFrame({name: [1.0, 2.0] for name in columns})

    def build(plan: Any) -> Any:
        for n in range(50):
            plan = plan.with_columns((pl.col(columns[n]) + pl.col(columns[(n * 7 + 1) % 200])).alias(columns[(n * 3 + 2) % 200]))
        return plan

    def trace() -> None:
        tracker = Tracker()
        tracked = tracker.track("t", frame)
        with tracker:
            plan = build(tracked)
        tracker.edges({"return": plan}, {})

    taken = interleaved({"traced": trace, "built": lambda: build(frame)}, rounds=9)
    return [within("lineage", "column lineage, 200 columns x 50 nodes", taken["traced"] - taken["built"], "ms", 50)]


def ledger(homes: Homes) -> list[Figure]:
    """The slowest interactive question's 95th percentile on a filled ledger, a twentieth of full size here."""
    folder = homes.root / "ledger"
    command = [sys.executable, str(HERE / "ledger_full.py"), str(folder), "--scale", "0.03", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=170, check=False)
    found = json.loads(done.stdout)["ms"]
    name, row = max(found.items(), key=lambda item: item[1]["p95"])
    return [within("ledger", f"ledger (3 % of full size), slowest p95: {name}", row["p95"], "ms", 50)]


BENCHES: Final[dict[str, Callable[[Homes], list[Figure]]]] = {
    "load_ext": load_ext,
    "from_nothing": from_nothing,
    "publish": publish,
    "new_code": new_code,
    "hits": hits,
    "memory": memory,
    "dataset": dataset,
    "lineage": lineage,
    "ledger": ledger,
}


def main() -> int:
    """Runs the benchmarks that were asked for."""
    parser = argparse.ArgumentParser(prog="mlstudio bench", description=__doc__)
    parser.add_argument("--only", action="append", choices=list(BENCHES), metavar="NAME", help=f"one of {', '.join(BENCHES)}")
    parser.add_argument("--out", type=Path, help="where the figures go as JSON")
    options = parser.parse_args()
    began, figures, notes = time.monotonic(), [], []
    homes = Homes()
    try:
        for name in options.only or BENCHES:
            print(f"{time.monotonic() - began:4.0f} s  {name} …", flush=True)
            try:
                figures += BENCHES[name](homes)
            except Exception as error:  # one benchmark that cannot run must not hide the others' figures
                notes.append(f"{name} did not run: {str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__}")
    finally:
        homes.close()
    load = os.getloadavg()[0]
    notes.append(
        f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}, load {load:.1f}: trust ratios, not absolutes"
    )
    if homes.memory != homes.disk:
        notes.append("compared in a home in memory; the fsync column is what a home on disk adds")
    text = json.dumps({"ok": not any(f.met is False for f in figures), "figures": [asdict(f) for f in figures], "notes": notes})
    if options.out:
        options.out.write_text(text)
    else:
        print(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
