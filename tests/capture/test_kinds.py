"""Which cells are functions, which are cells, and which are refused with the line and the fix."""

from __future__ import annotations

import pytest

from mlstudio_lab.capture import capture_cell, entry_of, kind_of, public_functions, strays
from mlstudio_lab.core.errors import CaptureRefused


@pytest.mark.parametrize(
    "source, kind",
    [
        ("def f(): pass", "function"),
        ("'''doc'''\nimport os\nfrom a import b\nK = 3\nL = [1, 'a', -2]\ng = lambda: 1\nclass A: pass", "function"),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import x\ndef f(): ...", "function"),
        ("try:\n    import x\nexcept ImportError:\n    x = None\ndef f(): ...", "function"),
        ("from collections import namedtuple\nP = namedtuple('P', 'a b')\ndef f(): return P(1, 2)", "function"),
        ("async def f(): pass", "function"),
        ("f = lambda: 1", "cell"),
        ("import os", "cell"),
        ("def f(): pass\nf()", "cell"),
        ("def f(): pass\nx = f()", "cell"),
        ("%matplotlib inline\ndef f(): pass", "cell"),
        ("x = 1", "cell"),
    ],
)
def test_kind(source, kind):
    assert kind_of(source) == kind


def test_strays_have_lines():
    assert strays("def f(): pass\n\nprint(f())\n%time f()") == [(3, "print(f())"), (4, "%time f()")]
    assert public_functions("def a(): ...\ndef _b(): ...\nc = lambda: 1\nclass D: ...") == ["a", "c"]
    assert entry_of("class D: ...\ndef a(): ...", None, "x/y") == "a" and entry_of("class D: ...\ndef a(): ...", "D", "x/y") == "D"


@pytest.mark.parametrize(
    "source, message, hint",
    [
        ("", "empty", "below"),
        ("  \n# only a comment\n", "empty", "below"),
        ("x = (1,\ny = 2", "line 1", "correct"),
        ("x = 1\nif x:\nprint(x)", "line 3", "correct"),
        ("return 1", "outside function", "correct"),
        ("x = 1\n!ls -la", "line 2 runs a shell", "own"),
        ("files = !ls", "line 1 runs a shell", "own"),
        ("%pip install x", "line 1 installs", "own"),
        ("!pip install x", "line 1 installs", "own"),
        ("%conda install x", "line 1 installs", "own"),
        ("%%bash\nls", "%%bash", "Python"),
        ("%%html\n<b>", "%%html", "Python"),
        ("%%module a/b\nx = 1", "second %%module", "first"),
        ("%%time\n!ls", "line 2 runs a shell", "own"),
        ("x = '\x00'", "null", "delete"),
    ],
)
def test_refusals_name_the_line_and_the_fix(source, message, hint):
    for attempt in (kind_of, lambda s: capture_cell(s, {}, name="a/b", filename="<c>")):
        with pytest.raises(CaptureRefused) as found:
            attempt(source)
        assert message in found.value.message and hint in found.value.hint


def test_a_syntax_error_shows_the_text_and_a_caret():
    with pytest.raises(CaptureRefused) as found:
        kind_of("x = 1\ny = = 2")
    lines = found.value.message.split("\n")
    assert lines[1].strip() == "y = = 2" and lines[2].index("^") - 2 == lines[1].index("= =")


@pytest.mark.parametrize(
    "source, inputs, outputs, kernel_only",
    [
        ("%time y = f", ["f"], ("y",), ""),
        ("%%time\ny = f", ["f"], ("y",), ""),
        ("%timeit -n 3 f", ["f"], (), ""),
        ("y = %time f", ["f"], ("y",), ""),
        ("%matplotlib inline\n%config X.y = 1\nz = f", ["f"], ("z",), ""),
        ("f?", [], (), "asks for help at line 1"),
        ("%run other.py", [], (), "uses %run at line 1"),
        ("s = '''\n%pip install x\n!ls\n'''", [], ("s",), ""),
        ("for i in range(2):\n    %time f", ["f"], ("i",), ""),
        ("    indented = f\n    more = f", ["f"], ("indented", "more"), ""),
    ],
)
def test_ipython_lines(source, inputs, outputs, kernel_only):
    c = capture_cell(source, {"f": 1}, name="a/b", filename="<c>")
    assert (list(c.inputs), c.outputs, c.kernel_only) == (inputs, outputs, kernel_only)
    assert c.bundle.main.source == source
