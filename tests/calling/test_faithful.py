import sys

import numpy as np
import pandas as pd
import polars as pl
import pytest

from mlstudio_lab.calling import ambient
from mlstudio_lab.data.code_refs import NoCode
from mlstudio_lab.data.graph import NodeTable, apply_updates, pack, unpack
from mlstudio_lab.wire.task import Payload


def test_main_is_main(bench):
    source = "class A: pass\nname = __name__\nmodule = A.__module__\nhere = __import__('sys').modules['__main__'].name\nran = False\nif __name__ == '__main__':\n    ran = True"
    before = sys.modules["__main__"]
    got = bench.values(bench.run(source))
    assert got == {"name": "__main__", "module": "__main__", "here": "__main__", "ran": True}
    assert sys.modules["__main__"] is before


def test_dataclass_enum_pickle_and_hints_work_in_main(bench):
    source = """
import dataclasses, enum, pickle, typing
@dataclasses.dataclass
class P:
    x: int
    y: 'list[P]' = dataclasses.field(default_factory=list)
class E(enum.Enum):
    A = 1
p = pickle.loads(pickle.dumps(P(3)))
same = p == P(3), pickle.loads(pickle.dumps(E.A)) is E.A
hints = sorted(typing.get_type_hints(P))
del p
"""
    assert bench.values(bench.run(source)) == {"same": (True, True), "hints": ["x", "y"]}


def test_helpers_constants_and_local_modules(bench):
    units = [
        ("import", "math", "import math"),
        ("constant", "BASE", "BASE = 10"),
        ("module", "helpers", "from helpers.deep import one\ndef two():\n    return one() + 1\n"),
        ("module", "helpers.deep", "def one():\n    return 1\n"),
        ("import", "two", "from helpers import two"),
        ("definition", "plus", "def plus(x):\n    return math.floor(x) + BASE"),
    ]
    out = bench.function("def f(x):\n    import helpers.deep\n    return plus(x) + two() + helpers.deep.one()", "f", 1.5, units=units)
    assert bench.values(out) == 14
    assert "helpers" not in sys.modules
    other = [("module", "helpers", "def two():\n    return 200\n"), ("import", "two", "from helpers import two")]
    assert bench.values(bench.function("def f():\n    return two()", "f", units=other)) == 200


def test_definitions_may_read_data(bench):
    units = [("definition", "scale", "def scale(x, by=factor):\n    return x * by")]
    assert bench.values(bench.run("y = scale(2)", units=units, globals={"factor": 5})) == {"y": 10}


def test_missing_names_are_reported(bench):
    assert bench.run("y = base + 1").missing == ["base"]
    out = bench.run("try:\n    y = eval('hidden')\nexcept NameError:\n    y = 0")
    assert out.state == "succeeded" and out.missing == ["hidden"]
    assert bench.run("y = globals().get('other', 3)").missing == ["other"]
    out = bench.run("import pandas as pd\ny = pd.DataFrame({'a': [1]}).query('a > @limit')")
    assert out.state == "failed" and "limit" in out.missing
    out = bench.run("import polars as pl\ny = pl.sql('select * from flights').collect()")
    assert out.state == "failed" and out.missing == ["flights"]


def test_builtins_are_not_missing_nor_outputs(bench):
    out = bench.run("y = len([1]) + abs(-1)\nz = sorted(globals())[-1]")
    assert out.missing == [] and set(bench.values(out)) == {"y", "z"}


def test_deleted_names_and_definitions(bench):
    out = bench.run(
        "import math\ndef f(): return 1\nclass C: pass\ndel gone\nx = x", globals={"gone": 1, "x": [1]}, inputs=["x"], outputs=["x"]
    )
    got = unpack(Payload.from_json(out.outputs), bench.blobs, NoCode()).values
    assert got == {"bound": {"x": [1]}, "deleted": ["gone"]}


def roundtrip(bench, source, values):
    """Runs a cell as the kernel would: outputs and updates land in the live objects."""
    known = NodeTable.of({"globals": values})
    out = bench.run(source, globals=values, inputs=list(values))
    assert out.state == "succeeded", out.failure
    got = unpack(Payload.from_json(out.outputs), bench.blobs, NoCode(), known=known)
    apply_updates(got.updates, known)
    return got.values["bound"]


def test_in_place_changes_reach_the_live_objects(bench):
    items, frame, array = [1], pd.DataFrame({"a": [1, 2]}), np.zeros(3)
    other = {"same": items}
    roundtrip(
        bench, "items.append(2)\nframe['b'] = frame['a'] * 2\narray += 1", {"items": items, "frame": frame, "array": array, "other": other}
    )
    assert items == [1, 2] and other["same"] is items
    assert list(frame.columns) == ["a", "b"] and array.tolist() == [1, 1, 1]


def test_an_input_given_back_is_the_kernels_own(bench):
    items = [1]
    assert roundtrip(bench, "again = items", {"items": items})["again"] is items


