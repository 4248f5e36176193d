"""IPython lines told from Python without IPython, and as IPython tells them."""

from __future__ import annotations

import ast

import pytest
from IPython.core.inputtransformer2 import TransformerManager

from mlstudio_lab.core.magic_lines import parse_cell

CELLS = [
    ("x = 1", "x = 1", []),
    ("%matplotlib inline\nx = 1", "pass\nx = 1", [(1, "line", "matplotlib")]),
    ("%%time\nx = 1", "\nx = 1", [(1, "cell", "time")]),
    ("%%bash\nls | wc\n", "\n\n", [(1, "cell", "bash")]),
    ("%timeit -n 10 -r 3 f(x)", "f(x)", [(1, "line", "timeit")]),
    ("for i in y:\n    %time f(i)", "for i in y:\n    f(i)", [(2, "line", "time")]),
    ("a = %time f()", "a = f()", [(1, "line", "time")]),
    ("a = !ls", "a = None", [(1, "shell", "!")]),
    ("!pip install x", "pass", [(1, "shell", "!")]),
    ("f?\n?g\nh??", "pass\npass\npass", [(1, "help", "?"), (2, "help", "?"), (3, "help", "?")]),
    ("s = '''\n%time x\n!ls\n'''", "s = '''\n%time x\n!ls\n'''", []),
    ("y = (a\n%b)", "y = (a\n%b)", []),
    ("    x = 1\n    y = 2", "x = 1\ny = 2", []),
]


@pytest.mark.parametrize("source, text, magics", CELLS)
def test_cells(source, text, magics):
    parsed = parse_cell(source)
    assert parsed.text == text
    assert [(m.line, m.kind, m.name) for m in parsed.magics] == magics


@pytest.mark.parametrize("source, text, magics", CELLS)
def test_ipython_sees_magics_in_the_same_cells(source, text, magics):
    assert ("get_ipython()" in TransformerManager().transform_cell(source)) is bool(magics)


@pytest.mark.parametrize("source", ["x = = 1", "def f(:\n", "x = (", "%%time\nx = = 1", "if x:\n!ls\n  y ="])
def test_what_is_not_python_is_a_syntax_error(source):
    with pytest.raises(SyntaxError):
        parse_cell(source)


def test_lines_keep_their_numbers():
    tree = parse_cell("%%time\n%matplotlib inline\n\nx = 1\n%time y = 2").tree
    assert [s.lineno for s in tree.body if isinstance(s, ast.Assign)] == [4, 5]
