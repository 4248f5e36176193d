"""Code that changes the session, or looks into it, stays in the kernel and is not remembered."""

from __future__ import annotations

import pytest

from mlstudio_lab.capture import capture_cell

CHANGES = [
    "import pandas as pd\npd.set_option('display.max_rows', 7)",
    "import os\nos.environ['A'] = '1'",
    "import os\nos.chdir('..')",
    "import sys\nsys.path.append('/x')",
    "import warnings\nwarnings.filterwarnings('ignore')",
    "import textwrap\ntextwrap.dedent = len",
    "class A: n = 0\nA.n += 1\na = 1",
    "def f(): f.n = 1\nf()",
    "x = globals()['y']",
    "x = input('?')",
    "n = len(locals())",
    "import decimal\ndecimal.getcontext().prec = 5",
]


@pytest.mark.parametrize("source", CHANGES)
def test_what_changes_the_session_runs_in_the_kernel(source):
    c = capture_cell(source, {}, name="a/b", filename="<c>")
    assert c.kernel_only and [i.what for i in c.impurities] == ["session"]


@pytest.mark.parametrize(
    "source",
    [
        "import warnings\nwith warnings.catch_warnings():\n    warnings.simplefilter('ignore')\n    x = 1",
        "class A:\n    def __init__(self): self.n = 0\na = A()\na.n = 5",
        "def f():\n    return locals()\nx = f()",
        "import numpy as np\nx = np.zeros(2)\nx.shape = (1, 2)",
        "import os\nx = os.environ.get('HOME')",
        "items = []\nitems.append(1)",
    ],
)
def test_what_stays_in_the_cell_may_leave_the_kernel(source):
    c = capture_cell(source, {}, name="a/b", filename="<c>")
    assert not c.kernel_only and c.impurities == []
