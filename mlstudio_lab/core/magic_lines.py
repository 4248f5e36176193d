"""IPython's own lines inside a cell, read without IPython: what is Python, and which lines are magics, shell or help.

Only lines at which Python's parser stops are looked at, so a `%` or `!` inside a string is never taken for a magic.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

MagicKind = Literal["line", "cell", "shell", "help"]

_ASSIGNED: Final = re.compile(r"^(?P<target>\s*[\w.,\s\[\]\"']+=\s*)(?P<mark>%|!)(?P<rest>.*)$")
_CELL: Final = re.compile(r"^%%(?P<name>[\w.]+)\s*(?P<rest>.*)$")
_LINE: Final = re.compile(r"^(?P<indent>\s*)%(?P<name>[\w.]+)[ \t]*(?P<rest>.*)$")
_SHELL: Final = re.compile(r"^(?P<indent>\s*)!")
_HELP: Final = re.compile(r"^(?P<indent>\s*)(\?{1,2}\s*[\w.*]+|[%\w.*\[\]\"']+\s*\?{1,2})\s*$")
_TIMED: Final = {"time", "timeit"}
_OPTIONS: Final = re.compile(r"^(-[nrtcopqv]+\s*\d*\s+)*")
_SAME_SHELL: Final = {"bash", "sh", "script", "system", "sx", "cmd"}
_MOST_MAGICS: Final = 200


@dataclass(frozen=True, slots=True)
class Magic:
    """One IPython line.

    Attributes:
        line: 1-based line in the cell.
        kind: `line` (`%name`), `cell` (`%%name`), `shell` (`!command`), `help` (`name?`).
        name: The magic's name; "!" for a shell line, "?" for help.
        rest: What follows the name.
    """

    line: int
    kind: MagicKind
    name: str
    rest: str


@dataclass(frozen=True, slots=True)
class Parsed:
    """A cell as Python.

    Attributes:
        text: Python with as many lines as the cell: timed statements without their `%time`, other magics left out.
        tree: Its syntax tree.
        magics: What was taken out, in order.
    """

    text: str
    tree: ast.Module
    magics: tuple[Magic, ...]


@lru_cache(maxsize=2048)
def parse_cell(source: str) -> Parsed:
    """A cell's Python and its magics; line numbers are those of the cell.

    Raises:
        SyntaxError: Neither Python nor a line IPython would understand.

    Example:
        >>> parse_cell("%time y = f(x)").text, parse_cell("%time y = f(x)").magics[0].name
        ('y = f(x)', 'time')
    """
    lines = source.split("\n")
    magics: list[Magic] = []
    text = source
    for _ in range(_MOST_MAGICS):
        try:
            return Parsed(text, ast.parse(text), tuple(magics))
        except SyntaxError as error:
            at = (error.lineno or 1) - 1
            taken = _take(lines, at) if at < len(lines) else None
            if taken is None:
                indented = _dedented(lines) if isinstance(error, IndentationError) and not magics else None
                if indented is None:
                    raise
                lines = indented
            else:
                magics.append(taken)
            text = "\n".join(lines)
    raise SyntaxError("too many magics in one cell")


def ends_quietly(text: str) -> bool:
    """Whether the last code token is a semicolon, as IPython's displayhook asks: then the last value is not shown.

    Example:
        >>> ends_quietly("x;  # quiet"), ends_quietly("x  # loud;")
        (True, False)
    """
    if ";" not in text:
        return False
    last = ""
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type not in (tokenize.ENDMARKER, tokenize.NL, tokenize.NEWLINE, tokenize.COMMENT, tokenize.INDENT, tokenize.DEDENT):
                last = token.string
    except (tokenize.TokenError, IndentationError):
        return False
    return last == ";"


def _dedented(lines: list[str]) -> list[str] | None:
    """The cell without an indent that all of it shares, as IPython allows; None when its first line has none."""
    first = next((line for line in lines if line.strip()), "")
    indent = first[: len(first) - len(first.lstrip())]
    if not indent or not all(line.startswith(indent) or not line.strip() for line in lines):
        return None
    return [line.removeprefix(indent) for line in lines]


def _take(lines: list[str], at: int) -> Magic | None:
    """Replaces line `at` by its Python and says which magic it was; None when it is none."""
    line = lines[at]
    if found := _CELL.match(line):
        first = all(not x.strip() for x in lines[:at])
        if not first:
            return None
        lines[at] = ""
        if found["name"] not in _TIMED | {"capture", "prun"} or found["rest"]:
            # Another language, or statements beside the name: the body is not ours to read as Python.
            for i in range(at + 1, len(lines)):
                lines[i] = ""
        return Magic(at + 1, "cell", found["name"], found["rest"])
    if found := _SHELL.match(line):
        lines[at] = found["indent"] + "pass"
        return Magic(at + 1, "shell", "!", line.strip()[1:])
    if found := _HELP.match(line):
        lines[at] = found["indent"] + "pass"
        return Magic(at + 1, "help", "?", line.strip())
    if found := _LINE.match(line):
        lines[at] = found["indent"] + _timed(found["name"], found["rest"])
        return Magic(at + 1, "shell" if found["name"] in _SAME_SHELL else "line", found["name"], found["rest"].strip())
    if found := _ASSIGNED.match(line):
        if found["mark"] == "!":
            lines[at] = found["target"] + "None"
            return Magic(at + 1, "shell", "!", found["rest"])
        name, _, rest = found["rest"].partition(" ")
        lines[at] = found["target"] + (_timed(name, rest) if name in _TIMED and rest.strip() else "None")
        return Magic(at + 1, "line", name, rest.strip())
    return None


def _timed(name: str, rest: str) -> str:
    statement = _OPTIONS.sub("", rest.strip()).strip()
    return statement if name in _TIMED and statement else "pass"
