"""Commands that run modules and look at runs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from mlstudio_lab.client.runs import Run
from mlstudio_lab.client.studio import Studio
from mlstudio_lab.client.waiting import FIRST_WAIT_S, follow, stop
from mlstudio_lab.core.errors import RunCancelled, RunFailed
from mlstudio_lab.core.run import FINAL
from mlstudio_lab.front.cards import card, duration, elapsed
from mlstudio_lab.front.cli.app import Answer, Command, Group, State, parse_pairs, parse_values, pass_state
from mlstudio_lab.front.errors import kind_of_failure

if TYPE_CHECKING:
    from rich.console import Console

_SET = click.option("--set", "sets", multiple=True, metavar="NAME=VALUE", help="A parameter; JSON, or text as it is.")
_INPUT = click.option(
    "--input", "inputs", multiple=True, metavar="NAME=DATASET", help="An input from a dataset, such as flights=flights/flights@v2."
)
_NO_REUSE = click.option("--no-reuse", is_flag=True, help="Run even if the result is remembered.")
_DETACH = click.option("--detach", is_flag=True, help="Do not wait for the end.")
_WHERE = click.option("--where", type=click.Choice(["auto", "local", "ray"]), default="auto", help="The executor.")


class _Card:
    """A run's card as an object that a notebook can display."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        view = self._run.view
        return card(view, self._run.lineage() if view.get("edges") else None)


@click.command("run", cls=Command)
@click.argument("ref")
@_SET
@_INPUT
@_NO_REUSE
@_DETACH
@_WHERE
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=None, help="Seed of random number generators.")
@click.option("--timeout", "timeout_s", type=click.FloatRange(min=0), default=0.0, help="Seconds after which the run is stopped.")
@pass_state
def run_command(
    state: State,
    ref: str,
    sets: tuple[str, ...],
    inputs: tuple[str, ...],
    no_reuse: bool,
    detach: bool,
    where: str,
    seed: int | None,
    timeout_s: float,
) -> Answer:
    """Run a module version on parameters and datasets."""
    session = state.studio.session
    body: dict[str, Any] = {
        "run": session.new_run_id(),
        "module": ref,
        "parameters": parse_values(sets),
        "datasets": parse_pairs(inputs, "--input"),
        "reuse": not no_reuse,
        "where": where,
        "seed": seed,
        "timeout_s": timeout_s,
        "tag_dev": False,
        "wait_s": 0.0 if detach else FIRST_WAIT_S,
    }
    return _finish(state, session.transport.post("/runs", body), detach)


@click.group(cls=Group)
def runs() -> None:
    """Runs: what ran, why, and what it gave."""


@runs.command("list")
@click.option(
    "--state",
    "in_state",
    type=click.Choice(["queued", "running", "succeeded", "failed", "cancelled"]),
    default=None,
    help="Only those in this state.",
)
@click.option("--module", default="", help="Only those of this module.")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="At most so many.")
@pass_state
def list_runs(state: State, in_state: str | None, module: str, limit: int) -> Answer:
    """List runs, newest first."""
    found = [run.to_json() for run in state.studio.runs.list(state=in_state or "", module=module, limit=limit)]

    def show(console: Console) -> None:
        from rich.markup import escape
        from rich.table import Table

        table = Table(box=None, pad_edge=False)
        for head in ("run", "module", "state", "where", "took", "why"):
            table.add_column(head, overflow="fold")
        for view in found:
            took = elapsed(view)
            reused = bool(view.get("reused"))
            word = "reused" if reused else view["state"]
            colour = {"succeeded": "green", "reused": "green", "failed": "red", "cancelled": "yellow"}.get(word, "blue")
            seconds = "" if reused or took is None else duration(took)
            name = f"{view['module']} v{view['version_number']}"
            table.add_row(
                str(view["number"]),
                name,
                f"[{colour}]{word}[/{colour}]",
                "" if reused else view.get("executor", ""),
                seconds,
                escape(view["why"]),
            )
        console.print(table if found else "no runs yet")

    return Answer({"runs": found}, show)


@runs.command()
@click.argument("number", metavar="RUN")
@click.option("--widget", is_flag=True, help="In a notebook: a live view of its lineage and warnings.")
@pass_state
def show(state: State, number: str, widget: bool) -> Answer:
    """Show one run by its number or id."""
    run = state.studio.runs.get(number)
    view = run.to_json()
    lineage = run.lineage() if view.get("edges") else None
    shown: Any = _Card(run)
    if widget and state.in_notebook:
        from mlstudio_lab.front.widgets import run_widget

        shown = run_widget(view, lineage)

    def print_it(console: Console) -> None:
        console.print(card(view, lineage)["text/plain"], markup=False)
        state_now = f"{view['state']}{' (reused)' if view.get('reused') else ''}"
        console.print(f"  {state_now}; run {view['number']}, {view['id']}, by {view.get('actor')}", markup=False)
        if (took := elapsed(view)) is not None and not view.get("reused"):
            console.print(f"  took {duration(took)} on {view.get('executor')}")
        if view.get("failure"):
            console.print(f"  {kind_of_failure(view['failure'])}: {view['failure']['message']}", markup=False)
        if lineage is not None:
            console.print(repr(lineage), markup=False)

    data = {**view, "lineage": lineage.to_json() if lineage is not None else None}
    return Answer(data, print_it, rich=shown)


