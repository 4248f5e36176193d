"""The command line: one file a noun; every command also works as `%studio …` in a notebook."""

from mlstudio_lab.front.cli.commands import main

__all__ = ["main"]
