"""Commands about modules: list, show, diff, publish, wheel."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlstudio_lab.core.errors import BadInput, NotFound, near_matches
from mlstudio_lab.front.cli.app import Answer, Group, State, pass_state

if TYPE_CHECKING:
    from rich.console import Console


@click.group(cls=Group)
def module() -> None:
    """Modules and their versions."""


@module.command("list")
@click.argument("query", default="")
@pass_state
def list_modules(state: State, query: str) -> Answer:
    """List modules, those whose name contains QUERY."""
    found = state.studio.modules.list(query)

    def show(console: Console) -> None:
        from rich.table import Table

        table = Table(box=None, pad_edge=False)
        for head in ("module", "kind", "latest", "tags", "last run"):
            table.add_column(head)
        for one in found:
            tags = {**one.get("tags", {}), **({"dev": one["dev"]} if one.get("dev") else {})}
            last = one.get("last_run") or {}
            ran = f"{last['number']} {'reused' if last.get('reused') else last['state']}" if last else ""
            table.add_row(one["name"], one["kind"], f"v{one['latest_number']}", ", ".join(f"{t} v{n}" for t, n in tags.items()), ran)
        console.print(table if found else "no modules yet: put %%module namespace/name on a cell, or use: mlstudio module publish")

    return Answer({"modules": found}, show)


@module.command()
@click.argument("ref")
@pass_state
def show(state: State, ref: str) -> Answer:
    """Show a version: REF is namespace/name, or that with @tag, @v3 or @digest."""
    version = state.studio.modules.get(ref).to_json()
    described = state.studio.modules.describe(version["name"])
    version.pop("bundle", None)

    def print_it(console: Console) -> None:
        from rich.syntax import Syntax

        tags = ", ".join(version.get("tags", ())) or "no tags"
        console.print(f"[bold]{version['name']}[/bold] v{version['number']} ({version['kind']}; {tags})")
        console.print(f"by {version.get('created_by')} at {version.get('created_at')}; id {version['id'][:12]}")
        for label, ports in (("takes", version["interface"].get("inputs", ())), ("gives", version["interface"].get("outputs", ()))):
            if ports:
                console.print(f"{label}: {', '.join(_port(p) for p in ports)}", markup=False)
        console.print(Syntax(version.get("source", ""), "python", background_color="default"))
        console.print("versions: " + ", ".join(f"v{v['number']}" for v in described.get("versions", ())))

    return Answer({**version, "versions": described.get("versions", [])}, print_it)


@module.command()
@click.argument("name")
@click.argument("a")
@click.argument("b")
@pass_state
def diff(state: State, name: str, a: str, b: str) -> Answer:
    """Show what differs between versions A and B of NAME, such as v1 v3."""
    found = state.studio.modules.diff(name, a, b)

    def show_it(console: Console) -> None:
        from rich.syntax import Syntax

        console.print(
            f"[bold]{found['name']}[/bold] v{found['a']} -> v{found['b']}" + (": both run the same code" if found["same_code"] else "")
        )
        for unit in found["units"]:
            console.print(f"{unit['change']} {unit['role']} {unit['name']}", markup=False)
            if unit["text"]:
                console.print(Syntax(unit["text"], "diff", background_color="default"))
        for name_, (old, new) in found["lock"].items():
            console.print(f"{name_}: {old or 'absent'} -> {new or 'absent'}", markup=False)

    return Answer(found, show_it)


@module.command()
@click.argument("target", metavar="FILE.py:FUNCTION")
@click.option("--name", required=True, help="The module's namespace/name.")
@pass_state
def publish(state: State, target: str, name: str) -> Answer:
    """Publish a function of a Python file with all it needs; moves latestAlpha."""
    function = load_function(target)
    version = state.studio.modules.publish(function, name=name)
    data = version.to_json()
    data.pop("bundle", None)
    told = "published" if data.get("new") else "already there:"
    return Answer(data, lambda console: console.print(f"{told} {version.ref}"))


@module.command()
@click.argument("ref")
@click.option("--out", default=".", metavar="DIR", help="The folder to write to.")
@pass_state
def wheel(state: State, ref: str, out: str) -> Answer:
    """Write a function module's wheel, which needs no ML Studio to install and run."""
    version = state.studio.modules.get(ref)
    path = version.save_wheel(out)
    return Answer({"ref": version.ref, "id": version.id, "wheel": str(path)}, lambda console: console.print(str(path), soft_wrap=True))


def load_function(target: str) -> Any:
    """The function that `FILE.py:FUNCTION` names, its file imported under its own name.

    Raises:
        BadInput: Not of that form, or the file cannot be imported.
        NotFound: No such file or function; the hint has near matches.
    """
    file, colon, entry = target.rpartition(":")
    path = Path(file)
    if not colon or path.suffix != ".py" or not entry.isidentifier():
        raise BadInput(
            f"{target[:80]!r} does not name a function of a file",
            subject=target[:80],
            hint="write FILE.py:FUNCTION, such as delay.py:delay",
        )
    if not path.is_file():
        raise NotFound(
            f"there is no file {path.name}",
            subject=file,
            hint=near_matches(path.name, (p.name for p in path.parent.glob("*.py"))) or "check the path",
        )
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.parent.resolve()))
    sys.modules[path.stem] = made
    try:
        spec.loader.exec_module(made)
    except (Exception, SystemExit) as error:
        raise BadInput(f"{path.name} cannot be imported: {type(error).__name__}", subject=file, hint=f"try: python {file}") from error
    function = getattr(made, entry, None)
    if not callable(function):
        functions = [n for n, v in vars(made).items() if callable(v) and not n.startswith("_")]
        raise NotFound(
            f"{path.name} has no function {entry}",
            subject=entry,
            hint=near_matches(entry, functions) or (f"it has {', '.join(functions[:5])}" if functions else "it defines none"),
        )
    return function


def _port(port: dict[str, Any]) -> str:
    text = f"{port['variadic']}{port['name']}" + (f": {port['type']}" if port.get("type") else "")
    return f"{text} = {port['default']}" if port.get("default") else text
