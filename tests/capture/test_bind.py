"""Arguments bound to signatures."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlstudio_lab.capture import bind_arguments, call_arguments, capture_source
from mlstudio_lab.core.errors import BadInput


def sample(a, b=2, *rest, k=3, **more):
    return a, b, rest, k, more


@given(st.lists(st.integers(), min_size=1, max_size=4), st.dictionaries(st.sampled_from(["k", "z"]), st.integers()))
def test_binding_and_calling_gives_the_same(args, kwargs):
    bound = bind_arguments(sample, args, kwargs)
    again, named = call_arguments(sample, bound)
    assert sample(*again, **named) == sample(*args, **kwargs)
    assert list(bound) == ["a", "b", "rest", "k", "more"]


def test_position_keyword_and_order_do_not_count():
    f = capture_source("def f(a, b=2, *, c=3, d): return a", name="demo/f").bundle.interface
    assert bind_arguments(f, (1,), {"d": 4}) == bind_arguments(f, (), {"d": 4, "a": 1}) == {"a": 1, "d": 4}
    assert bind_arguments(sample, (1, 2), {}) == bind_arguments(sample, (), {"b": 2, "a": 1})


def test_wrong_arguments_get_an_answer():
    with pytest.raises(BadInput, match="did you mean window") as found:
        bind_arguments(lambda window: window, (), {"windw": 1}, name="flights/delay")
    assert found.value.subject == "flights/delay"
    with pytest.raises(BadInput, match="missing"):
        bind_arguments(sample, (), {})
    with pytest.raises(TypeError):
        bind_arguments(lambda a: a, (1, 2), {})


def test_a_function_given_other_code_or_defaults_is_read_again() -> None:
    def f(a, b=1):
        return a, b

    assert bind_arguments(f, (1,), {}) == {"a": 1, "b": 1}
    f.__defaults__ = (2,)
    assert bind_arguments(f, (1,), {}) == {"a": 1, "b": 2}
    f.__code__ = (lambda a, c: (a, c)).__code__
    assert bind_arguments(f, (1,), {}) == {"a": 1, "c": 2}
