"""Live functions: closures, decorators, defaults, classes, redefinitions; each is called where only its bundle is."""

from __future__ import annotations

import functools

import pytest

from mlstudio_lab.capture import capture_definitions, capture_function, capture_source
from mlstudio_lab.core.code_digest import code_digest, code_tree
from mlstudio_lab.core.errors import CaptureRefused

SETUP = """\
import functools, math
from dataclasses import dataclass
from enum import Enum
from collections import namedtuple
rate = 2
table = {"a": [1, 2]}
def twice(f):
    @functools.wraps(f)
    def inner(*a, **k):
        return f(*a, **k) * 2
    return inner
def bare(f):
    def inner(*a):
        return f(*a) + 100
    return inner
def make(n, g=None):
    def add(x):
        return x + n + (g(x) if g else 0)
    return add
class Base:
    unit = 3
    def value(self): return self.unit * rate
class Child(Base):
    def value(self): return super().value() + 1
@dataclass(frozen=True)
class Point:
    x: int
    y: int = 2
    def norm(self): return math.hypot(self.x, self.y)
class Colour(Enum):
    RED = 1
Pair = namedtuple("Pair", "a b")
"""

FUNCTIONS = [
    ("def f(x):\n    return x * rate", (3,), 6),
    ("@twice\ndef f(x):\n    return x + 1", (3,), 8),
    ("@bare\ndef f(x):\n    return x + 1", (3,), 104),
    ("f = make(5)", (1,), 6),
    ("f = make(5, math.sqrt)", (4,), 11),
    ("f = make(5, make(1))", (1,), 8),
    ("f = lambda x: x * rate", (2,), 4),
    ("f = (lambda n: lambda x: x + n)(7)", (1,), 8),
    ("ops = [lambda v: v + 1, lambda v: v + 2]\ndef f(x): return ops[1](x)", (1,), 3),
    ("f = [lambda v: v + 1, lambda v: v + 2][1]", (1,), 3),
    ("def f(x, k=rate): return x * k", (3,), 6),
    ("def f(x, *, k=len(table)): return x * k", (3,), 3),
    ("def f(x, t=table): return t['a'][x]", (1,), 2),
    ("def f(x): return Child().value() + x", (1,), 8),
    ("def f(x): return Point(x).norm()", (0,), 2.0),
    ("def f(x): return Colour.RED.value + x", (1,), 2),
    ("def f(x): return Pair(x, 1).a", (4,), 4),
    ("@functools.lru_cache\ndef f(n): return n if n < 2 else f(n - 1) + f(n - 2)", (10,), 55),
    ("def g(n): return n * rate\nf = functools.lru_cache(maxsize=3)(g)", (2,), 4),
    ("def even(n): return n == 0 or odd(n - 1)\ndef odd(n): return n != 0 and even(n - 1)\ndef f(n): return even(n)", (4,), True),
    ("def f(x):\n    import json\n    return json.loads(json.dumps(x))", ([1],), [1]),
    ("if rate:\n    def f(x):\n        return '''a\nb''' + x", ("c",), "a\nbc"),
    ("def f(x, y: 'int' = -1, *a, z=(1, 'é'), **k): return (x, y, z)", (1,), (1, -1, (1, "é"))),
    ("def h(x): return x\nk = h\ndef f(x): return k(x)", (1,), 1),
    ("def old(x): return x + 1\nkept = old\ndef old(x): return kept(x) * 10\ndef f(x): return old(x)", (1,), 20),
    ("a = 1; f = lambda x: x + a; b = 2", (1,), 2),
    ("def f(n):\n    def rec(k): return 1 if k < 1 else k * rec(k - 1)\n    return rec(n)", (4,), 24),
    ("def outer():\n    def rec(k): return 1 if k < 1 else k * rec(k - 1)\n    return rec\nf = outer()", (4,), 24),
    ("class M:\n    def go(self, x): return x * rate\nf = M.go", (None, 4), 8),
    ("def f(x): return [row for row in sorted(x, key=lambda r: -r * rate)]", ([1, 2],), [2, 1]),
    (
        "class P:\n    def __init__(self): self._x = 1\n    @property\n    def x(self): return self._x\n    @x.setter\n"
        "    def x(self, v): self._x = v\n    @functools.cached_property\n    def y(self): return self.x + rate\n"
        "    @twice\n    def z(self): return 1\ndef f(v):\n    p = P()\n    p.x = v\n    return p.y + p.z()",
        (3,),
        7,
    ),
    ("class V:\n    def v(self): return 1\nold = V()\nclass V:\n    def v(self): return 2\ndef f(): return old.v(), V().v()", (), (1, 2)),
    ("T = int | None\ndef f(x: T) -> T: return x", (1,), 1),
]


@pytest.mark.parametrize("text, args, result", FUNCTIONS)
def test_a_function_computes_the_same_where_only_its_bundle_is(kernel, call, text, args, result):
    kernel.run(SETUP, text)
    live = kernel.ns["f"]
    assert live(*args) == result
    c = capture_function(live, kernel.ns, name="demo/f")
    assert not c.stale and not c.kernel_only, (c.stale, c.kernel_only)
    assert call(c, *args) == result
    assert capture_function(live, kernel.ns, name="demo/f").bundle.id == c.bundle.id


