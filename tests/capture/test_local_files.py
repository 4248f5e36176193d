"""Local .py files: every import form, packages, edits after import, values set from outside."""

from __future__ import annotations

import importlib
import itertools
import sys
import textwrap

import pytest

from mlstudio_lab.capture import capture_cell, capture_function, capture_source
from mlstudio_lab.core.code_digest import code_digest

_numbers = itertools.count()


class Folder:
    """A person's folder of files, with module names no other test has."""

    def __init__(self, path):
        self.path = path
        self.id = f"loc{next(_numbers)}"

    def write(self, name, text):
        file = self.path / name.replace("LOC", self.id)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text).replace("LOC", self.id))
        importlib.invalidate_caches()

    def cell(self, text):
        return textwrap.dedent(text).replace("LOC", self.id)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    made = Folder(tmp_path)
    yield made
    for name in [n for n in sys.modules if n.partition(".")[0].startswith(made.id)]:
        del sys.modules[name]


def grab(kernel, folder, text):
    return capture_cell(folder.cell(text), kernel.ns, name="demo/cell", filename="<cell>")


@pytest.mark.parametrize(
    "before, cell",
    [
        ("import LOC_h", "y = LOC_h.f(1)"),
        ("import LOC_h as h", "y = h.f(1)"),
        ("from LOC_h import f", "y = f(1)"),
        ("from LOC_h import f as g", "y = g(1)"),
        ("from LOC_h import *", "y = f(1)"),
        ("", "import LOC_h\ny = LOC_h.f(1)"),
        ("", "from LOC_h import f\ny = f(1)"),
        ("", "def w():\n    from LOC_h import f\n    return f(1)\ny = w()"),
        ("from LOC_h import K", "y = K + 1"),
        ("from LOC_h import T\nt = T(3)", "y = t.get()"),
        ("import LOC_h\ndef w(): return LOC_h.f(1)", "y = w()"),
        ("import LOC_h\nheld = [LOC_h.f]", "y = held[0](1)"),
    ],
)
def test_every_way_of_importing_takes_the_file_and_what_it_imports(kernel, folder, run_cell, before, cell):
    folder.write(
        "LOC_h.py",
        "import json\nfrom LOC_low import low\nK = 2\ndef f(x): return low(x) + K\nclass T:\n    def __init__(self, v): self.v = v\n    def get(self): return f(self.v)\n",
    )
    folder.write("LOC_low.py", "def low(x): return x * 10\n")
    if before:
        kernel.run(folder.cell(before))
    c = grab(kernel, folder, cell)
    assert [u.name for u in c.bundle.units if u.role == "module"] == [f"{folder.id}_h", f"{folder.id}_low"]
    assert not c.stale and not c.kernel_only
    expected = dict(kernel.ns)
    exec(folder.cell(cell), expected)
    assert run_cell(c)["y"] == expected["y"]
    folder.write("LOC_low.py", "def low(x):  # the same\n    return x*10\n")
    reformatted = grab(kernel, folder, cell)
    assert code_digest(reformatted.bundle) == code_digest(c.bundle)


def test_a_file_edited_after_import_is_noticed_and_a_reload_heals(kernel, folder):
    folder.write("LOC_h.py", "K = compute = len('ab')\ndef f(x): return x + 1\n")
    kernel.run(folder.cell("import LOC_h"))
    assert not grab(kernel, folder, "y = LOC_h.f(1)").stale
    folder.write("LOC_h.py", "K = compute = len('ab')\ndef f(x): return x + 222\n")
    assert "re-import" in grab(kernel, folder, "y = LOC_h.f(1)").stale
    kernel.run(folder.cell("import importlib\nimportlib.reload(LOC_h)"))
    assert not grab(kernel, folder, "y = LOC_h.f(1)").stale
    folder.write("LOC_h.py", "K = compute = len('abcdef')\ndef f(x): return x + 222\n")
    assert "re-import" in grab(kernel, folder, "y = LOC_h.f(1)").stale


