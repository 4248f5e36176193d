"""The house law that import-linter does not see: names, sizes, documents that say what the code says."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import click
import pytest

import mlstudio_lab
from mlstudio_lab.core.errors import ERRORS, STATUS
from mlstudio_lab.front.cli.commands import root
from mlstudio_lab.front.line import _FLAGS, _OPTIONS
from mlstudio_lab.wire.routes import ROUTES

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


def test_names_say_what_a_thing_is() -> None:
    empty = re.compile(r"(?:^|_)(?:utils?|helpers?|manager|common|misc)(?:_|$)|(?:Util|Helper|Manager)s?$")
    for path in FILES:
        named = {path.stem, path.parent.name}
        named |= {
            n.name for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
        }
        assert not {name for name in named if empty.search(name)}, path


def _public(tree: ast.Module) -> list[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]:
    found = [n for n in tree.body if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))]
    return [n for n in found if not n.name.startswith("_")]


def test_every_public_name_claims_something() -> None:
    for path in FILES:
        if "versions" in path.parts:
            continue
        for node in _public(ast.parse(path.read_text())):
            claim = (ast.get_docstring(node) or "").partition("\n")[0]
            assert len(claim) > 5 and claim.endswith((".", ":", "?", "!")), f"{path}:{node.lineno} {node.name}"


def _is_broad(handler: ast.ExceptHandler) -> bool:
    caught = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(one is None or (isinstance(one, ast.Name) and one.id in ("Exception", "BaseException")) for one in caught)


def test_a_broad_except_passes_on_or_says_why() -> None:
    for path in FILES:
        text = path.read_text()
        lines = text.splitlines()
        for node in ast.walk(ast.parse(text)):
            if not isinstance(node, ast.ExceptHandler) or not _is_broad(node):
                continue
            passes_on = any(isinstance(n, ast.Raise) for n in ast.walk(node))
            says_why = any("#" in line for line in lines[node.lineno - 1 : node.body[0].lineno])
            assert passes_on or says_why, f"{path}:{node.lineno} catches everything and does not say why"


def _roots(path: Path) -> set[str]:
    return {name.partition(".")[0] for name in _imports(path)}


def test_core_is_the_standard_library_and_blake3() -> None:
    for path in (PACKAGE / "core").rglob("*.py"):
        foreign = _roots(path) - set(sys.stdlib_module_names) - {"blake3", "mlstudio_lab"}
        assert not foreign, f"{path} imports {foreign}"
        assert not _roots(path) & {"os", "pathlib", "random", "secrets", "socket", "subprocess", "time", "threading"}, (
            f"{path}: core does no I/O"
        )


def test_sql_is_spoken_in_the_ledger_alone() -> None:
    for path in FILES:
        spoken = _roots(path) & {"sqlalchemy", "alembic", "sqlite3"}
        assert not spoken or "ledger" in path.relative_to(PACKAGE).parts, f"{path} imports {spoken}"


def test_pickles_are_loaded_by_workers_and_kernels_only() -> None:
    loads = {"pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve", "mlstudio_lab.data.graph", "mlstudio_lab.data.unpack"}
    kept_out = [
        f
        for f in FILES
        if f.relative_to(PACKAGE).parts[0] in ("service", "studio", "engine", "ledger", "adapters", "blobs", "wire", "core")
    ]
    for path in [*kept_out, PACKAGE / "front" / "server_extension.py"]:
        found = {name for name in _imports(path) if name in loads or name.rpartition(".")[0] in loads}
        assert not found, f"{path} imports {found}: the service and the Jupyter server unpickle nothing"


def test_the_jupyter_server_loads_no_code_that_runs_or_unpickles() -> None:
    script = "import sys, mlstudio_lab.front.server_extension; print(*sys.modules)"
    loaded = set(subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split())
    assert "mlstudio_lab.front.server_extension" in loaded
    wrong = {
        n for n in loaded if n.startswith(("mlstudio_lab.data", "mlstudio_lab.calling", "mlstudio_lab.capture", "mlstudio_lab.engine"))
    }
    assert not wrong


def _commands(group: click.Group, before: str = "") -> list[str]:
    found = []
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        assert command is not None
        found += _commands(command, f"{before}{name} ") if isinstance(command, click.Group) else [f"{before}{name}"]
    return found


def test_every_command_is_in_the_readme() -> None:
    listed = {(span.split()[0], verb) for span in re.findall(r"`([^`\n]+)`", README) for verb in (span.split() + [""])[1].split("|")}
    nouns = {noun for noun, _ in listed}
    for command in _commands(root):
        noun, _, verb = command.partition(" ")
        assert (noun, verb) in listed if verb else noun in nouns, f"README.md does not list `mlstudio {command}`"


def test_every_magic_option_and_every_route_is_documented() -> None:
    for option in (*_OPTIONS, *_FLAGS):
        assert f"`{option}" in README or option == "--sql", f"README.md does not name {option}"
    assert len({(method, path) for method, path, _ in ROUTES}) == len(ROUTES)
    assert all(about.endswith(".") for _, _, about in ROUTES)


def test_no_paths_of_a_machine_and_no_registry_hosts() -> None:
    wrong = re.compile(r"/(?:work|farm|root)/|/home/(?!jovyan)[a-z]+/|py" + r"pi\.org|python" + r"hosted|registry\." + "npmjs")
    for path in [*FILES, ROOT / "README.md", ROOT / "pyproject.toml", ROOT / ".ci" / "run", *(ROOT / "tests").rglob("*.py")]:
        if path == Path(__file__).resolve():
            continue
        assert not wrong.search(path.read_text()), path
