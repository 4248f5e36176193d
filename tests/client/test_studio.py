"""The Python interface against a real service with real workers."""

import subprocess
import sys
import zipfile

import polars as pl
import pytest

from mlstudio_lab.client.calls import ModuleHandle, module
from mlstudio_lab.client.datasets import Dataset
from mlstudio_lab.client.session import Session
from mlstudio_lab.client.studio import Studio, connect, opened
from mlstudio_lab.core.errors import (
    BadInput,
    BadName,
    CannotCross,
    CaptureRefused,
    Conflict,
    NotFound,
    RunCancelled,
    RunTimedOut,
)
from mlstudio_lab.settings import Settings

RATE = 3


def triple(x: int, extra: int = 1) -> int:
    """Three times x, and some."""
    return _times(x) + extra


def _times(x):
    return x * RATE


def late(frame: pl.LazyFrame, least: int = 10) -> pl.LazyFrame:
    return frame.filter(pl.col("delay") > least).select("plane", "delay")


def fails(x):
    return 1 // x


def sleeps(seconds: float):
    import time

    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.01)
    return "slept"


FLIGHTS = pl.DataFrame({"plane": ["N1", "N2", "N3"], "delay": [5, 15, 25]})


@pytest.fixture(scope="module")
def flights(home):
    return connect(home=home).datasets.add("flights/flights", FLIGHTS, labels={"*": ["public"], "plane": ["confidential"]})


def test_publish_then_call_gives_what_the_function_gives(studio):
    version = studio.modules.publish(triple, name="math/triple")
    assert (version.ref, version.number) == ("math/triple@v1", 1) and len(version.id) == 64
    handle = studio.module("math/triple@latestAlpha")
    assert isinstance(handle, ModuleHandle)
    assert (handle(2), handle(2, extra=5), handle(extra=0, x=4)) == (7, 11, 12)
    assert (handle.ref, handle.id, handle.name) == ("math/triple@v1", version.id, "math/triple")
    assert "triple(x: int, extra: int = 1)" in repr(handle)


def test_the_same_source_is_the_same_version(studio):
    assert studio.modules.publish(triple, name="math/triple").id == studio.modules.publish(triple, name="math/triple").id


def test_publish_takes_source_text_too(studio):
    version = studio.modules.publish("def double(x):\n    return x * 2\n", name="math/double")
    assert studio.module("math/double")(21) == 42 and version.source.startswith("def double")
    with pytest.raises(CaptureRefused):
        studio.modules.publish("def (", name="math/broken")


def test_a_run_tells_what_why_and_what_came_of_it(studio):
    studio.modules.publish(triple, name="math/triple")
    handle = studio.module("math/triple")
    first = handle.submit(1001)
    assert first.result() == 3004 and first.state == "succeeded" and not first.reused
    assert first.why.startswith("ran:") and first.outputs == {"return": 3004}
    again = handle.submit(x=1001, extra=1)
    assert again.result() == 3004 and again.reused and f"run {first.number}" in again.why
    assert again.number == first.number + 1 and again.id != first.id
    assert repr(again) == f"Run({again.number}, math/triple v1, reused)"


def test_a_clone_changes_what_is_named_and_carries_the_rest(studio):
    run = studio.module("math/triple").submit(7, extra=100)
    assert run.result() == 121
    clone = run.clone(extra=0)
    assert clone.result() == 21 and clone.view["cloned_from"] == run.number
    with pytest.raises(BadInput) as caught:
        run.clone(extr=0)
    assert "extra" in caught.value.hint
    with pytest.raises(BadInput, match="DataFrame"):
        run.clone(x=FLIGHTS)
    assert run.rerun(reuse=False).result() == 121


def test_a_dataset_is_its_content_with_labels(studio, flights):
    assert isinstance(flights, Dataset) and flights.rows == 3
    assert list(flights.schema) == ["plane", "delay"]
    assert flights.labels == {"plane": ["confidential"], "delay": ["public"]}
    assert flights.collect().equals(FLIGHTS) and flights.lazy().collect().equals(FLIGHTS)
    assert flights.to_pandas()["delay"].tolist() == [5, 15, 25]
    again = studio.datasets.add("flights/flights", FLIGHTS)
    assert again.version == flights.version and again.number == flights.number
    assert studio.datasets.get(f"flights/flights@v{flights.number}").version == flights.version
    assert "flights/flights" in [d.name for d in studio.datasets.list()]
    assert flights.head(2)["rows"][0] == ["N1", "5"]


