"""A cell's text as the kernel knows it: a file name under which tracebacks find its lines, counted as the person counts them."""

from __future__ import annotations

import ast
import contextlib
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mlstudio_lab.core.errors import CaptureRefused
from mlstudio_lab.core.futures import ALL

if TYPE_CHECKING:
    from mlstudio_lab.capture import Captured


def register(shell: Any, cell: str) -> tuple[str, str]:
    """(file name, text) of the part of a cell below its magic line, with line numbers as the person sees them.

    Args:
        shell: The running IPython.
        cell: The text below the magic line.
    """
    text = "\n" + cell
    # The list of inputs has this very cell already; the counter may or may not.
    number = max(1, len(shell.user_ns.get("In", ())) - 1)
    return str(shell.compile.cache(text, number)), text


def place(captured: Captured) -> Captured:
    """The captured code with its main text on the lines on which the person sees it, below the magic line."""
    file, line = captured.origins["main"]
    if line == 1:
        captured.origins["main"] = [file, 2]
        captured.impurities = [replace(found, line=found.line + 1) if found.line else found for found in captured.impurities]
    return captured


@contextlib.contextmanager
def lines_below_magic() -> Iterator[None]:
    """Lets refusals inside name lines as the person sees them, the magic line counted."""
    try:
        yield
    except CaptureRefused as error:
        raise CaptureRefused(_one_more(error.message), _one_more(error.subject), error.hint) from None


def execute(shell: Any, text: str, filename: str) -> None:
    """Executes definitions in the kernel, as the cell itself would have.

    Args:
        shell: The running IPython.
        text: Python source.
        filename: The file name under which its lines are known.
    """
    code = compile(text, filename, "exec", flags=shell.compile.flags & ALL, dont_inherit=True)
    shell.compile.flags |= code.co_flags & ALL
    exec(code, shell.user_ns)


def up_to(text: str, line: int) -> str:
    r"""The statements of a text that end at a line or above it.

    Args:
        text: Python source.
        line: 1-based.

    Example:
        >>> up_to("import math\ndef f():\n    return 1", 2)
        'import math'
    """
    ends = [statement.end_lineno or 0 for statement in ast.parse(text).body]
    return "\n".join(text.split("\n")[: max((end for end in ends if end <= line), default=0)])


def _one_more(text: str) -> str:
    return re.sub(r"\bline (\d+)", lambda found: f"line {int(found[1]) + 1}", text)