def test_an_edit_before_the_first_look_is_noticed_by_its_code(kernel, folder):
    folder.write("LOC_h.py", "def f(x): return x + 1\nLIMIT = 3\n")
    importlib.import_module(f"{folder.id}_h")
    folder.write("LOC_h.py", "def f(x): return x + 2\nLIMIT = 3\n")
    assert "re-import" in grab(kernel, folder, "import LOC_h\ny = LOC_h.f(1)").stale
    folder.write("LOC_h.py", "def f(x): return x + 1\nLIMIT = 4\n")
    assert "LIMIT" in grab(kernel, folder, "import LOC_h\ny = LOC_h.f(1)").stale


def test_values_and_functions_set_from_outside_are_noticed(kernel, folder):
    folder.write("LOC_h.py", "CONFIG = {'a': 1}\nK = 1\ndef f(x): return x + K + CONFIG['a']\ndef g(x): return x\n")
    kernel.run(folder.cell("import LOC_h as h"))
    cell = "y = h.f(1)"
    assert not grab(kernel, folder, cell).stale
    kernel.run("h.K = 5")
    assert "K" in grab(kernel, folder, cell).stale
    kernel.run("h.K = 1")
    assert not grab(kernel, folder, cell).stale
    kernel.run("h.CONFIG['a'] = 2")
    assert "CONFIG" in grab(kernel, folder, cell).stale
    kernel.run("h.CONFIG['a'] = 1\ndef mine(x): return 0\nh.g = mine")
    assert grab(kernel, folder, cell).stale


def test_packages_with_relative_imports_and_unloaded_submodules(kernel, folder, run_cell):
    folder.write("LOC_p/__init__.py", "from .a import first\n__all__ = ['first']\n")
    folder.write("LOC_p/a.py", "from . import b\nfrom .sub.c import deep\ndef first(x): return b.second(x) + deep()\n")
    folder.write("LOC_p/b.py", "def second(x):\n    from .lazy import late\n    return x + late()\n")
    folder.write("LOC_p/lazy.py", "def late(): return 100\n")
    folder.write("LOC_p/sub/c.py", "def deep(): return 1000\n")
    folder.write("LOC_p/unused.py", "boom = 1 / 0\n")
    kernel.run(folder.cell("import LOC_p"))
    c = grab(kernel, folder, "y = LOC_p.first(1)")
    names = [u.name.removeprefix(f"{folder.id}_p") for u in c.bundle.units if u.role == "module"]
    assert names == ["", ".a", ".b", ".lazy", ".sub.c"]
    assert run_cell(c) == {"y": 1101}


def test_a_function_of_a_local_file_given_to_publish(kernel, folder, call):
    folder.write("LOC_h.py", "import math\nfrom LOC_low import low\nK = 2\ndef f(x, k=K): return math.floor(low(x)) * k\n")
    folder.write("LOC_low.py", "def low(x): return x * 10\n")
    live = importlib.import_module(f"{folder.id}_h").f
    c = capture_function(live, kernel.ns, name="demo/f")
    assert call(c, 1.5) == 30 and not c.stale
    folder.write("LOC_h.py", "import math\nfrom LOC_low import low\nK = 2\ndef f(x, k=K): return math.floor(low(x)) * k + 1\n")
    assert "edited" in capture_function(live, kernel.ns, name="demo/f").stale


def test_source_may_import_local_files(folder, call):
    folder.write("LOC_h.py", "def f(x): return x + 1\n")
    c = capture_source(folder.cell("from LOC_h import f as g\ndef main(x): return g(x)"), name="demo/f")
    assert call(c, 1) == 2 and f"{folder.id}_h" not in sys.modules


def test_classes_of_local_files_are_named_by_their_module(kernel, folder):
    folder.write("LOC_h.py", "class T:\n    pass\ndef f(): pass\n")
    kernel.run(folder.cell("import LOC_h"))
    c = grab(kernel, folder, "y = LOC_h.T()")
    T = sys.modules[f"{folder.id}_h"].T
    assert c.code.name_of(T) == f"{folder.id}_h:T" and c.code.find(f"{folder.id}_h:T") is T
    assert c.code.digest_of(T)
