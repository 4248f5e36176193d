"""The line of a cell magic, read: a name and options, with near matches for misspelt ones."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, get_args

from mlstudio_lab.core.errors import BadInput, near_matches
from mlstudio_lab.core.names import Name
from mlstudio_lab.wire.task import Where

_SIZES: Final = {"": 1, "k": 1_000, "m": 1_000**2, "g": 1_000**3, "t": 1_000**4, "ki": 1 << 10, "mi": 1 << 20, "gi": 1 << 30, "ti": 1 << 40}
_SPANS: Final = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3_600.0}


@dataclass(frozen=True, slots=True)
class ModuleLine:
    """What `%%module` was told.

    Attributes:
        name: The module's `namespace/name`.
        entry: The function a cell of definitions offers, "" for the one public function.
        inputs, outputs: Names instead of the inferred ones, None to infer.
        where: The executor asked for.
        cpus, gpus, memory_bytes, timeout_s: Limits; 0 means none.
        seed: Seeds random number generators before the run.
        reuse: Whether a remembered result will do.
        push: Whether to move `latestAlpha` to this version.
        sql: Whether the cell is SQL.
    """

    name: str
    entry: str = ""
    inputs: tuple[str, ...] | None = None
    outputs: tuple[str, ...] | None = None
    where: Where = "auto"
    cpus: float = 0.0
    gpus: float = 0.0
    memory_bytes: int = 0
    timeout_s: float = 0.0
    seed: int | None = None
    reuse: bool = True
    push: bool = False
    sql: bool = False


def parse_module_line(line: str) -> ModuleLine:
    """The line after `%%module`, read.

    Raises:
        BadInput: An unknown option, a value of the wrong form, no name or more than one.
        BadName: The name is malformed.

    Example:
        >>> parse_module_line("flights/delay --timeout 5m --no-reuse").timeout_s
        300.0
    """
    words, options = _split(line, "%%module", _OPTIONS, _FLAGS)
    if not words:
        raise BadInput("%%module needs a name", subject="%%module", hint="write %%module namespace/name, such as %%module flights/delay")
    if len(words) > 1:
        raise BadInput(f"%%module takes one name, found {' '.join(words)[:80]!r}", subject="%%module", hint="options begin with --")
    return ModuleLine(str(Name.parse(words[0])), **options)


def parse_name_line(line: str, magic: str) -> str:
    """The line of a magic that takes a name and nothing else.

    Raises:
        BadInput: No name, more than one word, or an option.
        BadName: The name is malformed.

    Example:
        >>> parse_name_line("flights/delay", "%%test")
        'flights/delay'
    """
    words, _ = _split(line, magic, {}, {})
    if len(words) != 1:
        raise BadInput(f"{magic} takes one name", subject=magic, hint=f"write {magic} namespace/name")
    return str(Name.parse(words[0]))


def memory(text: str) -> int:
    """Bytes of a size such as 500MB, 2GB or 1GiB.

    Raises:
        BadInput: Not a size.

    Example:
        >>> memory("2GB"), memory("1GiB")
        (2000000000, 1073741824)
    """
    match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([kmgt]i?|)b?\s*", text.lower())
    if match is None:
        raise BadInput(f"{text[:40]!r} is not a size", subject="--memory", hint="write a number and a unit, such as --memory 2GB")
    return int(float(match[1]) * _SIZES[match[2]])


def seconds(text: str) -> float:
    """Seconds of a span such as 30, 1.5s, 5m or 2h.

    Raises:
        BadInput: Not a span of time.

    Example:
        >>> seconds("5m")
        300.0
    """
    match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([a-z]*)\s*", text.lower())
    if match is None or match[2] not in _SPANS or float(match[1]) == 0:
        raise BadInput(
            f"{text[:40]!r} is not a span of time", subject="--timeout", hint="write seconds or a unit, such as --timeout 90 or 5m"
        )
    return float(match[1]) * _SPANS[match[2]]


def _names(option: str) -> Callable[[str], tuple[str, ...]]:
    def read(text: str) -> tuple[str, ...]:
        found = tuple(word for word in re.split(r"[\s,]+", text) if word)
        bad = [word for word in found if not word.isidentifier()]
        if bad:
            raise BadInput(f"{bad[0][:40]!r} is not a variable's name", subject=option, hint=f"write {option} a,b")
        return found

    return read


def _number(option: str) -> Callable[[str], float]:
    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = -1.0
        if not 0 <= value < 1e6:
            raise BadInput(f"{text[:40]!r} is not a count", subject=option, hint=f"write {option} 2")
        return value

    return read


def _seed(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,10}", text) or int(text) >= 1 << 32:
        raise BadInput(f"{text[:40]!r} is not a seed", subject="--seed", hint="write a whole number from 0 to 4294967295")
    return int(text)


def _where(text: str) -> str:
    if text not in get_args(Where):
        known = ", ".join(get_args(Where))
        raise BadInput(f"--where is {text[:40]!r}, expected one of {known}", subject="--where", hint=near_matches(text, get_args(Where)))
    return text


_OPTIONS: Final[dict[str, tuple[str, Callable[[str], Any]]]] = {
    "--entry": ("entry", str),
    "--inputs": ("inputs", _names("--inputs")),
    "--outputs": ("outputs", _names("--outputs")),
    "--where": ("where", _where),
    "--cpus": ("cpus", _number("--cpus")),
    "--gpus": ("gpus", _number("--gpus")),
    "--memory": ("memory_bytes", memory),
    "--timeout": ("timeout_s", seconds),
    "--seed": ("seed", _seed),
}
_FLAGS: Final[dict[str, tuple[str, bool]]] = {"--no-reuse": ("reuse", False), "--push": ("push", True), "--sql": ("sql", True)}


def _split(
    line: str, magic: str, options: dict[str, tuple[str, Callable[[str], Any]]], flags: dict[str, tuple[str, bool]]
) -> tuple[list[str], dict[str, Any]]:
    try:
        waiting = shlex.split(line, comments=True)
    except ValueError as error:
        raise BadInput(f"{magic}: {error}", subject=magic, hint="close the quotation mark") from None
    words: list[str] = []
    found: dict[str, Any] = {}
    while waiting:
        word = waiting.pop(0)
        if not word.startswith("-") or word == "-":
            words.append(word)
            continue
        option, equals, value = word.partition("=")
        if option in flags and not equals:
            found[flags[option][0]] = flags[option][1]
        elif option in options:
            if not equals:
                if not waiting:
                    raise BadInput(f"{option} needs a value", subject=option, hint=f"write {option} VALUE")
                value = waiting.pop(0)
            found[options[option][0]] = options[option][1](value)
        else:
            known = [*options, *flags]
            hint = near_matches(option, known) or (f"{magic} knows {', '.join(known)}" if known else f"{magic} has no options")
            raise BadInput(f"{magic} has no option {option[:40]}", subject=option[:40], hint=hint)
    return words, found
