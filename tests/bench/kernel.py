"""One kernel's side of the hot benchmarks, in a process of its own: `kernel.py WHAT`, with MLSTUDIO_HOME set; prints JSON."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from IPython.core.interactiveshell import InteractiveShell
from measures import interleaved, milliseconds


class Kernel:
    """An IPython shell with the magics loaded, and the studio behind it."""

    def __init__(self) -> None:
        self.shell = InteractiveShell.instance()
        self.shell.run_line_magic("load_ext", "mlstudio_lab")
        import mlstudio_lab as ml

        self.studio = ml.connect()
        self._number = int(time.time() * 1000) % 10**9

    def cell(self, source: str, *, name: str = "bench/cell", options: str = "") -> None:
        """Runs one module cell; raises what it raises."""
        self.shell.run_cell_magic("module", f"{name} {options}", source)

    def fresh(self) -> int:
        """A number never used before in this home."""
        self._number += 1
        return self._number

    def executor(self, name: str) -> dict[str, Any]:
        """What the service says of one executor."""
        return next((e for e in self.studio.status()["executors"] if e["name"] == name), {})

    def until_ray(self, workers: int = 2, seconds: float = 120) -> bool:
        """Waits until Ray is hot."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.executor("ray").get("workers", 0) >= workers and self.executor("ray")["ready"]:
                return True
            time.sleep(0.1)
        return False


def bare_actor(home: Path) -> Callable[[], Any]:
    """A bare Ray actor on the studio's own head that runs new source each call, and a call of it."""
    from mlstudio_lab.adapters import ray_head

    runtime = Path(json.loads((home / "service.json").read_text())["runtime"])
    environment = ray_head.environment(runtime)
    os.environ.clear()
    os.environ.update(environment)
    head = ray_head.find(runtime)
    assert head is not None
    import ray

    ray.init(address=head.address, log_to_driver=False, configure_logging=False, namespace="bare")

    class Bare:
        def run(self, source: str) -> object:
            names = {"__name__": "bare"}
            exec(source, names)
            return names["y"]

    actor = ray.remote(num_cpus=0)(Bare).remote()
    numbers = iter(range(1, 1 << 30))
    return lambda: ray.get(actor.run.remote(f"y = {next(numbers)}"))


def new_code(kernel: Kernel) -> dict[str, float]:
    """No-op cells with new code, on Ray and on a local worker, beside a bare actor."""
    calls: dict[str, Callable[[], Any]] = {
        "local": lambda: kernel.cell(f"y = {kernel.fresh()}", name="bench/local", options="--where local")
    }
    if kernel.until_ray():
        calls["ray"] = lambda: kernel.cell(f"y = {kernel.fresh()}", name="bench/ray", options="--where ray")
        calls["bare"] = bare_actor(Path(os.environ["MLSTUDIO_HOME"]))
    return interleaved(calls, rounds=12, each=10, warm=10)


def hits(kernel: Kernel) -> dict[str, float]:
    """Memo hits with small arguments and with a 100 MB frame, beside joblib."""
    import joblib
    import numpy as np
    import polars as pl

    rng = np.random.default_rng(7)
    frame = pl.DataFrame({f"c{i}": rng.standard_normal(1_250_000) for i in range(10)})
    names = kernel.shell.user_ns
    names.update(frame=frame, pl=pl)
    kernel.cell("def add(a, b):\n    return a + b", name="bench/add")
    kernel.cell("def total(frame):\n    return float(frame['c0'].sum())", name="bench/total")
    add, total = names["add"], names["total"]
    memory = joblib.Memory(os.environ["MLSTUDIO_HOME"] + "-joblib", verbose=0)

    def plain_add(a: int, b: int) -> int:
        return a + b

    def plain_total(frame: Any) -> float:
        return float(frame["c0"].sum())

    joblib_add, joblib_total = memory.cache(plain_add), memory.cache(plain_total)
    small = {
        "small": lambda: add(1, 2),
        "small_cell": lambda: kernel.cell("z = 1 + 2", name="bench/hit"),
        "small_joblib": lambda: joblib_add(1, 2),
    }
    big = {"frame": lambda: total(frame), "frame_joblib": lambda: joblib_total(frame)}
    return interleaved(small, rounds=20, each=10) | interleaved(big, rounds=7, warm=2)


def publish(kernel: Kernel) -> dict[str, float]:
    """New versions published, and a wheel made."""

    def one() -> Any:
        number = kernel.fresh()
        return kernel.studio.modules.publish(f"def f(x):\n    return x + {number}\n", name="bench/published")

    taken = interleaved({"publish": one}, rounds=40)
    versions = [one() for _ in range(10)]
    wheels = [milliseconds(lambda v=version: v.wheel) for version in versions]
    return taken | {"wheel": sorted(wheels)[5]}


def dataset(kernel: Kernel) -> dict[str, float]:
    """A polars module on a registered dataset against the same plan on the same frame: under and over a second of work."""
    import numpy as np
    import polars as pl

    rng = np.random.default_rng(3)
    rows = 6_000_000
    frame = pl.DataFrame(
        {
            "k": rng.integers(0, 400_000, rows),
            "g": rng.integers(0, 50, rows),
            "v": rng.standard_normal(rows),
            "w": rng.standard_normal(rows),
        }
    )
    registered = kernel.studio.datasets.add("bench/rows", frame)
    light = "t.filter(pl.col('v') > 0).group_by('g').agg(pl.col('w').sum()).sort('g')"
    heavy = (
        "t.sort('v').with_columns(r=pl.col('w').rank().over('k'), m=pl.col('v').cum_sum().over('k'))"
        ".group_by('k').agg(pl.col('r').mean(), pl.col('m').max()).sort('k').head(10)"
    )
    names = kernel.shell.user_ns
    names["pl"] = pl
    result = {}
    for label, plan, rounds in (("light", light, 7), ("heavy", heavy, 3)):
        kernel.cell(
            f"import polars as pl\ndef {label}(t):\n    t = t.lazy()\n    return {plan}", name=f"bench/{label}", options="--no-reuse"
        )
        function = names[label]
        plain = eval(f"lambda t: (lambda t: {plan}.collect())(t.lazy())", {"pl": pl})
        calls = {label: lambda f=function: _frame(f(registered)), f"{label}_plain": lambda p=plain: p(frame)}
        result |= interleaved(calls, rounds=rounds, warm=1)
    return result


def _frame(value: Any) -> Any:
    return value.collect() if hasattr(value, "collect") else value


def main() -> None:
    """Does one benchmark and prints its figures."""
    kernel = Kernel()
    with contextlib.redirect_stdout(io.StringIO()):
        figures = {"new_code": new_code, "hits": hits, "publish": publish, "dataset": dataset}[sys.argv[1]](kernel)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
