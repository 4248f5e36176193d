"""The root command and its entry point; each noun's file is imported when it is first asked for."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any, Final

import click

from mlstudio_lab.front.cli.app import Group, State, run

_PLACES: Final = {
    "tour": "home:tour",
    "lab": "home:lab",
    "up": "home:up",
    "down": "home:down",
    "status": "home:status",
    "doctor": "home:doctor",
    "fsck": "home:fsck",
    "whoami": "home:whoami",
    "module": "module:module",
    "run": "runs:run_command",
    "runs": "runs:runs",
    "dataset": "dataset:dataset",
    "bench": "bench:bench",
}


class _Root(Group):
    """The root, whose commands are found by name."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands in the order in which a person meets them."""
        return list(_PLACES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, None when there is none."""
        if cmd_name not in _PLACES:
            return None
        place, _, name = _PLACES[cmd_name].partition(":")
        found: Any = getattr(import_module(f"mlstudio_lab.front.cli.{place}"), name)
        assert isinstance(found, click.Command)
        return found


def _version(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value:
        from importlib.metadata import version

        click.echo(f"mlstudio {version('mlstudio_lab')}")
        context.exit()


@click.group("mlstudio", cls=_Root, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--version", is_flag=True, expose_value=False, is_eager=True, callback=_version, help="Print the version.")
def root() -> None:
    """ML Studio Lab: versioned, memoized, traced modules from notebook cells."""


def main() -> None:
    """The `mlstudio` program: exit code 0 when it worked, 1 when it failed, 2 on bad usage."""
    sys.exit(run(root, sys.argv[1:], State()))
