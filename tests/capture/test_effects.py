"""What the text shows: clocks, unseeded randomness, environment variables."""

from __future__ import annotations

import pytest

from mlstudio_lab.capture import capture_cell

IMPURE = [
    ("import time\nt = time.time()", "clock", 2),
    ("from time import time\nt = time()", "clock", 2),
    ("import datetime as dt\n\nt = dt.datetime.now()", "clock", 3),
    ("from datetime import datetime\nt = datetime.utcnow()", "clock", 2),
    ("from datetime import date\nt = date.today()", "clock", 2),
    ("def f():\n    import time\n    return time.perf_counter()\nf()", "clock", 3),
    ("import pandas as pd\nt = pd.Timestamp.now()", "clock", 2),
    ("import uuid\nt = uuid.uuid4()", "random", 2),
    ("import os\nt = os.urandom(3)", "random", 2),
    ("import secrets\nt = secrets.token_hex()", "random", 2),
    ("import numpy as np\nr = np.random.default_rng()", "random", 2),
    ("from numpy.random import default_rng\nr = default_rng(None)", "random", 2),
    ("import random\nr = random.Random()", "random", 2),
    ("import polars as pl\nd = pl.DataFrame({'a': [1]}).sample(1)", "random", 2),
]


@pytest.mark.parametrize("source, what, line", IMPURE)
def test_impure_calls_have_their_line(source, what, line):
    found = capture_cell(source, {}, name="a/b", filename="<c>").impurities
    assert [(i.what, i.line) for i in found] == [(what, line)]


@pytest.mark.parametrize(
    "source",
    [
        "import numpy as np\nr = np.random.default_rng(3)",
        "import random\nr = random.Random(3)",
        "import polars as pl\nd = pl.DataFrame({'a': [1]}).sample(1, seed=1)",
        "import polars as pl\nimport random\nd = random.sample([1, 2], 1)",
        "import datetime as dt\nt = dt.datetime(2020, 1, 1)",
        "import time\nt = time.gmtime(0)",
        "now = 1\nx = now",
    ],
)
def test_pure_calls_are_left_alone(source):
    assert capture_cell(source, {}, name="a/b", filename="<c>").impurities == []


def test_clocks_known_by_the_kernel_and_in_helpers(kernel):
    kernel.run("import time as clock\nfrom time import time as now\ndef helper(): return clock.time()")
    c = capture_cell("a = now()\nb = helper()", kernel.ns, name="a/b", filename="<c>")
    assert [(i.what, i.line) for i in c.impurities] == [("clock", 0), ("clock", 1)]
    assert "helper" in c.impurities[0].detail


def test_environment_variables_by_literal_name(kernel, monkeypatch):
    monkeypatch.setenv("MLS_TEST_A", "1")
    monkeypatch.delenv("MLS_TEST_B", raising=False)
    kernel.run("import os\ndef helper(): return os.getenv('MLS_TEST_B', 'x')")
    c = capture_cell("a = os.environ['MLS_TEST_A']\nb = helper()\nc = 'MLS_TEST_C' in os.environ", kernel.ns, name="a/b", filename="<c>")
    assert c.env_reads == {"MLS_TEST_A": "1", "MLS_TEST_B": None, "MLS_TEST_C": None}
