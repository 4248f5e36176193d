import polars as pl


def text(outcome, stream="stdout"):
    return "".join(e["text"] for e in outcome.log if e["t"] == stream)


def test_function_returns_what_it_returned(bench):
    out = bench.function("def add(a, b=2):\n    return a + b\n", "add", 40)
    assert bench.values(out) == 42
    assert out.impurities == [] and out.missing == [] and out.effects == {}


def test_cell_binds_names_and_shows_its_last_value(bench):
    out = bench.run("y = x + 1\nprint('hello')\ny * 2", globals={"x": 1}, inputs=["x"], outputs=["y"])
    assert bench.values(out) == {"y": 2, "_": 4}
    assert text(out) == "hello\n"
    assert [e["data"]["text/plain"] for e in out.log if e["t"] == "result"] == ["4"]


def test_semicolon_hides_the_last_value(bench):
    out = bench.run("y = 1\ny;")
    assert bench.values(out) == {"y": 1}
    assert out.log == []


def test_frames_in_and_out(bench):
    out = bench.run(
        "b = a.with_columns(z=pl.col('x') * 2)",
        units=[("import", "pl", "import polars as pl")],
        globals={"a": pl.DataFrame({"x": [1, 2]})},
        inputs=["a"],
        outputs=["b"],
    )
    assert bench.values(out)["b"].to_dict(as_series=False) == {"x": [1, 2], "z": [2, 4]}
    assert {(e["output_column"], e["input_column"]) for e in out.edges} >= {("z", "x")}


def test_exception_shows_the_persons_line(bench):
    out = bench.function("def f(x):\n    y = x\n    return 1 / y\n", "f", 0, origins={"main": ["/nb/cell-7.py", 5]})
    assert out.state == "failed"
    assert out.failure["type"] == "builtins.ZeroDivisionError"
    assert out.failure["frames"] == [["/nb/cell-7.py", 7, "f", "return 1 / y", 5]]
