import threading
import time
from types import SimpleNamespace

import polars as pl
import pytest
from bench_rig import bundle

from mlstudio_lab.calling.in_kernel import KernelTask, execute_in_kernel
from mlstudio_lab.calling.observe.wraps import Wraps
from mlstudio_lab.data.code_refs import NoCode


def captured(main, inputs=None, **parts):
    return SimpleNamespace(
        bundle=bundle(main, **parts), inputs=inputs or {}, origins={"main": ["/nb/cell-3.py", 1]}, code=NoCode(), env_reads={}
    )


@pytest.fixture
def run(bench):
    Wraps.take_away()

    def go(code, namespace, **options):
        limits = {k: options.pop(k) for k in ("seed", "timeout_s", "outputs") if k in options}
        task = KernelTask("0" * 26, "a1", 1, "demo/x", str(bench.home), **limits)
        return execute_in_kernel(code, namespace, task=task, blobs=bench.blobs, emit=bench.events.append, **options)

    return go


def test_cell_runs_in_the_namespace(run, bench, capsys):
    namespace = {"x": 1, "gen": (i for i in range(3))}
    done = run(captured("print('hello')\ny = x + next(gen)\n", {"x": 1}), namespace)
    assert done.outcome.state == "succeeded" and done.error is None
    assert namespace["y"] == 1 and done.values == {"y": 1} and bench.values(done.outcome) == {"y": 1}
    assert done.outcome.log == [{"t": "stdout", "text": "hello\n"}] and capsys.readouterr().out == "hello\n"
    assert next(namespace["gen"]) == 1


def test_function_returns_the_live_value(run):
    namespace = {}
    exec("def f(n):\n    return (i for i in range(n))", namespace)
    done = run(captured("def f(n):\n    return (i for i in range(n))", kind="function", entry="f", inputs=None), namespace, args=[3])
    assert list(done.values["return"]) == [0, 1, 2]
    assert done.outcome.outputs is None and [i["what"] for i in done.outcome.impurities] == ["undigestible"]


def test_failure_keeps_the_live_exception(run):
    done = run(captured("x = 1\n1 / 0"), {})
    assert isinstance(done.error, ZeroDivisionError) and done.outcome.state == "failed"
    assert done.outcome.failure["frames"] == [["/nb/cell-3.py", 2, "<module>", "", 1]]


def test_wraps_are_gone_afterwards(run):
    before = (time.time, pl.read_csv, __builtins__["__import__"] if isinstance(__builtins__, dict) else __builtins__.__import__)
    namespace = {"now": time.time}
    done = run(captured("y = now()"), namespace)
    assert [i["what"] for i in done.outcome.impurities] == ["clock"]
    assert namespace["now"] is before[0] is time.time and pl.read_csv is before[1]


def test_other_threads_of_the_kernel_are_not_observed(run, tmp_path):
    go, done_reading = threading.Event(), threading.Event()
    (tmp_path / "x").write_text("x")

    def other():
        go.wait(10)
        (tmp_path / "x").read_text()
        done_reading.set()

    thread = threading.Thread(target=other)
    thread.start()
    done = run(captured("go.set()\nready.wait(10);"), {"go": go, "ready": done_reading})
    thread.join()
    assert "files" not in done.outcome.effects


def test_seed_leaves_the_sessions_generators_alone(run):
    import random

    random.seed(5)
    expected = random.Random(5).random()
    one = run(captured("import random\ny = random.random()"), {}, seed=1).values["y"]
    assert run(captured("import random\ny = random.random()"), {}, seed=1).values["y"] == one
    assert random.random() == expected


def test_timeout(run):
    began = time.monotonic()
    done = run(captured("import time\ntime.sleep(30)"), {}, timeout_s=0.2)
    assert done.outcome.state == "timed_out" and time.monotonic() - began < 5


def test_dataset_handles_stay_handles(run):
    handle = object()
    namespace = {"flights": handle}
    done = run(captured("n = flights.height"), namespace, datasets={"flights": pl.DataFrame({"a": [1, 2]})})
    assert namespace["n"] == 2 and namespace["flights"] is handle and list(done.values) == ["n"]


@pytest.mark.parametrize("source, told", [("items.append(2)", "`items`"), ("del items\nx = 1", "`items`")])
def test_changes_of_the_live_objects_keep_a_run_from_standing_for_another(run, source, told):
    namespace = {"items": [1]}
    done = run(captured(source, {"items": namespace["items"]}), namespace)
    assert [i["what"] for i in done.outcome.impurities] == ["session"] and told in done.outcome.impurities[0]["detail"]