@pytest.mark.parametrize("text, args, result", [f for f in FUNCTIONS if f[0].startswith(("def f", "@"))])
def test_a_definitions_cell_gives_the_same_version_before_and_after_it_ran(kernel, call, text, args, result):
    kernel.run(SETUP)
    before = capture_definitions(text, kernel.ns, name="demo/f", filename="<cell>", entry="f")
    kernel.run(text)
    after = capture_function(kernel.ns["f"], kernel.ns, name="demo/f", entry_source=text)
    assert before.bundle.to_json() == after.bundle.to_json()
    assert call(after, *args) == result


CHANGES = [
    ("rate = 5", "rate"),
    ("def low(x): return x - 1", "low"),
    ("class Base:\n    unit = 4\n    def value(self): return self.unit * rate", "Base"),
    ("table = {'a': [1, 3]}", None),
    ("def make(n, g=None):\n    def add(x):\n        return x - n\n    return add\nadd3 = make(3)", "add3"),
    ("add3 = make(4)", "add3"),
    ("def low(x, k=2): return x", "low"),
    ("low = functools.partial(max, 1)", "low"),
]


@pytest.mark.parametrize("edit, changed", CHANGES)
def test_whatever_it_reaches_changes_its_version_and_undoing_gives_the_old_one_back(kernel, edit, changed):
    start = SETUP + "\ndef low(x): return x\ndef mid(x): return low(x) + add3(x)\nadd3 = make(3)\n"
    text = "def f(x): return mid(x) + Base().value() + rate + table['a'][1]"
    kernel.run(start, text)
    first = capture_function(kernel.ns["f"], kernel.ns, name="demo/f", entry_source=text)
    kernel.run(edit, "class Child(Base): pass")
    second = capture_function(kernel.ns["f"], kernel.ns, name="demo/f", entry_source=text)
    if changed is None:
        assert second.bundle.id == first.bundle.id and second.inputs["table"] != first.inputs["table"]
    else:
        assert code_digest(second.bundle) != code_digest(first.bundle)
        a, b = code_tree(first.bundle), code_tree(second.bundle)
        assert changed in {n for n in a.keys() | b.keys() if a.get(n) != b.get(n)}
        assert second.bundle.main == first.bundle.main
    kernel.run(start)
    assert capture_function(kernel.ns["f"], kernel.ns, name="demo/f", entry_source=text).bundle.id == first.bundle.id


def test_a_helper_of_the_same_cell_redefined_elsewhere_is_what_runs(kernel, call):
    text = "def clean(x): return x + 1\ndef f(x): return clean(x)"
    kernel.run(text, "def clean(x): return x + 10")
    assert kernel.ns["f"](1) == 11
    assert call(capture_function(kernel.ns["f"], kernel.ns, name="demo/f", entry_source=text), 1) == 11


def test_defaults_are_those_the_function_has(kernel, call):
    kernel.run("k = [1]\nn = 2", "def f(x, a=k, b=n, c=len('abc')): return (x, a, b, c)", "k = [9]\nn = 8")
    c = capture_function(kernel.ns["f"], kernel.ns, name="demo/f")
    assert call(c, 0) == kernel.ns["f"](0) == (0, [1], 2, 3)


def test_what_cannot_be_rebuilt_says_why(kernel):
    kernel.run(
        "def counter():\n    n = 0\n    def count(x):\n        nonlocal n\n        n += x\n        return n\n    return count\nc = counter()\n"
        "def bump(x):\n    global total\n    total = x\n"
        "def tagged(x): return x\ntagged.hits = 0\n"
        "def local():\n    class Inner: pass\n    return Inner\nInner = local()\ndef uses(): return Inner()\n"
        "exec('def ghost(x): return x')\ndef haunted(x): return ghost(x)"
    )
    for name, word in [("bump", "total"), ("uses", "inside a function"), ("haunted", "ghost")]:
        assert word in capture_function(kernel.ns[name], kernel.ns, name="demo/f").kernel_only
    kernel.run("def f(x): return c(x) + tagged(x)")
    assert "closed over" in capture_function(kernel.ns["f"], kernel.ns, name="demo/f").kernel_only
    with pytest.raises(CaptureRefused, match="attributes"):
        capture_function(kernel.ns["tagged"], kernel.ns, name="demo/f")
    with pytest.raises(CaptureRefused):
        capture_function(len, kernel.ns, name="demo/f")


