import os

import polars as pl
import pytest


def what(outcome):
    assert outcome.state == "succeeded", outcome.failure["traceback"]
    return [(i["what"], i["line"]) for i in outcome.impurities]


def details(outcome):
    return " | ".join(i["detail"] for i in outcome.impurities)


PURE = [
    "import numpy as np\ny = np.random.default_rng(3).random()",
    "import random\nrandom.seed(1)\ny = random.random()",
    "import numpy as np\nnp.random.seed(1)\ny = np.random.rand()",
    "import random\ny = random.Random(4).random()",
    "import numpy as np\ny = np.random.RandomState(4).rand()",
    "import polars as pl\ny = pl.DataFrame({'x': [1, 2, 3]}).sample(2, seed=1)",
    "import time\ny = time.localtime(0).tm_year\ny2 = time.strftime('%Y', time.gmtime(0))",
    "import tempfile\nwith tempfile.NamedTemporaryFile('w+') as f:\n    f.write('x')\n    f.seek(0)\n    y = f.read()",
    "import warnings\nwarnings.warn('look')",
    "import json, pandas as pd\ny = pd.DataFrame({'a': [1]}).describe()",
    "from sklearn.linear_model import LinearRegression\ny = LinearRegression().fit([[1], [2]], [1, 2]).coef_",
    "from sklearn.ensemble import RandomForestClassifier\ny = RandomForestClassifier(5, random_state=0).fit([[1], [2]], [1, 0]).predict([[1]])",
    "import joblib.externals.loky.backend.context as c\nc.physical_cores_cache = None\ny = c.cpu_count(only_physical_cores=True) > 0",
    "import joblib\ny = joblib.Parallel(1)(joblib.delayed(abs)(i) for i in range(2))",
    "import tqdm\nfor i in tqdm.tqdm(range(3)): pass",
    "import os\ny = os.path.join('a', 'b')",
    "import matplotlib.pyplot as plt\nplt.plot([1, 2]);",
    "import sqlite3\nc = sqlite3.connect(':memory:')\ny = c.execute('select 1').fetchone()\nc.close()\ndel c",
]


@pytest.mark.parametrize("source", PURE)
def test_pure(bench, source):
    out = bench.run(source)
    assert what(out) == []
    assert "files" not in out.effects


IMPURE = [
    ("import time\ny = time.time()", "clock", 2),
    ("from time import perf_counter as p\n\ny = p()", "clock", 3),
    ("import time\ny = time.strftime('%Y')", "clock", 2),
    ("import random\ny = random.random()", "random", 0),
    ("import random\nx = random.random()\nrandom.seed(1)\ny = random.random()", "random", 0),
    ("import numpy as np\ny = np.random.rand()", "random", 0),
    ("import numpy as np\ny = np.random.default_rng().random()", "random", 2),
    ("import numpy as np\ny = np.random.RandomState().rand()", "random", 2),
    ("import random\ny = random.Random().random()", "random", 2),
    ("import random\ny = random.SystemRandom().random()", "random", 2),
    ("import uuid\ny = uuid.uuid4().hex", "random", 2),
    ("import secrets\ny = secrets.token_hex(4)", "random", 2),
    ("import os\ny = os.urandom(3)", "random", 2),
    ("import polars as pl\ny = pl.DataFrame({'x': [1, 2, 3]}).sample(2)", "random", 2),
    ("import subprocess\nsubprocess.run(['true'])\n;", "subprocess", 2),
    ("import os\nos.system('true')\n;", "subprocess", 2),
    ("import subprocess\nsubprocess.run(['uname'])\n;", "subprocess", 2),
    (
        "import multiprocessing as m\nm.get_context('spawn').Process(target=abs, args=(1,)).start()\nm.active_children()[0].join()",
        "subprocess",
        2,
    ),
    (
        "import joblib, joblib.externals.loky as k\ny = joblib.Parallel(2)(joblib.delayed(abs)(i) for i in range(2))\n"
        "k.get_reusable_executor().shutdown()",
        "subprocess",
        2,
    ),
    (
        "import socket\ns = socket.socket()\ntry:\n    s.connect(('127.0.0.1', 9))\nexcept OSError:\n    pass\ns.close()\ndel s",
        "network",
        4,
    ),
    ("import os\ny = dict(os.environ)['HOME']", "environment", 2),
]


@pytest.mark.parametrize(("source", "kind", "line"), IMPURE)
def test_impure(bench, source, kind, line):
    assert (kind, line) in what(bench.run(source))


