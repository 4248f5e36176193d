"""The frame of every command: global options anywhere, one JSON object on request, one clear error, exit codes 0, 1, 2."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

import click

from mlstudio_lab.client.studio import Studio, opened
from mlstudio_lab.core.errors import StudioError, near_matches
from mlstudio_lab.settings import Settings

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(slots=True)
class Answer:
    """What a command found.

    Attributes:
        data: What `--json` prints, one object.
        show: Prints it for people.
        rich: An object a notebook displays instead, None for none.
        code: The exit code.
    """

    data: dict[str, Any]
    show: Callable[[Console], None]
    rich: Any = None
    code: int = 0


@dataclass(slots=True)
class State:
    """What the global options said; shared by a command and its groups.

    Attributes:
        home, url: Instead of the environment's, None for that.
        as_json: Whether to print one JSON object.
        studio: The studio to use, None to find or start it when first needed.
        in_notebook: Whether a kernel is asking; answers may then be displayed.
    """

    home: str | None = None
    url: str | None = None
    as_json: bool = False
    in_notebook: bool = False
    given: Studio | None = field(default=None, repr=False)

    @property
    def settings(self) -> Settings:
        """The settings these options and the environment give."""
        if self.given is not None and self.home is None and self.url is None:
            return self.given.session.settings
        return Settings.read(home=self.home, url="" if self.home is not None and self.url is None else self.url)

    @property
    def studio(self) -> Studio:
        """The studio, its service started if need be."""
        return opened(self.settings)


pass_state = click.make_pass_decorator(State, ensure=True)


def _globals() -> list[click.Option]:
    def note(key: str) -> Callable[[click.Context, click.Parameter, Any], None]:
        def keep(context: click.Context, parameter: click.Parameter, value: Any) -> None:
            if value:
                setattr(context.ensure_object(State), key, value)

        return keep

    return [
        click.Option(["--json"], is_flag=True, expose_value=False, callback=note("as_json"), help="Print one JSON object."),
        click.Option(["--home"], metavar="DIR", expose_value=False, callback=note("home"), help="The home's folder (MLSTUDIO_HOME)."),
        click.Option(["--url"], metavar="URL", expose_value=False, callback=note("url"), help="A team's service (MLSTUDIO_URL)."),
    ]


class Command(click.Command):
    """A command with the global options, whose function gives an `Answer`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params += _globals()

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command and prints its answer."""
        answer = super().invoke(ctx)
        if isinstance(answer, Answer):
            _print(answer, ctx.ensure_object(State))
            if answer.code:
                ctx.exit(answer.code)
        return answer


class Group(click.Group):
    """A group whose misspelt commands get near matches."""

    command_class = Command
    group_class = type

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params += _globals()

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the words name.

        Raises:
            UsageError: There is none; the message has near matches.
        """
        if args and self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            hint = near_matches(args[0], self.list_commands(ctx)) or f"there are {', '.join(self.list_commands(ctx))}"
            raise click.UsageError(f"no command {args[0][:40]!r}: {hint}", ctx)
        return super().resolve_command(ctx, args)


def run(group: click.Group, args: list[str], state: State) -> int:
    """Runs one command line and gives its exit code; errors are printed, on standard error or as the JSON object.

    Args:
        group: The root command.
        args: The words after the program's name.
        state: Where the global options are noted.
    """
    try:
        code = group.main(args=args, prog_name="mlstudio", standalone_mode=False, obj=state)
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        if not state.as_json:
            click.echo(error.format_message(), err=True)
            return 2
        return _usage(click.UsageError("no command was given", error.ctx), state, True)
    except click.UsageError as error:
        return _usage(error, state, "--json" in args)
    except click.ClickException as error:
        return _failed(StudioError(error.format_message()), state)
    except (click.Abort, KeyboardInterrupt):
        click.echo("stopped", err=True)
        return 130
    except StudioError as error:
        return _failed(error, state)
    except BrokenPipeError:
        # Whoever read our output, such as `head`, has read enough.
        sys.stderr.close()
        return 0
    return code if isinstance(code, int) else 0


def parse_pairs(pairs: tuple[str, ...], option: str) -> dict[str, str]:
    """`name=value` texts as a mapping.

    Raises:
        click.UsageError: One without a name or an equals sign.

    Example:
        >>> parse_pairs(("days=7",), "--set")
        {'days': '7'}
    """
    found = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name.strip():
            raise click.UsageError(f"{option} is {pair[:40]!r}, expected name=value")
        found[name.strip()] = value
    return found


def parse_values(pairs: tuple[str, ...], option: str = "--set") -> dict[str, Any]:
    """`name=value` texts with values as JSON where they are JSON, else as text.

    Example:
        >>> parse_values(("days=7", "carrier=UA"))
        {'days': 7, 'carrier': 'UA'}
    """

    def no_constant(name: str) -> NoReturn:
        raise ValueError(name)

    found: dict[str, Any] = {}
    for name, text in parse_pairs(pairs, option).items():
        try:
            found[name] = json.loads(text, parse_constant=no_constant)
        except ValueError:
            found[name] = text
    return found


def _print(answer: Answer, state: State) -> None:
    if state.as_json:
        click.echo(json.dumps(answer.data, default=str))
        return
    if state.in_notebook and answer.rich is not None:
        from IPython.display import display

        display(answer.rich)  # type: ignore[no-untyped-call]
        return
    from rich.console import Console

    answer.show(Console(highlight=False, soft_wrap=not sys.stdout.isatty()))


def _usage(error: click.UsageError, state: State, as_json: bool) -> int:
    message = error.format_message()
    if state.as_json or as_json:
        click.echo(json.dumps({"error": {"code": "bad_input", "message": message, "subject": "command line", "hint": _help(error)}}))
    else:
        click.echo(f"error: {message}", err=True)
        click.echo(f"hint: {_help(error)}", err=True)
    return 2


def _help(error: click.UsageError) -> str:
    path = error.ctx.command_path if error.ctx is not None else "mlstudio"
    return f"see {path} --help"


def _failed(error: StudioError, state: State) -> int:
    if state.as_json:
        click.echo(json.dumps({"error": {"code": error.code, "message": error.message, "subject": error.subject, "hint": error.hint}}))
    else:
        click.echo(f"error: {error.message}", err=True)
        if error.hint:
            click.echo(f"hint: {error.hint}", err=True)
    return 1
