"""The house law that import-linter does not see: names, sizes, documents that say what the code says."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import mlstudio_lab
import pytest
from mlstudio_lab.core.errors import ERRORS, STATUS

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "mlstudio_lab"
FILES = sorted(p for p in PACKAGE.rglob("*.py") if "labextension" not in p.parts)
README = (ROOT / "README.md").read_text()
HOUSE = (PACKAGE / "HOUSE.md").read_text()


def _imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_nothing_inside_imports_the_root(path: Path) -> None:
    rooms = {p.stem for p in PACKAGE.iterdir()}
    named = {name for name in _imports(path) if name.startswith("mlstudio_lab.")}
    from_root = {name for name in named if name.split(".")[1] not in rooms}
    assert not from_root, f"{path} imports public names {from_root}: import the room that defines them"


def test_only_settings_reads_our_variables() -> None:
    for path in FILES:
        if path.name in ("settings.py",):
            continue
        reads = re.findall(r"environ(?:\.get\(|\[)\s*[\"'](MLSTUDIO_\w+)", path.read_text())
        assert not reads, f"{path} reads {reads}; settings.py is the only reader"


def test_every_setting_is_in_the_readme() -> None:
    variables = set(re.findall(r"MLSTUDIO_[A-Z_]+", (PACKAGE / "settings.py").read_text()))
    missing = {v for v in variables if f"`{v}`" not in README}
    assert not missing


def test_every_error_code_is_documented_and_has_a_status() -> None:
    assert set(ERRORS) == set(STATUS)
    missing = {code for code in ERRORS if f"`{code}`" not in HOUSE}
    assert not missing, f"HOUSE.md does not list {missing}"
    assert all(400 <= status < 600 for status in STATUS.values())


def test_public_names_are_few_and_real() -> None:
    public = [name for name in mlstudio_lab.__all__ if not name.startswith("_")]
    assert 0 < len(public) <= 16
    for name in public:
        assert getattr(mlstudio_lab, name) is not None


def test_readme_commands_name_extras_that_exist() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = re.findall(r"pip install -e '\.\[(\w+)\]'", README)
    assert named[:2] == ["tour", "test"]
    assert set(named) <= set(extras)


def test_every_dependency_has_both_bounds() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *(d for extra in project["optional-dependencies"].values() for d in extra)]
    loose = [d for d in wanted if not d.startswith("mlstudio_lab[") and "==" not in d and not (">=" in d and "<" in d)]
    assert not loose


def test_every_room_says_what_it_is() -> None:
    for room in sorted(p for p in PACKAGE.iterdir() if (p / "__init__.py").is_file()):
        text = ast.get_docstring(ast.parse((room / "__init__.py").read_text())) or ""
        assert len(text) > 20, f"{room.name}/__init__.py has no docstring that says what the room is for"
        assert f"`{room.name}`" in HOUSE, f"HOUSE.md has no row for {room.name}"


def test_no_paths_of_a_machine_and_no_registry_hosts() -> None:
    wrong = re.compile(r"/(?:work|farm|root)/|/home/(?!jovyan)[a-z]+/|py" + r"pi\.org|python" + r"hosted|registry\." + "npmjs")
    for path in [*FILES, ROOT / "README.md", ROOT / "pyproject.toml", ROOT / ".ci" / "run", *(ROOT / "tests").rglob("*.py")]:
        if path == Path(__file__).resolve():
            continue
        assert not wrong.search(path.read_text()), path
