"""Names, references, ids, digests, bundles and the life of a run."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.utils import canonicalize_name

from mlstudio_lab.core.bundle import Bundle, Unit
from mlstudio_lab.core.digest import Digester, digest, digest_each
from mlstudio_lab.core.errors import ERRORS, STATUS, BadInput, BadName, Conflict, StudioError, near_matches
from mlstudio_lab.core.ids import is_ulid, ulid
from mlstudio_lab.core.interface import Interface, Port
from mlstudio_lab.core.lock import Lock
from mlstudio_lab.core.names import Name, Ref
from mlstudio_lab.core.run import FINAL, advance

NAMES = st.from_regex(
    re.compile(r"[a-z][a-z0-9]{0,3}([-_][a-z0-9]{1,3}){0,2}/[a-z][a-z0-9]{0,3}([-_][a-z0-9]{1,3}){0,2}", re.ASCII), fullmatch=True
)
PARTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(NAMES)
def test_names_are_read_back(text):
    assert str(Name.parse(text)) == text


@given(NAMES, NAMES)
def test_distribution_and_import_names_are_injective_also_normalised(a, b):
    first, second = Name.parse(a), Name.parse(b)
    assert (canonicalize_name(first.distribution) == canonicalize_name(second.distribution)) is (a == b)
    assert (first.import_name == second.import_name) is (a == b)
    assert first.import_name.isidentifier() and first.distribution.startswith("mlstudio-")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "a/",
        "/b",
        "a/b/c",
        "../../x",
        "A/b",
        "a/b\n",
        "a/\x1b[31m",
        "a b/c",
        "a--b/c",
        "-a/b",
        "a/b-",
        "é/b",
        "a" * 200 + "/b",
        "a/b@x",
        "1a/b",
    ],
)
def test_bad_names_are_refused_without_control_characters(text):
    with pytest.raises(BadName) as found:
        Name.parse(text)
    assert not re.search(r"[\x00-\x1f]", found.value.subject)


@pytest.mark.parametrize("text", ["a/b", "a/b@latestAlpha", "a/b@v12", "a/b@" + "ab" * 6])
def test_references_are_read_back(text):
    assert str(Ref.parse(text)) == text


@pytest.mark.parametrize("text", ["a/b@", "a/b@-x", "a/b@x/y", "a/b@x y", "a/b@" + "z" * 70])
def test_bad_references(text):
    with pytest.raises(BadName):
        Ref.parse(text)


def test_references_tell_numbers_digests_and_tags_apart():
    assert Ref.parse("a/b@v3").number == 3 and Ref.parse("a/b@v0").tag == "v0"
    assert Ref.parse("a/b@" + "0" * 12).digest and Ref.parse("a/b@abc").tag == "abc"


@given(PARTS, PARTS)
def test_digests_differ_when_the_parts_differ(a, b):
    def shape(part):
        if isinstance(part, float):
            return ("f", part.hex())
        if isinstance(part, list):
            return ("l", [shape(p) for p in part])
        if isinstance(part, dict):
            return ("d", sorted((k, shape(v)) for k, v in part.items()))
        return (type(part).__name__, part)

    assert (digest("k", a) == digest("k", b)) is (repr(shape(a)) == repr(shape(b)))
    assert digest("k", a) != digest("other", a)


def test_digest_forms_agree():
    d = Digester("k")
    d.add("x")
    d.add_buffer(b"y")
    assert d.hex() == digest("k", "x", b"y") == digest_each("k", ["x", memoryview(b"y")])
    with pytest.raises(TypeError):
        digest("k", object())


@given(st.integers(0, (1 << 48) - 1), st.integers(0, (1 << 48) - 1), st.binary(min_size=10, max_size=10))
def test_later_ids_sort_later(a, b, random):
    assert (ulid(a, random) < ulid(b, random)) is (a < b)
    assert is_ulid(ulid(a, random))


def test_ids_out_of_range_and_texts_that_are_none():
    with pytest.raises(ValueError, match="48 bits"):
        ulid(1 << 48, bytes(10))
    with pytest.raises(ValueError, match="ten"):
        ulid(1, bytes(9))
    assert not is_ulid("8" + "0" * 25) and not is_ulid("0" * 25) and not is_ulid("../" + "0" * 23)


BUNDLE = Bundle(
    "function",
    "f",
    (Unit("import", "np", "import numpy as np"), Unit("main", "main", "def f(x): return x"), Unit("test", "test_1", "def test_f(): ...")),
    Interface((Port("x", "int"), Port("k", default="1", required=False)), (Port("return"),)),
    Lock("3.11.7", "linux-x86_64", (("numpy", "2.4.6"),), ("numpy",)),
)


def test_bundles_are_read_back_and_any_part_changes_their_id():
    data = BUNDLE.to_json()
    assert Bundle.from_json(json.loads(json.dumps(data))) == BUNDLE
    changed = [
        {**data, "entry": "g"},
        {**data, "units": data["units"][:2]},
        {**data, "units": [*data["units"][1:], data["units"][0]]},
        {**data, "units": [{**data["units"][0], "source": "import numpy as np "}, *data["units"][1:]]},
        {**data, "interface": {"inputs": [], "outputs": []}},
        {**data, "lock": {**data["lock"], "python": "3.11.8"}},
        {**data, "lock": {**data["lock"], "distributions": {"numpy": "2.4.7"}}},
    ]
    assert len({Bundle.from_json(d).id for d in changed} | {BUNDLE.id}) == len(changed) + 1
    assert BUNDLE.main.source == "def f(x): return x"


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "thing"},
        {"units": []},
        {"units": [{"role": "main", "name": "a"}]},
        {"units": [{"role": "odd", "name": "a", "source": ""}]},
        {"units": [{"role": ["main"], "name": "a", "source": ""}]},
        {"lock": None},
        {"entry": None, "units": 3},
    ],
)
def test_what_is_not_a_bundle_is_refused(change):
    with pytest.raises(BadInput):
        Bundle.from_json({**BUNDLE.to_json(), **change})


def test_the_lock_does_not_depend_on_the_order_of_finding():
    assert Lock("3", "l", (("a", "1"), ("b", "2"))).digest == Lock("3", "l", (("b", "2"), ("a", "1")), ("a",)).digest
    assert Lock("3", "l", (("a", "1"),)).digest != Lock("3", "l", (("a", "2"),)).digest


@given(st.lists(st.sampled_from(["start", "requeue", "succeed", "fail", "cancel"]), max_size=8))
def test_a_run_ends_once(events):
    state, ended = "queued", 0
    for event in events:
        try:
            state = advance(state, event)
        except Conflict:
            continue
        assert not ended
        ended += state in FINAL
    assert ended <= 1


def test_every_error_has_a_status_and_is_read_back():
    import pickle

    assert ERRORS.keys() == STATUS.keys()
    for code, cls in ERRORS.items():
        error = pickle.loads(pickle.dumps(cls("what", "on", "do")))
        assert (error.code, str(error), error.subject) == (code, "what (do)", "on") and isinstance(error, StudioError)
    assert near_matches("flights/dely", ["flights/delay"]) == "did you mean flights/delay?" and near_matches("x", ["flights"]) == ""
