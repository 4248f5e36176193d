"""`mlstudio bench`: the budgets measured on this machine; the benchmarks themselves live in the source checkout."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from mlstudio_lab.core.errors import NotFound, StudioError
from mlstudio_lab.front.cli.app import Answer, Command

if TYPE_CHECKING:
    from rich.console import Console

BENCHES: Final = Path(__file__).parents[3] / "tests" / "bench"


@click.command("bench", cls=Command)
@click.option("--only", multiple=True, metavar="NAME", help="Only this benchmark; may be given more than once.")
def bench(only: tuple[str, ...]) -> Answer:
    """Measure this machine against the budgets, beside a bare Ray actor and joblib, in a home of its own."""
    if not (BENCHES / "__main__.py").is_file():
        raise NotFound(
            "the benchmarks are not part of an installed package",
            subject="tests/bench",
            hint="clone the source, then: pip install -e '.[test]' && mlstudio bench",
        )
    with tempfile.NamedTemporaryFile(suffix=".json") as found:
        command = [sys.executable, str(BENCHES), "--out", found.name, *(word for name in only for word in ("--only", name))]
        # Progress goes to standard error, so that --json stays one object.
        code = subprocess.run(command, stdout=sys.stderr.fileno(), check=False).returncode
        text = Path(found.name).read_text()
    if code or not text:
        raise StudioError("the benchmarks ended early", subject="bench", hint="the lines above say where")
    data: dict[str, Any] = json.loads(text)
    return Answer(data, lambda console: _show(console, data))


def _show(console: Console, data: dict[str, Any]) -> None:
    from rich.table import Table

    table = Table("what", "measured", "budget", "beside it", "ratio", "fsync", "", box=None, pad_edge=False, header_style="bold")
    for row in data["figures"]:
        met = {True: "[green]met[/green]", False: "[red]missed[/red]", None: ""}[row["met"]]
        peer = f"{row['peer']} {_amount(row['peer_value'], row['unit'])}" if row["peer"] else ""
        ratio = f"{row['ratio']:.2f}x" if row["ratio"] else ""
        fsync = f"+{row['fsync_ms']:.2f} ms" if row["fsync_ms"] is not None else ""
        table.add_row(row["what"], _amount(row["value"], row["unit"]), row["budget"], peer, ratio, fsync, met)
    console.print(table)
    for note in data["notes"]:
        console.print(f"[dim]{note}[/dim]")


def _amount(value: float, unit: str) -> str:
    return f"{value:.2f} {unit}" if value < 10 else f"{value:,.0f} {unit}"