def test_unbound_display_handles_and_closed_files_stay_behind(bench, tmp_path):
    path = tmp_path / "a"
    path.write_text("x")
    out = bench.run(f"with open({str(path)!r}) as f:\n    y = f.read()")
    assert bench.values(out) == {"y": "x"} and list(out.effects["left"]) == ["f"]


def test_what_cannot_leave_is_refused(bench):
    out = bench.run("import threading\nlock = threading.Lock()")
    assert out.state == "refused" and "lock" in out.failure["message"].lower()
    out = bench.function("def f():\n    yield 1", "f")
    assert out.state == "refused" and "return a list" in out.failure["message"] and "generator" in out.failure["message"]
    out = bench.function("async def f():\n    return 1", "f")
    assert out.state == "refused" and "coroutine" in out.failure["message"]


def test_await_at_top_level(bench):
    out = bench.run("import asyncio\nasync def f():\n    await asyncio.sleep(0)\n    return 3\ny = await f()\nawait f()")
    assert bench.values(out) == {"y": 3, "_": 3}


def test_magics_that_are_python(bench):
    assert bench.values(bench.run("y = 1\n%matplotlib inline\n")) == {"y": 1}


def test_sources_are_the_persons(bench):
    source = "import inspect\ndef f():\n    return 1  # here\ntext = inspect.getsource(f)\nfile = f.__code__.co_filename"
    got = bench.values(bench.run(source, origins={"main": ["/nb/cell-9.py", 4]}))
    assert got == {"text": "def f():\n    return 1  # here\n", "file": "/nb/cell-9.py"}


def test_ambient_state_is_there_and_then_gone(bench, tmp_path):
    before = ambient.take()
    pd.set_option("display.max_rows", 7)
    np.set_printoptions(precision=2)
    pl.Config.set_tbl_rows(3)
    state = ambient.take() | {"cwd": str(tmp_path), "env": {"MLS_X": "1", "POLARS_FMT_MAX_ROWS": "3"}}
    pd.reset_option("display.max_rows")
    np.set_printoptions(precision=8)
    pl.Config.set_tbl_rows(None)
    out = bench.run(
        "import os, pandas as pd, numpy as np, polars as pl\ny = [os.getcwd(), dict(os.environ), pd.get_option('display.max_rows'), str(np.array([1/3])), str(pl.DataFrame({'x': range(9)})).count('│ ')]",
        ambient=state,
    )
    got = bench.values(out)["y"]
    assert got[:4] == [str(tmp_path), {"MLS_X": "1", "POLARS_FMT_MAX_ROWS": "3"}, 7, "[0.33]"] and got[4] < 9
    after = ambient.take()
    assert after == before and out.worker == {}


def test_what_a_run_changes_is_put_back(bench, tmp_path):
    before = ambient.take()
    out = bench.run(
        f"import os, sys, warnings, pandas as pd\nos.chdir({str(tmp_path)!r})\nos.environ['MLS_LEFT'] = '1'\nsys.path.append('/x')\nwarnings.simplefilter('error')\npd.set_option('display.width', 30)\n;"
    )
    after = ambient.take()
    assert out.state == "succeeded" and {k: v for k, v in after.items() if k != "rng"} == {k: v for k, v in before.items() if k != "rng"}


def test_displays_and_figures(bench):
    import matplotlib.pyplot  # noqa: F401

    out = bench.run(
        "from IPython.display import display, HTML, clear_output\nimport matplotlib.pyplot as plt\nprint('a')\ndisplay(HTML('<b>x</b>'))\nfig, ax = plt.subplots()\nax.plot([1, 2])\nprint('b')\nclear_output(wait=True)",
        ambient={"inline": True},
    )
    assert out.state == "succeeded", out.failure["traceback"]
    kinds = [e["t"] for e in out.log]
    assert kinds == ["stdout", "display", "stdout", "clear", "display"]
    assert "image/png" in out.log[-1]["data"] and bench.events[-1]["t"] == "display"


def test_output_is_bounded(bench):
    out = bench.run("for i in range(3000):\n    print('x' * 10_000)")
    size = sum(len(e["text"]) for e in out.log)
    assert out.state == "succeeded" and 8 << 20 <= size < 9 << 20 and "not kept" in out.log[-1]["text"]


def test_system_exit_and_strange_exceptions(bench):
    assert bench.run("import sys\nsys.exit(3)").failure["type"] == "builtins.SystemExit"
    out = bench.run(
        "class Odd(Exception):\n    def __init__(self, a, b): self.lock = __import__('threading').Lock()\n    def __str__(self): raise ValueError\nraise Odd(1, 2)"
    )
    assert out.state == "failed" and out.failure["type"] == "__main__.Odd" and "Odd" in out.failure["message"]