def test_an_older_version_shows_its_own_rows(studio):
    old = studio.datasets.add("shown/rows", pl.DataFrame({"n": [1]}))
    new = studio.datasets.add("shown/rows", pl.DataFrame({"n": [2], "m": [3]}))
    assert (old.number, new.number) == (1, 2)
    assert studio.datasets.get("shown/rows@v1").head()["rows"] == [["1"]]
    assert studio.datasets.get("shown/rows").head()["rows"] == [["2", "3"]]
    assert len(old.lineage("n")) == 0
    with pytest.raises(BadInput):
        old.lineage("m")


def test_a_dataset_goes_in_by_reference_and_its_label_comes_out(studio, flights):
    studio.modules.publish(late, name="flights/late")
    run = studio.module("flights/late").submit(flights, least=10)
    assert run.result().collect()["plane"].to_list() == ["N2", "N3"]
    assert [w["column"] for w in run.view["warnings"]] == ["plane"]
    edges = {(e.output_column, e.input, e.input_column, e.kind) for e in run.lineage()}
    assert ("plane", "flights/flights", "plane", "direct") in edges
    assert ("plane", "flights/flights", "delay", "indirect") in edges
    assert {e.output_column for e in run.lineage(column="plane")} == {"plane"}
    assert ("flights/flights", "plane") in run.lineage().sources("plane")
    down = studio.datasets.get("flights/flights").lineage("plane", direction="down")
    assert down.direction == "down" and len(down) >= 1


@pytest.mark.parametrize("kind", ["csv", "parquet", "ipc", "ndjson"])
def test_files_become_datasets(studio, tmp_path, kind):
    path = tmp_path / f"planes.{'arrow' if kind == 'ipc' else kind}"
    getattr(FLIGHTS, f"write_{kind}")(path)
    assert studio.datasets.add(f"files/{kind}", path).collect().equals(FLIGHTS)


def test_what_is_no_dataset_is_refused_with_the_next_step(studio, tmp_path):
    (tmp_path / "planes.csv").write_text("a,b\n1,2\n")
    with pytest.raises(NotFound) as caught:
        studio.datasets.add("files/x", str(tmp_path / "plans.csv"))
    assert "planes.csv" in caught.value.hint
    with pytest.raises(BadInput, match="no kind that can be read"):
        (tmp_path / "a.xlsx").write_bytes(b"")
        studio.datasets.add("files/x", str(tmp_path / "a.xlsx"))
    with pytest.raises(BadInput) as caught:
        studio.datasets.add("files/x", FLIGHTS, labels={"plan": "confidential"})
    assert "plane" in caught.value.hint
    with pytest.raises(BadInput, match="not a table"):
        studio.datasets.add("files/x", 3)
    with pytest.raises(BadName):
        studio.datasets.add("../x", FLIGHTS)


def test_misspelt_names_get_near_matches(studio, flights):
    studio.modules.publish(triple, name="math/triple")
    with pytest.raises(NotFound) as caught:
        studio.module("math/tripel")
    assert "math/triple" in caught.value.hint
    with pytest.raises(NotFound) as caught:
        studio.datasets.get("flights/flight")
    assert "flights/flights" in caught.value.hint
    with pytest.raises(BadInput) as caught:
        studio.module("math/triple")(x=1, extr=2)
    assert "extra" in caught.value.hint
    with pytest.raises(BadInput, match="missing"):
        studio.module("math/triple")()
    with pytest.raises(BadInput) as caught:
        flights.lineage("plan")
    assert "plane" in caught.value.hint
    with pytest.raises(NotFound):
        studio.runs.get(999_999)


def test_the_persons_own_exception_comes_back(studio):
    studio.modules.publish(fails, name="math/fails")
    handle = studio.module("math/fails")
    with pytest.raises(ZeroDivisionError) as caught:
        handle(0)
    assert "1 // x" in "".join(line for entry in caught.traceback for line in [str(entry)]) or caught.traceback
    run = handle.submit(0)
    with pytest.raises(ZeroDivisionError):
        run.result()
    assert run.state == "failed" and handle(2) == 0


def test_a_run_can_be_cancelled_and_limited(studio):
    studio.modules.publish(sleeps, name="math/sleeps")
    handle = studio.module("math/sleeps")
    run = handle.submit(30.0)
    run.cancel()
    with pytest.raises(RunCancelled):
        run.result(timeout=10)
    assert run.state == "cancelled"
    with pytest.raises(Conflict):
        handle.submit(0.0).wait().cancel()
    with pytest.raises(RunTimedOut, match=r"0\.3 s"):
        handle.with_options(timeout_s=0.3)(20.0)
    slow = handle.submit(1.5)
    with pytest.raises(RunTimedOut, match="has not ended"):
        slow.result(timeout=0.2)
    assert slow.result() == "slept"


def test_options_that_are_none_are_refused(studio):
    with pytest.raises(BadInput) as caught:
        studio.module("math/triple").with_options(tmeout_s=3)
    assert "timeout_s" in caught.value.hint


