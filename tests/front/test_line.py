import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlstudio_lab.core.errors import BadInput, BadName, StudioError
from mlstudio_lab.front.line import memory, parse_module_line, parse_name_line, seconds


def test_every_option_in_both_spellings():
    line = parse_module_line(
        "flights/delay --entry delay --inputs a,b --outputs=c --where local --cpus 1.5 --gpus=1 --memory 2GB --timeout=5m --seed 7 --no-reuse --push"
    )
    assert (line.name, line.entry, line.inputs, line.outputs, line.where) == ("flights/delay", "delay", ("a", "b"), ("c",), "local")
    assert (line.cpus, line.gpus, line.memory_bytes, line.timeout_s, line.seed) == (1.5, 1.0, 2_000_000_000, 300.0, 7)
    assert (line.reuse, line.push, line.sql) == (False, True, False)


def test_without_options_everything_is_inferred():
    line = parse_module_line("flights/delay   # a comment")
    assert (line.inputs, line.outputs, line.where, line.reuse, line.seed) == (None, None, "auto", True, None)


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("a/b --timeot 3", "--timeout"),
        ("a/b --where rya", "ray"),
        ("a/b --sed 3", "--seed"),
        ("a/b --noreuse", "--no-reuse"),
        ("", "namespace/name"),
        ("a/b c/d", "--"),
        ("a/b --seed", "VALUE"),
        ("a/b --seed -1", "whole number"),
        ("a/b --memory lots", "2GB"),
        ("a/b --timeout 0", "seconds"),
        ("a/b --cpus many", "--cpus 2"),
        ("a/b --inputs 3x", "--inputs a,b"),
        ("a/b 'open", "quotation"),
    ],
)
def test_a_mistake_is_answered_with_the_next_step(line, hint):
    with pytest.raises(BadInput) as caught:
        parse_module_line(line)
    assert hint in caught.value.hint


@pytest.mark.parametrize("name", ["../../x", "Flights/Delay", "delay", "a/b/c", "a/\x07"])
def test_a_name_that_is_none_is_refused(name):
    with pytest.raises(BadName):
        parse_module_line(f"'{name}'")


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused_clearly(text):
    try:
        assert "/" in parse_module_line(text).name
    except StudioError as error:
        assert error.message


def test_a_magic_that_takes_a_name_takes_nothing_else():
    assert parse_name_line(" flights/delay ", "%%test") == "flights/delay"
    with pytest.raises(BadInput, match="no option --push"):
        parse_name_line("flights/delay --push", "%%test")


@pytest.mark.parametrize(("text", "value"), [("1", 1), ("1k", 1000), ("1.5GB", 1_500_000_000), ("1GiB", 1 << 30), ("2 mb", 2_000_000)])
def test_sizes(text, value):
    assert memory(text) == value


@pytest.mark.parametrize(("text", "value"), [("90", 90.0), ("1.5s", 1.5), ("250ms", 0.25), ("2h", 7200.0), ("3 min", 180.0)])
def test_spans(text, value):
    assert seconds(text) == value