@runs.command()
@click.argument("number", metavar="RUN")
@pass_state
def logs(state: State, number: str) -> Answer:
    """Print what a run wrote."""
    run = state.studio.runs.get(number)
    text = run.logs()
    return Answer({"run": run.number, "text": text}, lambda console: click.echo(text, nl=not text.endswith("\n") and bool(text)))


@runs.command()
@click.argument("number", metavar="RUN")
@pass_state
def cancel(state: State, number: str) -> Answer:
    """Stop a run: asked at once, forced within 3 s."""
    run = state.studio.runs.get(number).cancel()
    stop(state.studio.session, run.id)
    view = run.to_json()
    return Answer(view, lambda console: console.print(f"run {run.number} is {view['state']}"))


@runs.command()
@click.argument("number", metavar="RUN")
@_SET
@_INPUT
@_NO_REUSE
@_DETACH
@_WHERE
@pass_state
def clone(state: State, number: str, sets: tuple[str, ...], inputs: tuple[str, ...], no_reuse: bool, detach: bool, where: str) -> Answer:
    """Run again with other parameters or inputs; everything else is carried over."""
    body = {"set": parse_values(sets), "input": parse_pairs(inputs, "--input")}
    return _again(state, number, "clone", body, no_reuse, detach, where)


@runs.command()
@click.argument("number", metavar="RUN")
@_NO_REUSE
@_DETACH
@_WHERE
@pass_state
def rerun(state: State, number: str, no_reuse: bool, detach: bool, where: str) -> Answer:
    """Run again with the same version and inputs."""
    return _again(state, number, "rerun", {}, no_reuse, detach, where)


def _again(state: State, number: str, verb: str, body: dict[str, Any], no_reuse: bool, detach: bool, where: str) -> Answer:
    studio: Studio = state.studio
    run = studio.runs.get(number)
    body = {**body, "run": studio.session.new_run_id(), "reuse": not no_reuse, "where": where, "wait_s": 0.0 if detach else FIRST_WAIT_S}
    return _finish(state, studio.session.transport.post(f"/runs/{run.id}/{verb}", body), detach)


def _finish(state: State, view: dict[str, Any], detach: bool) -> Answer:
    """The answer of a run that was started: waited for, what it says passed on meanwhile."""
    from mlstudio_lab.client.replay import Replay

    session = state.studio.session
    if view.get("needs"):
        raise RunFailed(
            f"{view['module']} needs {', '.join(view['needs'])}",
            subject=view["module"],
            hint="call it from the notebook that has its inputs",
        )
    say = (lambda events: None) if state.as_json else Replay().say
    if not detach:
        if view["state"] in FINAL:
            say(view.get("log") or ())
        else:
            try:
                view = follow(session, view, say)
            except KeyboardInterrupt:
                stop(session, view["id"])
                raise
    run = Run(session, view)
    if not detach and not state.as_json:
        _refuse_if_not_succeeded(view)

    def show_it(console: Console) -> None:
        if detach:
            console.print(f"run {run.number} is {view['state']}; follow it with: mlstudio runs show {run.number}")
            return
        console.print(card(view)["text/plain"], markup=False)
        for name, value in ((view.get("outputs") or {}).get("values") or {}).items():
            console.print(f"  {name}: {value.get('summary') or value.get('type')}", markup=False)

    data = {k: v for k, v in view.items() if k not in ("outputs", "log")}
    data["outputs"] = {name: value.get("summary", "") for name, value in ((view.get("outputs") or {}).get("values") or {}).items()}
    bad = view["state"] in ("failed", "cancelled")
    return Answer(json.loads(json.dumps(data, default=str)), show_it, rich=None if detach else _Card(run), code=1 if bad else 0)


def _refuse_if_not_succeeded(view: dict[str, Any]) -> None:
    """Raises what a run ended with, as text: this process has not the person's classes, nor need of them."""
    if view["state"] == "succeeded":
        return
    failure, number = view.get("failure"), view.get("number")
    if view["state"] == "cancelled" or failure is None:
        raise RunCancelled(f"run {number} was {view['state']}", subject=str(view["module"]))
    kind = kind_of_failure(failure)
    lines = [f"  {frame[0]}:{frame[1]} in {frame[2]}: {frame[3]}" for frame in failure.get("frames") or ()]
    raise RunFailed(
        "\n".join([f"{kind}: {failure['message']}", *lines]), subject=str(view["module"]), hint=f"see mlstudio runs show {number}"
    )
