"""Commands about datasets: add, list, show, head, lineage."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mlstudio_lab.front.cli.app import Answer, Group, State, parse_pairs, pass_state

if TYPE_CHECKING:
    from rich.console import Console


@click.group(cls=Group)
def dataset() -> None:
    """Named, versioned frames with labels and lineage."""


@dataset.command()
@click.argument("name")
@click.argument("source", metavar="FILE_OR_URI")
@click.option(
    "--label",
    "labels",
    multiple=True,
    metavar="COLUMN=WORDS",
    help="Labels of a column, such as tailnum=confidential,pii.id; * for the rest.",
)
@pass_state
def add(state: State, name: str, source: str, labels: tuple[str, ...]) -> Answer:
    """Keep a CSV, Parquet, Arrow or NDJSON file, or a URI, as the newest version of a dataset."""
    made = state.studio.datasets.add(name, source, labels=parse_pairs(labels, "--label"))
    return Answer(made.to_json(), lambda console: console.print(repr(made), markup=False), rich=made)


@dataset.command("list")
@pass_state
def list_datasets(state: State) -> Answer:
    """List datasets by name."""
    found = state.studio.datasets.list()

    def show_all(console: Console) -> None:
        from rich.table import Table

        table = Table(box=None, pad_edge=False)
        for head in ("dataset", "version", "rows", "columns", "labels"):
            table.add_column(head)
        for one in found:
            words = sorted({word for said in one.labels.values() for word in said})
            table.add_row(
                one.name, f"v{one.number}", f"{one.rows:,}" if one.rows is not None else "?", str(len(one.schema)), ", ".join(words)
            )
        console.print(table if found else "no datasets yet: mlstudio dataset add NAME FILE")

    return Answer({"datasets": [one.to_json() for one in found]}, show_all)


@dataset.command()
@click.argument("ref")
@pass_state
def show(state: State, ref: str) -> Answer:
    """Show a dataset's columns, types and labels."""
    found = state.studio.datasets.get(ref)

    def print_it(console: Console) -> None:
        from rich.markup import escape
        from rich.table import Table

        console.print(repr(found), markup=False)
        table = Table(box=None, pad_edge=False)
        for head in ("column", "type", "labels"):
            table.add_column(head)
        for column, dtype in found.schema.items():
            table.add_row(escape(column), escape(dtype), ", ".join(found.labels[column]))
        console.print(table)

    return Answer(found.to_json(), print_it, rich=found)


@dataset.command()
@click.argument("ref")
@click.option("-n", "rows", type=click.IntRange(1, 200), default=5, show_default=True, help="How many rows.")
@pass_state
def head(state: State, ref: str, rows: int) -> Answer:
    """Print the first rows of a dataset."""
    found = state.studio.datasets.get(ref).head(rows)

    def print_it(console: Console) -> None:
        from rich.markup import escape
        from rich.table import Table

        table = Table(box=None, pad_edge=False)
        for column, dtype in zip(found["columns"], found["dtypes"], strict=True):
            table.add_column(f"{escape(column)}\n[dim]{escape(dtype)}[/dim]")
        for row in found["rows"]:
            table.add_row(*map(escape, row))
        console.print(table)

    return Answer(found, print_it)


@dataset.command()
@click.argument("ref")
@click.option("--column", default="", help="One column; default all.")
@click.option(
    "--direction", type=click.Choice(["up", "down"]), default="up", show_default=True, help="Where it came from, or what it feeds."
)
@click.option("--depth", type=click.IntRange(1, 50), default=1, show_default=True, help="How many runs to follow.")
@pass_state
def lineage(state: State, ref: str, column: str, direction: str, depth: int) -> Answer:
    """Show what a dataset's columns came from, or feed."""
    found = state.studio.datasets.get(ref).lineage(column, direction=direction, depth=depth)
    return Answer(found.to_json(), lambda console: console.print(repr(found), markup=False), rich=found)