@pytest.mark.parametrize("source", ["y = (", "def f(:\n  pass", "y = 1\n  z = 2"])
def test_syntax_errors(bench, source):
    out = bench.run(source)
    assert out.state == "failed" and out.failure["type"].endswith(("SyntaxError", "IndentationError"))


def test_instances_of_the_persons_classes_cross(bench):
    units = [("definition", "Point", "class Point:\n    def __init__(self, x):\n        self.x = x")]
    made = bench.run("p = Point(3)", units=units)
    assert made.state == "succeeded", made.failure

    class Code:
        def name_of(self, obj):
            return "__main__:Point" if obj is Point else None

        def find(self, name):
            assert name == "__main__:Point"
            return Point

        def digest_of(self, obj):
            return "p"

    class Point:
        def __init__(self, x):
            self.x = x

    Point.__module__, Point.__qualname__ = "__main__", "Point"
    got = bench.values(made, Code())["p"]
    assert type(got) is Point and got.x == 3
    back = bench.run("q = p.x + 1, isinstance(p, Point)", units=units, globals={"p": got}, code=Code())
    assert bench.values(back)["q"] == (4, True)


def test_granted_columns_only(bench):
    frame = pl.DataFrame({"a": [1], "secret": ["s"]})
    payload = pack({"value": frame}, bench.blobs, NoCode()).to_json()
    for kind, type_name in (("polars", "DataFrame"), ("lazy", "LazyFrame"), ("pandas", "DataFrame")):
        out = bench.run(
            "y = [type(d).__name__, list(d.columns if hasattr(d, 'to_dict') else d.collect_schema().names())]",
            datasets={"d": {"name": "x/d", "version": "v", "payload": payload, "as": kind}},
            sources={"d": {"granted": ["a"]}},
        )
        assert bench.values(out)["y"] == [type_name, ["a"]]
        assert {e["input_column"] for e in out.edges if e["input"] == "d"} <= {"a", ""}


@pytest.mark.parametrize(
    "helper, use",
    [
        ("def add(x, to=[]):\n    to.append(x)\n    return list(to)", "r = add(1)"),
        ("class add:\n    seen = []\n    def __init__(self, x): self.seen.append(x)", "add(1); r = 1"),
        ("class add:\n    count = 0\n    def __init__(self, x): type(self).count += x", "add(1); r = 1"),
    ],
)
def test_changes_to_what_code_holds_are_refused_not_lost(bench, helper, use):
    out = bench.run(use, units=[("definition", "add", helper)])
    assert out.state == "refused" and "`add`" in out.failure["message"]


def test_a_made_function_is_a_result_and_not_dropped(bench):
    out = bench.run("add = make(1)", outputs=["add"], units=[("definition", "make", "def make(n):\n    return lambda x: x + n")])
    assert out.state == "refused"


def test_a_view_of_an_input_is_a_view_of_the_live_array(bench):
    array = np.arange(6)
    got = roundtrip(bench, "b = a[::2]\nb[0] = 42", {"a": array})
    b = got["b"]
    b[1] = 7
    assert array.tolist() == [42, 1, 7, 3, 4, 5] and np.shares_memory(array, b)


@pytest.mark.parametrize(
    ("body", "what"),
    [
        ("os.environ['MLS_NEW'] = '1'", "MLS_NEW"),
        ("os.chdir('/')", "the working directory"),
        ("warnings.simplefilter('ignore', ResourceWarning)", "the warning filters"),
        ("sys.path.append('/nowhere')", "sys.path"),
        ("pd.set_option('display.max_rows', 7)", "pandas"),
        ("np.set_printoptions(precision=3)", "numpy"),
        ("pl.Config.set_tbl_rows(3)", "polars"),
        ("decimal.getcontext().prec = 9", "decimal"),
    ],
)
def test_what_changes_the_session_by_a_way_around_is_the_kernels(bench, body, what):
    imports = "import os, sys, warnings, decimal\nimport numpy as np, pandas as pd, polars as pl\n"
    units = [("module", "setup_all", f"{imports}def go():\n    {body}\n    return 1\n"), ("import", "go", "from setup_all import go")]
    out = bench.run("y = go()", units=units, session=True)
    assert out.state == "refused" and what in out.failure["message"]
    alone = bench.run("y = go()", units=units)
    assert alone.state == "succeeded" and [i["what"] for i in alone.impurities] == ["session"]


def test_what_is_put_back_or_set_up_by_an_import_is_no_change(bench):
    files = [
        ("module", "quiet_one", "import warnings, os\nwarnings.simplefilter('ignore', ResourceWarning)\nos.environ['MLS_SET'] = '1'\n")
    ]
    source = "import pandas as pd\nimport quiet_one\nwith pd.option_context('display.max_rows', 3):\n    y = repr(pd.DataFrame({'a': [1]}))"
    out = bench.run(source, units=files, session=True)
    assert out.state == "succeeded" and out.impurities == []
