"""Commands about the studio itself: tour, lab, up, down, status, doctor, fsck, whoami."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from mlstudio_lab.client.discover import Address, ensure, find
from mlstudio_lab.client.transport import Transport
from mlstudio_lab.core.errors import BadInput, NotFound, StudioError, Unavailable
from mlstudio_lab.front.cli.app import Answer, Command, State, pass_state

if TYPE_CHECKING:
    from rich.console import Console

_ENDS_WITHIN_S: Final = 15.0
_POINTS_WITHIN_S: Final = 3.0
"""How long a service that lost its pointer may take to write it again."""


@click.command(cls=Command)
@pass_state
def tour(state: State) -> Answer:
    """Run the first example twice on real data and show what the studio made of it."""
    from mlstudio_lab.front.tour import run_tour, show_tour

    settings = state.settings
    found = run_tour(settings, (lambda text: click.echo(text, err=True)))
    return Answer(found.to_json(), lambda console: show_tour(found, settings), code=0 if found.ok else 1)


def folder_and_options(words: tuple[str, ...]) -> tuple[str, list[str]]:
    """The folder that stands first, "." without one, and the options for JupyterLab.

    Example:
        >>> folder_and_options(("work", "--port=8890")), folder_and_options(("--no-browser",))
        (('work', ['--port=8890']), ('.', ['--no-browser']))
    """
    if words and not words[0].startswith("-"):
        return words[0], list(words[1:])
    return ".", list(words)


@click.command(cls=Command, context_settings={"ignore_unknown_options": True})
@click.argument("words", metavar="[FOLDER] [OPTION]...", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def lab(context: click.Context, words: tuple[str, ...]) -> None:
    """Open JupyterLab on the first example (copied into FOLDER, default here) with the studio up.

    Options it does not know, such as --no-browser or --port=8890, go to JupyterLab.
    """
    state = context.ensure_object(State)
    from importlib.util import find_spec

    from mlstudio_lab.front.examples import notebook

    if find_spec("jupyterlab") is None:
        raise Unavailable("JupyterLab is not installed", subject="jupyterlab", hint="install it with: pip install 'mlstudio_lab[lab]'")
    folder, options = folder_and_options(words)
    target = Path(folder).resolve()
    source = notebook("01_flights.ipynb")
    copy = target / source.name
    try:
        target.mkdir(parents=True, exist_ok=True)
        if not copy.exists():
            shutil.copyfile(source, copy)
    except OSError as error:
        raise BadInput(
            f"{target} cannot be written: {error.strerror}", subject=str(target), hint="name another folder: mlstudio lab DIR"
        ) from error
    settings = state.settings
    ensure(settings)
    if state.in_notebook:
        raise BadInput("this notebook is in JupyterLab already", subject="lab", hint=f"the example is {copy}")
    click.echo(f"JupyterLab on {copy}; the studio of {settings.home} is up", err=True)
    command = [sys.executable, "-m", "jupyterlab", str(copy), f"--ServerApp.root_dir={target}", *options]
    # JupyterLab takes this process's place, so that Ctrl-C and the exit code are its own.
    os.execve(sys.executable, command, settings.environment())  # noqa: S606


@click.command(cls=Command)
@pass_state
def up(state: State) -> Answer:
    """Start this home's service, or find it running."""
    was_up = find(state.settings) is not None
    began = time.monotonic()
    shake = Transport(lambda: ensure(state.settings)).get("/handshake")
    took = time.monotonic() - began
    data = {"running": True, "started": not was_up, "home": shake["home"], "pid": shake["pid"], "seconds": round(took, 3)}

    def show(console: Console) -> None:
        console.print(
            f"the studio of {shake['home']} is up ({'already running' if was_up else f'started in {took:.1f} s'}, process {shake['pid']})"
        )

    return Answer(data, show)


@click.command(cls=Command)
@pass_state
def down(state: State) -> Answer:
    """Stop this home's service; unfinished runs go on with the next one."""
    settings = state.settings
    address = find(settings)
    deadline = time.monotonic() + _POINTS_WITHIN_S
    while address is None and not settings.url and _is_held(settings.home):
        if time.monotonic() > deadline:
            raise Unavailable(
                f"a process serves {settings.home} and cannot be reached",
                subject=str(settings.home),
                hint=f"stop the process whose number is in {settings.home / 'service.lock'}; no run is lost",
            )
        time.sleep(0.02)
        address = find(settings)
    if address is None:
        return Answer(
            {"running": False, "stopped": False, "home": str(settings.home)}, lambda console: console.print("the studio is not running")
        )
    _here(address).post("/shutdown", {})
    deadline = time.monotonic() + _ENDS_WITHIN_S
    while _is_held(settings.home) or find(settings) is not None:
        if time.monotonic() > deadline:
            raise Unavailable("the studio did not stop in time", subject=str(settings.home), hint="ask again, or look at: mlstudio status")
        time.sleep(0.02)
    data = {"running": False, "stopped": True, "home": str(settings.home)}
    return Answer(data, lambda console: console.print(f"the studio of {settings.home} has stopped"))


