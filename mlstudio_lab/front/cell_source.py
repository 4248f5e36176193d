"""A cell's text as the kernel knows it: a file name under which tracebacks find its lines."""

from __future__ import annotations

from typing import Any


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


def place(captured: Any) -> Any:
    """The captured code with its main text on the lines on which the person sees it, below the magic line."""
    main = captured.origins["main"]
    if main[1] == 1:
        captured.origins["main"] = [main[0], 2]
    return captured


def execute(shell: Any, text: str, filename: str) -> None:
    """Executes definitions in the kernel, as the cell itself would have.

    Args:
        shell: The running IPython.
        text: Python source.
        filename: The file name under which its lines are known.
    """
    exec(compile(text, filename, "exec", dont_inherit=True), shell.user_ns)
