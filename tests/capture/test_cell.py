"""Cells: inputs, outputs, helpers, and the same bundle when run again."""

from __future__ import annotations

import pytest

from mlstudio_lab.capture import capture_cell
from mlstudio_lab.core.code_digest import code_digest, code_tree
from mlstudio_lab.core.errors import CaptureRefused


def grab(kernel, source, **options):
    return capture_cell(source, kernel.ns, name="demo/cell", filename="<cell>", **options)


def test_inputs_are_the_data_it_reads_and_outputs_the_names_it_binds(kernel, run_cell):
    kernel.run("import math\nx = 4\nunused = 5", "def root(v):\n    return math.sqrt(v) + shift", "shift = 1")
    c = grab(kernel, "y = root(x)\nz = [i for i in range(3)]")
    assert list(c.inputs) == ["shift", "x"] and c.outputs == ("y", "z")
    assert [(u.role, u.name) for u in c.bundle.units] == [("import", "math"), ("definition", "root"), ("main", "main")]
    assert run_cell(c) == {"y": 3.0, "z": [0, 1, 2]}
    assert not c.stale and not c.kernel_only


CELLS = [
    "total = 0\nfor i in range(3):\n    total += i",
    "try:\n    v = int('x')\nexcept ValueError:\n    v = 0\nw = v + 1",
    "with open(__import__('os').devnull) as f:\n    text = f.read()\nlength = len(text)",
    "def local(a):\n    return a + later\nlater = 2\nout = local(1)",
    "class P:\n    limit = 3\n    def __init__(self, v): self.v = v\n    def ok(self): return self.v < self.limit\np = P(2).ok()",
    "if flag:\n    label = 'a'\nelse:\n    label = 'b'\nprint(label)",
    "import json\ntext = json.dumps({'a': [1]})\nback = json.loads(text)",
    "squares = [last_one := k for k in 'ab']\nlast = last_one",
    "f = lambda q: q * scale\nscaled = f(2)",
    "first, *rest = [1, 2, 3]\nmatch first:\n    case 1 as one:\n        found = one\n    case _:\n        found = None",
    "global_total = 1\ndef bump():\n    global global_total\n    global_total += 1\nbump()",
    "while True:\n    done = 1\n    break\nprint(done)",
    "from math import *\nh = hypot(3, 4)",
    "x2 = [x for x in range(3)]\nx3 = list(map(lambda e: e + scale, x2))",
    "deco = __import__('functools').cache\n@deco\ndef g(n):\n    return n + scale\nr = g(1)",
]


@pytest.mark.parametrize("cell", CELLS)
def test_a_cell_run_again_is_the_same_bundle_with_the_same_inputs(kernel, cell):
    kernel.run("flag = True\nscale = 3")
    first = grab(kernel, cell)
    kernel.run(cell)
    again = grab(kernel, cell)
    assert again.bundle.id == first.bundle.id
    assert list(again.inputs) == list(first.inputs)
    kernel.run(cell)
    assert grab(kernel, cell).bundle.id == first.bundle.id


def test_a_cell_that_adds_to_an_earlier_value_reads_it(kernel):
    kernel.run("n = 1")
    assert grab(kernel, "n = n + 1").inputs == {"n": 1}
    kernel.run("n = n + 1")
    assert grab(kernel, "n = n + 1").inputs == {"n": 2}
    assert grab(kernel, "n += 1").inputs == {"n": 2}
    assert grab(kernel, "n[0] = 1").inputs == {"n": 2}
    assert grab(kernel, "del n").inputs == {"n": 2}


def test_a_branch_that_may_not_bind_takes_the_value_of_the_other_cell(kernel):
    kernel.run("cfg = 1\nverbose = False")
    cell = "if verbose:\n    cfg = 2\nprint(cfg)"
    assert grab(kernel, cell).inputs == {"verbose": False, "cfg": 1}


def test_names_asked_for_at_run_time_can_be_added(kernel):
    kernel.run("hidden = 7")
    assert "hidden" not in grab(kernel, "v = eval('hidden')").inputs
    assert grab(kernel, "v = eval('hidden')", extra_inputs=["hidden"]).inputs == {"hidden": 7}


def test_given_inputs_and_outputs_replace_the_found_ones(kernel):
    kernel.run("a = 1\nb = 2")
    c = grab(kernel, "c = a + b\nd = c", inputs=["b"], outputs=["d"])
    assert list(c.inputs) == ["b"] and c.outputs == ("d",)
    with pytest.raises(CaptureRefused, match="nope"):
        grab(kernel, "c = a", inputs=["nope"])
    with pytest.raises(CaptureRefused, match="nope"):
        grab(kernel, "c = a", outputs=["nope"])