def test_seed_of_the_task_makes_randomness_repeatable(bench):
    source = (
        "import random, numpy as np, polars as pl\ny = [random.random(), np.random.rand(), pl.Series([1, 2, 3, 4, 5]).sample(2).to_list()]"
    )
    one, two = bench.run(source, seed=7), bench.run(source, seed=7)
    assert what(one) == [] and bench.values(one) == bench.values(two) and "rng_after" not in one.effects
    assert bench.values(bench.run(source, seed=8)) != bench.values(one)


def test_generators_continue_from_the_kernels_state(bench):
    import random

    from mlstudio_lab.calling import ambient

    random.seed(11)
    state = ambient.take()
    first, second = random.random(), random.random()
    out = bench.run("import random\ny = random.random()", ambient=state)
    assert bench.values(out)["y"] == first
    here = random.getstate()
    ambient.set_rng_state(out.effects["rng_after"])
    assert random.random() == second
    random.setstate(here)


def test_reads_are_effects(bench, tmp_path):
    tmp_path = tmp_path / "data"
    tmp_path.mkdir()
    (tmp_path / "a.txt").write_text("x")
    (tmp_path / "b.csv").write_text("x\n1\n")
    pl.DataFrame({"x": [1]}).write_parquet(tmp_path / "c.parquet")
    source = f"""
import polars as pl, pandas as pd, os
a = open({str(tmp_path / "a.txt")!r}).read()
b = pl.read_csv({str(tmp_path / "b.csv")!r})
c = pl.scan_parquet({str(tmp_path / "*.parquet")!r}).collect()
d = pd.read_csv({str(tmp_path / "b.csv")!r})
e = sorted(os.listdir({str(tmp_path)!r}))
"""
    out = bench.run(source)
    assert what(out) == []
    assert set(out.effects["files"]) >= {str(tmp_path / n) for n in ("a.txt", "b.csv", "c.parquet")} | {str(tmp_path)}
    before = out.effects["files"]
    (tmp_path / "a.txt").write_text("y")
    assert {k for k, v in bench.run(source).effects["files"].items() if v != before[k]} == {str(tmp_path / "a.txt")}


def test_absent_file_is_an_effect(bench, tmp_path):
    path = str(tmp_path / "no.txt")
    out = bench.run(f"try:\n    y = open({path!r}).read()\nexcept OSError:\n    y = ''")
    assert out.effects["files"] == {path: ""}


def test_relative_paths_stay_relative(bench, tmp_path):
    (tmp_path / "a.txt").write_text("x")
    out = bench.run("y = open('a.txt').read()", ambient={"cwd": str(tmp_path)})
    assert list(out.effects["files"]) == ["a.txt"] and os.getcwd() != str(tmp_path)


@pytest.mark.parametrize(
    "write",
    [
        "open(p, 'w').close()",
        "pl.DataFrame({'x': [1]}).write_csv(p)",
        "pl.DataFrame({'x': [1]}).write_parquet(p)",
        "pl.LazyFrame({'x': [1]}).sink_csv(p)",
    ],
)
def test_writes_are_impure(bench, tmp_path, write):
    out = bench.run(f"import polars as pl\np = {str(tmp_path / 'out')!r}\n{write}\n;")
    assert ("file", 3) in what(out) and "writes out" in details(out)


def test_environment_reads(bench):
    source = "import os\ny = os.environ.get('MLS_ONE'), os.getenv('MLS_TWO', '-')"
    out = bench.run(source, ambient={"env": {"MLS_ONE": "1"}, "env_reads": ["MLS_ONE"]})
    assert bench.values(out)["y"] == ("1", "-")
    assert out.effects["env"]["MLS_TWO"] is None and set(out.effects["env"]) == {"MLS_ONE", "MLS_TWO"}
    assert what(out) == [("environment", 2)]


def test_a_file_that_a_library_of_the_persons_folder_reads_counts(bench, tmp_path):
    (tmp_path / "mls_local_lib.py").write_text("NUMBER = 3\n")
    out = bench.run("import mls_local_lib\ny = mls_local_lib.NUMBER", ambient={"path": [str(tmp_path)]})
    assert bench.values(out)["y"] == 3
    assert str(tmp_path / "mls_local_lib.py") in out.effects["files"]
    (tmp_path / "mls_local_lib.py").write_text("NUMBER = 40\n")
    assert bench.values(bench.run("import mls_local_lib\ny = mls_local_lib.NUMBER", ambient={"path": [str(tmp_path)]}))["y"] == 40
