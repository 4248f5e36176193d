"""Where the example notebooks are: beside the package in a checkout, inside it in a wheel."""

from __future__ import annotations

from pathlib import Path

from mlstudio_lab.core.errors import NotFound, near_matches


def notebook(name: str) -> Path:
    """The path of an example notebook by its file name.

    Raises:
        NotFound: No such example, or this installation has none.

    Example:
        >>> notebook("01_flights.ipynb").name
        '01_flights.ipynb'
    """
    package = Path(__file__).resolve().parent.parent
    for folder in (package.parent / "example_notebooks", package / "example_notebooks"):
        if (folder / name).is_file():
            return folder / name
    there = sorted(p.name for p in (package.parent / "example_notebooks").glob("*.ipynb"))
    raise NotFound(f"no example notebook {name}", subject=name, hint=near_matches(name, there) or "install from a checkout of the project")