def test_data_that_refers_to_code_brings_the_code(kernel, run_cell):
    kernel.run(
        "import functools\ndef double(v): return base(v) * 2\ndef base(v): return v + 1\nclass Box:\n    def __init__(self, v): self.v = v\n"
        "    def get(self): return base(self.v)\n",
        "box = Box(3)\ntable = {'d': double, 'l': lambda v: v - 1}\npart = functools.partial(double, 5)",
    )
    c = grab(kernel, "out = [box.get(), table['d'](1), part()]")
    assert {u.name for u in c.bundle.units} >= {"Box", "base", "double", "main"}
    assert run_cell(c) == {"out": [4, 4, 12]}
    assert c.code.name_of(kernel.ns["Box"]) == "__main__:Box"
    assert c.code.find("__main__:Box") is kernel.ns["Box"]
    assert c.code.name_of(kernel.ns["table"]["l"]).startswith("__main__:_held_")
    assert c.code.digest_of(kernel.ns["double"]) == code_tree(c.bundle)["double"]
    assert c.code.name_of(len) is None


def test_definitions_and_imports_are_given_to_the_kernel_on_their_own_lines(kernel):
    c = grab(kernel, "import math\nx = 1\n@str\ndef f(a):\n    return a\ny = 2\ng = lambda: x; z = 3")
    assert c.kernel_source == "import math\n\n@str\ndef f(a):\n    return a\n\ng = lambda: x"
    assert grab(kernel, "x = 1").kernel_source == ""


def test_what_cannot_be_told_apart_stays_in_the_kernel_with_the_reason(kernel):
    kernel.run("import types\nodd = types.ModuleType('odd')")
    assert "computes" in grab(kernel, "k = len('ab')\ndef f(x=k): return x").kernel_only
    assert "line 2" in grab(kernel, "k = 1\nif k:\n    def f(): pass\n    print(k)").kernel_only
    assert "odd" in grab(kernel, "odd.x").kernel_only
    assert "Out" in grab(kernel, "Out[1]").kernel_only
    assert "%load_ext" in grab(kernel, "%load_ext autoreload\nx = 1").kernel_only
    assert not grab(kernel, "%matplotlib inline\n%time x = 1").kernel_only


def test_a_cell_may_shadow_a_helper_without_reading_it(kernel):
    kernel.run("def clean(x): return x", "seen = 1")
    c = grab(kernel, "def clean(x): return x + 1\ny = clean(2)")
    assert [u.name for u in c.bundle.units] == ["main"]


def test_submodules_reached_by_attribute_are_imported(kernel, run_cell):
    kernel.run("import xml.etree.ElementTree\nimport importlib.metadata as im")
    c = grab(kernel, "tag = xml.etree.ElementTree.fromstring('<a/>').tag")
    assert "import xml.etree.ElementTree" in c.bundle.units[0].source
    assert run_cell(c) == {"tag": "a"}


def test_a_replaced_library_function_is_noticed(kernel):
    kernel.run("import json\ndef fake(x): return 'no'\nkept = json.dumps\njson.dumps = fake")
    try:
        assert "json.dumps" in grab(kernel, "s = json.dumps(1)").stale
    finally:
        kernel.run("json.dumps = kept")
    assert not grab(kernel, "s = json.dumps(1)").stale


def test_libraries_of_inputs_are_in_the_lock(kernel):
    kernel.run("import polars\ndf = polars.DataFrame({'a': [1]})\ndel polars")
    lock = dict(grab(kernel, "h = df.height").bundle.lock.distributions)
    assert "polars" in lock


def test_comments_change_the_version_and_not_the_code(kernel):
    kernel.run("def h(v):\n    return v", "x = 1")
    a = grab(kernel, "y = h(x)")
    kernel.run("def h(v):  # why\n    return   v")
    b = grab(kernel, "y = h(x)  # done")
    assert a.bundle.id != b.bundle.id and code_digest(a.bundle) == code_digest(b.bundle)
    kernel.run("def h(v):\n    return v + 0")
    c = grab(kernel, "y = h(x)")
    assert code_digest(c.bundle) != code_digest(a.bundle)
    assert [n for n in code_tree(a.bundle) if code_tree(a.bundle)[n] != code_tree(c.bundle)[n]] == ["h"]


def test_top_level_await_and_tests(kernel):
    c = grab(kernel, "import asyncio\nawait asyncio.sleep(0)\nx = 1", tests=["def test_x(): assert x == 1"])
    assert c.outputs == ("x",) and [u.role for u in c.bundle.units] == ["main", "test"]
