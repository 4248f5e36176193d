"""Wheels: deterministic, injectively named, private helpers, and the same result without ML Studio."""

from __future__ import annotations

import importlib
import io
import json
import subprocess
import sys
import time
import venv
import zipfile

import pytest

from mlstudio_lab.capture import capture_cell, capture_function, capture_source
from mlstudio_lab.core.errors import BadInput
from mlstudio_lab.core.names import Name
from mlstudio_lab.studio.wheels import build_wheel

NAME = Name.parse("flights/delay")


def contents(data):
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {n: archive.read(n).decode() for n in archive.namelist()}


@pytest.fixture
def local_files(tmp_path, monkeypatch):
    folder = tmp_path / "mine"
    (folder / "wheelpkg" / "sub").mkdir(parents=True)
    (folder / "wheelhelp.py").write_text(
        "import wheelpkg.sub.deep, os\nfrom wheelpkg import top as t\ndef helped(x): return wheelpkg.sub.deep.deep(x) + t(x)\n"
    )
    (folder / "wheelpkg" / "__init__.py").write_text("from .sub import deep\ndef top(x): return 1\n")
    (folder / "wheelpkg" / "sub" / "deep.py").write_text("import wheelpkg as w\ndef deep(x): return x * 10 + w.top(x)\n")
    monkeypatch.syspath_prepend(str(folder))
    importlib.invalidate_caches()
    yield folder
    for name in [n for n in sys.modules if n.startswith(("wheelhelp", "wheelpkg"))]:
        del sys.modules[name]


SOURCE = """\
from __future__ import annotations
import math
import wheelhelp, json
from wheelhelp import helped as h
from wheelpkg.sub import deep as d
SCALE = 2

def _low(x: float) -> float:
    '''Low é.'''
    import wheelpkg.sub.deep as inner
    return math.floor(x) * SCALE + inner.deep(0)

def delay(x, k=SCALE):
    if x: import wheelpkg.sub.deep; y = wheelpkg.sub.deep.deep(x)
    return [_low(x) * k, h(x), d.deep(x), wheelhelp.helped(1), y, json.dumps(x)]
"""


def test_a_wheel_in_an_empty_environment_computes_the_same(local_files, tmp_path):
    bundle = capture_source(SOURCE, name="flights/delay").bundle
    names: dict = {}
    exec(SOURCE, names)
    filename, data = build_wheel(NAME, 3, bundle)
    (tmp_path / filename).write_bytes(data)
    home = tmp_path / "env"
    venv.create(home, with_pip=True)
    python = home / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "-q", "--no-index", tmp_path / filename], check=True, cwd=tmp_path)
    (tmp_path / "wheelhelp.py").write_text("raise RuntimeError('not this one')\n")
    code = (
        "import json, sys, mlstudio_flights_delay as m; assert 'wheelhelp' not in sys.modules and 'mlstudio_lab' not in sys.modules;"
        "import pickle; assert pickle.loads(pickle.dumps(m.delay)) is m.delay;"
        "print(json.dumps([m.delay(2.5), m.__version__, m.__all__]))"
    )
    out = subprocess.run([python, "-c", code], check=True, capture_output=True, text=True, cwd=tmp_path)
    assert json.loads(out.stdout) == [names["delay"](2.5), "3", ["delay"]]
    check = subprocess.run([python, "-m", "pip", "show", "mlstudio-flights-delay"], check=True, capture_output=True, text=True)
    assert "Version: 3" in check.stdout


def test_the_same_version_gives_the_same_bytes_quickly(local_files):
    bundle = capture_source(SOURCE, name="flights/delay").bundle
    first = build_wheel(NAME, 1, bundle)
    start = time.perf_counter()
    assert build_wheel(NAME, 1, bundle) == first
    assert time.perf_counter() - start < 0.1
    assert first[0] == "mlstudio_flights_delay-1-py3-none-any.whl"
    names = list(contents(first[1]))
    assert names[-3:] == [f"mlstudio_flights_delay-1.dist-info/{n}" for n in ("METADATA", "RECORD", "WHEEL")]
    assert all(n.startswith("mlstudio_flights_delay") for n in names)


def test_direct_imports_are_required_at_the_captured_version():
    import polars

    bundle = capture_source("import polars as pl\nimport json\ndef f(x): return pl.Series(x)", name="demo/f").bundle
    files = contents(build_wheel(Name.parse("demo/f"), 2, bundle)[1])
    required = [line for line in files["mlstudio_demo_f-2.dist-info/METADATA"].splitlines() if line.startswith("Requires-Dist")]
    assert required == [f"Requires-Dist: polars=={polars.__version__}"]


def test_names_that_differ_never_share_a_wheel():
    bundle = capture_source("def f(x): return x", name="demo/f").bundle
    made = {build_wheel(Name.parse(n), 1, bundle)[0] for n in ("a-b/c", "a/b-c", "a_b/c", "a/b_c", "a/b")}
    assert len(made) == 5


def test_what_a_wheel_cannot_carry_is_refused():
    cell = capture_cell("y = 1", {}, name="demo/c", filename="<c>").bundle
    with pytest.raises(BadInput, match="cell module"):
        build_wheel(NAME, 1, cell)
    names: dict = {"__name__": "__main__"}
    exec("big = list(range(300))", names)
    reads = capture_source("def f(x): return big", name="demo/f")
    assert build_wheel(NAME, 1, reads.bundle)  # the name is simply missing there, as in the source
    from mlstudio_lab.capture import capture_definitions

    bundle = capture_definitions("def f(x): return big", names, name="demo/f", filename="<c>").bundle
    with pytest.raises(BadInput, match="big"):
        build_wheel(NAME, 1, bundle)


def _helper(x):
    return x + _offset


_offset = 4


def published(x):
    return _helper(x)


def test_a_live_function_with_helpers(tmp_path, monkeypatch):
    name = Name.parse("demo/published")
    filename, data = build_wheel(name, 1, capture_function(published, globals(), name=str(name)).bundle)
    (tmp_path / filename).write_bytes(data)
    monkeypatch.syspath_prepend(str(tmp_path / filename))
    module = importlib.import_module(name.import_name)
    assert module.published(1) == 5
    for loaded in [n for n in sys.modules if n.startswith(name.import_name)]:
        del sys.modules[loaded]