@click.command(cls=Command)
@pass_state
def status(state: State) -> Answer:
    """Show whether the service runs, its executors and what they do; exit code 1 when it is down."""
    settings = state.settings
    address = find(settings)
    if address is None:
        data = {"running": False, "home": str(settings.home)}
        return Answer(
            data, lambda console: console.print(f"the studio of {settings.home} is not running; start it with: mlstudio up"), code=1
        )
    found: dict[str, Any] = _here(address).get("/status")

    def show(console: Console) -> None:
        from rich.table import Table

        console.print(f"the studio of {found['home']} is up for {found['uptime_s']:.0f} s (process {found['pid']}, {found['address']})")
        table = Table(box=None, pad_edge=False)
        for head in ("executor", "state", "workers", "busy", "queued", ""):
            table.add_column(head)
        for executor in found["executors"]:
            state_now = "[green]ready[/green]" if executor["ready"] else "[yellow]not ready[/yellow]"
            table.add_row(executor["name"], state_now, *(str(executor[k]) for k in ("workers", "busy", "queued")), executor["detail"])
        console.print(table)
        runs = ", ".join(f"{count} {name}" for name, count in found["runs"].items() if count) or "none"
        console.print(f"runs under way: {runs}\nlog: {found['log']}", soft_wrap=True)

    return Answer({"running": True, **found}, show)


@click.command(cls=Command)
@pass_state
def whoami(state: State) -> Answer:
    """Show who the service takes you for."""
    shake = state.studio.session.handshake
    data = {"user": shake["user"], "home": shake["home"]}
    return Answer(data, lambda console: console.print(f"{shake['user']} at {shake['home']}"))


@click.command(cls=Command)
@pass_state
def doctor(state: State) -> Answer:
    """Check what the studio needs here; exit code 1 when something that matters is missing."""
    from mlstudio_lab.front.doctor import examine

    checks = examine(state.settings)
    is_well = all(check.ok or not check.matters for check in checks)

    def show(console: Console) -> None:
        for check in checks:
            mark = "[green]ok  [/green]" if check.ok else "[red]bad [/red]" if check.matters else "[yellow]note[/yellow]"
            console.print(f"{mark} {check.name}: {check.detail}")
            if not check.ok and check.hint:
                console.print(f"     {check.hint}")

    return Answer({"ok": is_well, "checks": [check.to_json() for check in checks]}, show, code=0 if is_well else 1)


@click.command(cls=Command)
@pass_state
def fsck(state: State) -> Answer:
    """Check every stored byte and fact; exit code 0 clean, 1 corrupt. Nothing is changed."""
    settings = state.settings
    if not settings.home.is_dir():
        raise NotFound(f"there is no home at {settings.home}", subject=str(settings.home), hint="name one with --home")
    # The ledger belongs to the service's side, so its check runs as a process of that side.
    done = subprocess.run(
        [sys.executable, "-m", "mlstudio_lab.service.fsck", "--home", str(settings.home)], capture_output=True, text=True, check=False
    )
    try:
        data = json.loads(done.stdout)
    except ValueError:
        raise StudioError(
            f"the check ended with code {done.returncode}: {done.stderr.strip()[-500:]}", subject=str(settings.home)
        ) from None
    if "error" in data:
        raise StudioError(data["error"]["message"], data["error"]["subject"], data["error"]["hint"])

    def show(console: Console) -> None:
        for finding in data["findings"]:
            console.print(f"[red]{finding['where']}[/red]: {finding['what']}", soft_wrap=True)
        console.print("clean" if data["ok"] else f"{len(data['findings'])} damaged; nothing was changed")

    return Answer(data, show, code=0 if data["ok"] else 1)


def _here(address: Address) -> Transport:
    """A transport to a service that is there, and starts none."""
    return Transport(lambda: address)


def _is_held(home: Path) -> bool:
    """Whether a service still holds the home's lock."""
    import fcntl

    try:
        with (home / "service.lock").open() as handle:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False
