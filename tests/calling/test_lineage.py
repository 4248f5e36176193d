import polars as pl

from mlstudio_lab.data.code_refs import NoCode
from mlstudio_lab.data.graph import pack

IMPORT = [("import", "pl", "import polars as pl")]


def edges(outcome, output="return"):
    assert outcome.state == "succeeded", outcome.failure["traceback"]
    return {(e["output_column"], e["input"], e["input_column"], e["kind"]) for e in outcome.edges if e["output"] == output}


def test_lazy_plans_are_read_exactly(bench):
    flights = pl.DataFrame({"dest": ["a", "b", "a"], "delay": [1, 2, 3], "tail": ["x", "y", "z"]})
    source = "def f(flights, least):\n    return flights.lazy().filter(pl.col('delay') > 0).group_by('dest').agg(pl.col('delay').mean())"
    out = bench.function(source, "f", flights, 0, units=IMPORT, inputs=["flights", "least"])
    found = edges(out)
    assert ("delay", "flights", "delay", "direct") in found and ("dest", "flights", "dest", "direct") in found
    assert not any(e[2] == "tail" for e in found)
    assert isinstance(bench.values(out), pl.LazyFrame) and bench.values(out).collect().height == 2


def test_showing_a_frame_widens_nothing(bench):
    flights = pl.DataFrame({"dest": ["a"], "delay": [1], "tail": ["x"]})
    out = bench.run("late = flights.select('dest')\nlate", units=IMPORT, globals={"flights": flights}, inputs=["flights"], outputs=["late"])
    assert edges(out, "late") == {("dest", "flights", "dest", "direct")} == edges(out, "_")
    assert any(e["t"] == "result" for e in out.log)


def test_a_lazy_input_given_back_is_the_same(bench):
    lazy = pl.LazyFrame({"a": [1]})
    out = bench.run("again = lazy", units=IMPORT, globals={"lazy": lazy}, inputs=["lazy"], outputs=["again"])
    assert edges(out, "again") == {("a", "lazy", "a", "direct")} and isinstance(bench.values(out)["again"], pl.LazyFrame)


def test_a_failing_plan_is_the_persons_failure(bench):
    out = bench.function("def f(a):\n    return a.lazy().select(pl.col('nope'))", "f", pl.DataFrame({"a": [1]}), units=IMPORT, inputs=["a"])
    assert out.state == "failed" and "ColumnNotFoundError" in out.failure["type"]


def test_scalars_and_pandas_depend_on_everything(bench):
    import pandas as pd

    out = bench.run(
        "n = len(frame) + k", globals={"frame": pd.DataFrame({"a": [1], "b": [2]}), "k": 1}, inputs=["frame", "k"], outputs=["n"]
    )
    assert edges(out, "n") == {("", "frame", "a", "opaque"), ("", "frame", "b", "opaque"), ("", "k", "", "opaque")}


def test_columns_not_granted_are_not_handed_in_by_position(bench):
    frame = pl.DataFrame({"a": [1], "secret": ["s"]})
    out = bench.function("def f(d):\n    return d.columns", "f", frame, inputs=["d"], sources={"d": {"granted": ["a"]}})
    assert bench.values(out) == ["a"]
    assert pack({"x": 1}, bench.blobs, NoCode()).graph
