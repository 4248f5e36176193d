"""Digests of parts: framed, tagged, the same for one thread and for many, and written down."""

from __future__ import annotations

import json
from pathlib import Path

from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from mlstudio_lab.core.digest import Digester, digest, digest_each

GOLDEN = Path(__file__).parents[1] / "golden" / "digests.json"
SAMPLES = {
    "nothing": (),
    "scalars": (None, True, False, 0, -1, 2**70, 0.0, -0.0, "a", "ä", b"b", float("inf")),
    "nested": ([1, ["a", {"k": [None]}]], {"b": 1, "a": 2}, ()),
    "bytes": (b"", bytes(range(256)), bytearray(b"x"), memoryview(b"y")),
}
parts = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=4), st.binary(max_size=4)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)),
    max_leaves=6,
)


def same(a: object, b: object) -> bool:
    """Whether two parts are the same, bits and types included."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b and str(a) == str(b)


@given(st.lists(parts, max_size=3), st.lists(parts, max_size=3))
def test_digests_agree_exactly_when_parts_do(a: list, b: list) -> None:
    assert (digest("k", *a) == digest("k", *b)) == same(a, b)
    assert digest("k", *a) != digest("other", *a)
    assert digest_each("k", iter(a)) == digest("k", *a)


def test_ids_are_written_down() -> None:
    assert {name: digest("golden", *sample) for name, sample in SAMPLES.items()} == json.loads(GOLDEN.read_text())


def test_threads_do_not_show() -> None:
    big = bytes(range(256)) * 80_000
    found = Digester("big")
    found.add_buffer(big)
    alone = blake3(max_threads=1)
    alone.update(b"K" + (3).to_bytes(8, "big") + b"big" + b"b" + len(big).to_bytes(8, "big"))
    alone.update(big)
    assert found.hex() == alone.hexdigest()
