"""Commands inside a notebook: the same commands, errors as errors of the cell, answers displayed."""

from __future__ import annotations

import click

from mlstudio_lab.client.session import Session
from mlstudio_lab.client.studio import opened
from mlstudio_lab.core.errors import BadInput, RunFailed
from mlstudio_lab.front.cli.app import State
from mlstudio_lab.front.cli.commands import root


def run_line(words: list[str], session: Session) -> None:
    """Runs a command in this process.

    Args:
        words: The command and its options.
        session: The notebook's connection, used where the words do not name another home.

    Raises:
        BadInput: No such command or option, or bad usage; the hint has near matches.
        StudioError: The command failed.
    """
    state = State(in_notebook=True, given=opened(session.settings))
    try:
        root.main(args=words or ["--help"], prog_name="%studio", standalone_mode=False, obj=state)
    except click.exceptions.Exit as end:
        if end.exit_code:
            raise RunFailed(f"%studio {' '.join(words[:3])} did not succeed", subject=words[0], hint="what it found stands above") from None
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx is not None else "%studio"
        raise BadInput(error.format_message(), subject=path, hint=f"see {path} --help") from None
    except click.ClickException as error:
        raise BadInput(error.format_message(), subject="%studio") from None