def test_a_decorated_function_of_a_plain_file_is_live(home, monkeypatch):
    handle = module("plain/triple", reuse=True)(triple)
    assert handle(3) == 10 and handle.__doc__ == triple.__doc__ and handle.__name__ == "triple"
    first = handle.id
    monkeypatch.setitem(globals(), "RATE", 4)
    assert handle(3) == 13 and handle.id != first
    assert handle.submit(3).result() == 13


def test_decorated_functions_of_a_file_call_each_other_and_give_plain_wheels(home, tmp_path, monkeypatch):
    (tmp_path / "decorated_people.py").write_text(
        "import mlstudio_lab as ml\n\n@ml.module('deco/inner')\ndef inner(x):\n    return x + 1\n\n"
        "@ml.module('deco/outer', reuse=True)\ndef outer(x: int) -> int:\n    return inner(x) * 2\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    import decorated_people

    assert decorated_people.outer(3) == 8 and decorated_people.inner(3) == 4
    assert "ml.module" not in decorated_people.outer.source
    version = connect(home=home).modules.publish(decorated_people.outer, name="deco/outer")
    with zipfile.ZipFile(version.save_wheel(tmp_path)) as wheel:
        assert not any(b"mlstudio_lab" in wheel.read(name) for name in wheel.namelist() if name.endswith(".py"))


def test_a_version_gives_a_wheel_that_runs_alone(studio, tmp_path):
    version = studio.modules.publish(triple, name="math/triple")
    path = version.save_wheel(tmp_path)
    assert path.suffix == ".whl" and version.wheel.read_bytes() == path.read_bytes()
    with zipfile.ZipFile(path) as wheel:
        wheel.extractall(tmp_path / "site")
    code = "import mlstudio_math_triple as m; print(m.triple(5))"
    found = subprocess.run([sys.executable, "-S", "-c", code], cwd=tmp_path / "site", capture_output=True, text=True, check=True)
    assert found.stdout == "16\n"
    with pytest.raises(BadInput):
        version.save_wheel(tmp_path / "site" / "mlstudio_math_triple" / "__init__.py")


def test_a_dataset_inside_another_value_is_refused_by_name(studio, flights):
    studio.modules.publish(fails, name="math/fails")
    with pytest.raises((CannotCross, BadInput)) as caught:
        studio.module("math/fails").submit([flights])
    assert "flights" in str(caught.value) or "kernel" in str(caught.value)


def test_one_studio_for_one_home(home):
    assert connect(home=home) is connect(home=home) is opened(Settings.read(home=home, url=""))
    with pytest.raises(BadInput):
        connect(home=home, url="http://localhost:1")
    assert str(home) in repr(connect(home=home))


def test_modules_are_listed_described_and_compared(studio):
    studio.modules.publish("def f(x):\n    return x\n", name="diff/f")
    studio.modules.publish("def f(x):\n    return x + 1\n", name="diff/f")
    assert "diff/f" in [m["name"] for m in studio.modules.list("diff")]
    assert [v["number"] for v in studio.modules.describe("diff/f")["versions"]] == [2, 1]
    found = studio.modules.diff("diff/f", "v1", "v2")
    assert not found["same_code"] and "+    return x + 1" in found["units"][0]["text"]


def test_a_session_contacts_nothing_before_it_is_needed(tmp_path):
    session = Session(Settings.read({}, home=tmp_path / "none"))
    assert repr(Studio(session)) and not (tmp_path / "none").exists()


def test_what_cannot_cross_runs_here_with_the_reason_and_is_recorded(home):

    import threading

    namespace = {"__name__": "__main__"}
    exec(compile("def reads(lock, x):\n    with lock:\n        return x * 2\n", __file__, "exec"), namespace)
    source = "def reads(lock, x):\n    with lock:\n        return x * 2\n"
    studio = connect(home=home)
    from mlstudio_lab.capture import capture_definitions

    handle = ModuleHandle.live(
        lambda: studio.session,
        "here/reads",
        namespace["reads"],
        lambda values: capture_definitions(source, namespace, name="here/reads", filename="<cell>", values=values),
        namespace=namespace,
    )
    namespace["reads"] = handle
    assert handle(threading.Lock(), 21) == 42
    run = studio.runs.list(module="here/reads")[0]
    assert (run.state, run.view["executor"], run.reused) == ("succeeded", "kernel", False)
    assert run.why.startswith("not stored: `lock`")


def test_an_explicit_executor_is_not_replaced_by_the_kernel(studio):
    import threading

    studio.modules.publish(fails, name="math/fails")
    with pytest.raises(CannotCross, match="lock"):
        studio.module("math/fails").with_options(where="local")(threading.Lock())
