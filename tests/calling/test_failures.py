import traceback

import pytest

from mlstudio_lab.calling.failures import raise_failure, rebuild
from mlstudio_lab.core.errors import RunFailed
from mlstudio_lab.data.code_refs import NoCode
from mlstudio_lab.data.graph import NodeTable, unpack
from mlstudio_lab.wire.task import Failure, Payload

SOURCE = """class Mine(Exception):
    def __init__(self, code, *, extra=None):
        super().__init__(f'code {code}')
        self.code, self.extra = code, extra

def inner(x):
    raise KeyError('lost') from ValueError('why')

def f(x):
    return inner(x)
"""


def test_the_same_exception_with_the_persons_lines(bench):
    out = bench.function(SOURCE, "f", 1, origins={"main": ["/nb/cell-4.py", 3]})
    failure = Failure.from_json(out.failure)
    assert failure.frames == [
        ["/nb/cell-4.py", 12, "f", "return inner(x)", 11],
        ["/nb/cell-4.py", 9, "inner", "raise KeyError('lost') from ValueError('why')", 8],
    ]
    with pytest.raises(KeyError) as caught:
        raise_failure(failure, blobs=bench.blobs)
    lines = [(f.filename, f.lineno, f.name) for f in traceback.extract_tb(caught.value.__traceback__)]
    assert lines[-2:] == [("/nb/cell-4.py", 12, "f"), ("/nb/cell-4.py", 9, "inner")]
    assert isinstance(caught.value.__cause__, ValueError)


def test_an_exception_that_cannot_be_made_again(bench):
    out = bench.function("def f():\n    class Odd(Exception): pass\n    raise Odd('told')", "f")
    failure = Failure.from_json(out.failure)
    assert failure.payload is None
    error = rebuild(failure)
    assert type(error) is RunFailed and "Odd: told" in str(error)


OWN = """class Own(ValueError):
    def __init__(self, code, *, rows, lock=None):
        super().__init__(f'code {code}')
        self.code, self.rows, self.lock = code, rows, lock

    def __str__(self):
        return f'{self.code}: {self.rows} rows'

class Missing(OSError):
    def __init__(self, name):
        super().__init__(2, 'gone', name)

def read(x):
    raise Missing('a.csv')

def f(x):
    try:
        read(x)
    except Missing as error:
        error.add_note('looked twice')
        raise Own(7, rows=3, lock=__import__('threading').Lock()) from error
"""


def test_an_exception_with_a_constructor_of_its_own_is_of_the_live_class(bench):
    class Code(NoCode):
        def find(self, name):
            return names[name.partition(":")[2]]

    names = {"__name__": "__main__"}
    exec(OWN, names)
    out = bench.function(OWN, "f", 1)
    error = rebuild(Failure.from_json(out.failure), Code(), bench.blobs)
    assert type(error) is names["Own"] and (error.code, error.rows, str(error)) == (7, 3, "7: 3 rows")
    cause = error.__cause__
    assert type(cause) is names["Missing"] and (cause.errno, cause.filename, cause.__notes__) == (2, "a.csv", ["looked twice"])
    assert [f.name for f in traceback.extract_tb(cause.__traceback__)] == ["f", "read"]
    assert error.__context__ is cause


def test_ipython_renders_it(bench):
    from IPython.core.ultratb import VerboseTB

    out = bench.function(SOURCE, "f", 1, origins={"main": ["/nb/cell-4.py", 1]})
    error = rebuild(Failure.from_json(out.failure), blobs=bench.blobs)
    text = "".join(VerboseTB().text(type(error), error, error.__traceback__))
    assert "cell-4.py" in text and "KeyError" in text


def test_recursion_ends(bench):
    out = bench.function("def f():\n    return f()", "f")
    assert out.failure["type"] == "builtins.RecursionError" and len(out.failure["frames"]) <= 200


def test_a_failing_cell_gives_back_what_it_did_before(bench):
    source = (
        "log.append('started')\ntotal = sum(log2)\nlock = __import__('threading').Lock()\ndel gone\nraise ValueError('late')\nnever = 1"
    )
    given = {"log": [], "log2": [1, 2], "gone": 1}
    out = bench.run(source, globals=given, inputs=list(given))
    assert out.state == "failed"
    got = unpack(Payload.from_json(out.outputs), bench.blobs, NoCode(), known=NodeTable.of({"globals": given}))
    assert got.values == {"bound": {"total": 3}, "deleted": ["gone"]}
    assert [u.kind for u in got.updates] == ["sequence"]
    error = rebuild(Failure.from_json(out.failure), blobs=bench.blobs)
    assert type(error) is ValueError and "`lock`" in error.__notes__[0]


def test_a_failing_function_gives_back_its_changed_arguments(bench):
    out = bench.function("def f(x):\n    x.append(1)\n    raise ValueError('late')", "f", [], inputs=["x"])
    assert out.state == "failed" and out.outputs is not None
    assert bench.function("def f(x):\n    raise ValueError('at once')", "f", [], inputs=["x"]).outputs is None