def test_patched_classes_and_code_are_noticed(kernel):
    kernel.run("class A:\n    k = 1\n    def go(self): return 1\ndef f(): return A().go()")
    assert not capture_function(kernel.ns["f"], kernel.ns, name="demo/f").stale
    kernel.run("def other(self): return 2\nA.go = other")
    assert "go" in capture_function(kernel.ns["f"], kernel.ns, name="demo/f").stale
    kernel.run("class A:\n    k = 1\n    def go(self): return 1", "A.k = 2")
    assert "k" in capture_function(kernel.ns["f"], kernel.ns, name="demo/f").stale
    kernel.run("class A:\n    k = 1\n    def go(self): return 1", "A.extra = other")
    assert "extra" in capture_function(kernel.ns["f"], kernel.ns, name="demo/f").stale
    kernel.run("def g(): return 1\ndef h(): return 2\ng.__code__ = h.__code__")
    assert capture_function(kernel.ns["g"], kernel.ns, name="demo/g").bundle.main.source.startswith(("def h", "def g"))


def test_a_decorator_argument_bound_anew_is_noticed(kernel):
    kernel.run(
        "n = 3\ndef times(k):\n    def d(f):\n        return lambda x: f(x) * k\n    return d",
        "@times(n)\ndef g(x): return x",
        "def f(x): return g(x)",
    )
    assert not capture_function(kernel.ns["f"], kernel.ns, name="demo/f").stale
    kernel.run("n = 4")
    assert "`n`" in capture_function(kernel.ns["f"], kernel.ns, name="demo/f").stale


def test_a_future_statement_of_an_earlier_cell_still_holds(kernel, call):
    kernel.run("from __future__ import annotations", "def f(x: Undefined) -> Missing:\n    return x")
    c = capture_function(kernel.ns["f"], kernel.ns, name="demo/f")
    assert not c.stale and call(c, 3) == 3


def test_classes_of_arguments_come_with_the_call(kernel):
    kernel.run("class A:\n    def go(self): return helper()\ndef helper(): return 1\ndef f(a): return a.go()")
    c = capture_function(kernel.ns["f"], kernel.ns, name="demo/f", values={"a": kernel.ns["A"]()})
    assert {u.name for u in c.bundle.units} == {"A", "helper", "main"}
    before = c.code.digest_of(kernel.ns["A"])
    assert before == code_tree(c.bundle)["A"]
    alone = capture_function(kernel.ns["f"], kernel.ns, name="demo/f").code
    first = alone.digest_of(kernel.ns["A"])
    kernel.run("def helper(): return 2")
    assert capture_function(kernel.ns["f"], kernel.ns, name="demo/f").code.digest_of(kernel.ns["A"]) not in (None, first)


def test_interface_of_the_signature(kernel):
    kernel.run("big = list(range(100))")
    c = capture_definitions(
        "def f(a: int, b: 'str' = 'x', /, *rest: float, k=1, **more) -> list[int]:\n    return big",
        kernel.ns,
        name="demo/f",
        filename="<c>",
    )
    ports = [(p.name, p.type, p.required, p.default, p.variadic, p.implicit) for p in c.bundle.interface.inputs]
    assert ports == [
        ("a", "int", True, "", "", False),
        ("b", "str", False, "'x'", "", False),
        ("rest", "float", False, "", "*", False),
        ("k", "", False, "1", "", False),
        ("more", "", False, "", "**", False),
        ("big", "", True, "", "", True),
    ]
    assert c.bundle.interface.outputs[0].type == "list[int]"


def test_handles_stand_for_the_function_they_hold(kernel, call):
    class Handle:
        def __init__(self, function):
            self.__mlstudio_function__ = function

    kernel.run("def clean(x): return x + 1\ndef f(x): return clean(x)")
    live = kernel.ns["clean"]
    kernel.ns["clean"] = Handle(live)
    c = capture_function(kernel.ns["f"], kernel.ns, name="demo/f")
    assert call(c, 1) == 2
    assert c.code.name_of(live) == "__main__:clean" and c.code.find("__main__:clean") is kernel.ns["clean"]
    kernel.ns["f"] = Handle(kernel.ns["f"])
    assert call(capture_function(kernel.ns["f"], kernel.ns, name="demo/f"), 1) == 2


def test_plain_source(call):
    c = capture_source("import math\nK = 2\ndef f(x): return math.floor(x) * K", name="demo/f")
    assert call(c, 2.5) == 4 and c.bundle.entry == "f"
    with pytest.raises(CaptureRefused, match="several"):
        capture_source("def a(): ...\ndef b(): ...", name="demo/f")
    assert capture_source("def a(): ...\ndef b(): ...", name="demo/f", entry="b").bundle.entry == "b"
    with pytest.raises(CaptureRefused, match="no function `c`"):
        capture_source("def a(): ...", name="demo/f", entry="c")
    with pytest.raises(CaptureRefused, match="no public"):
        capture_source("class A: ...", name="demo/f")


offset = 5


def module_helper(x):
    return x + offset


def module_function(x):
    return module_helper(x) * 2


def test_a_function_of_a_plain_file(call):
    c = capture_function(module_function, {}, name="demo/f")
    assert not c.stale and call(c, 1) == 12
    assert ("constant", "offset") in [(u.role, u.name) for u in c.bundle.units]
    assert capture_function(functools.wraps(module_function)(module_function), {}, name="demo/f").bundle.id == c.bundle.id
