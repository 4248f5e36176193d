"""What can be seen in the text: calls whose result differs from time to time, and environment variables read by name."""

from __future__ import annotations

import ast
import builtins
import types
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final

from mlstudio_lab.core.magic_lines import parse_cell
from mlstudio_lab.wire.task import Impurity

_CLOCKS: Final = frozenset({
    "time.time", "time.time_ns", "time.monotonic", "time.monotonic_ns", "time.perf_counter", "time.perf_counter_ns",
    "time.localtime", "time.gmtime", "time.ctime", "time.strftime",
    "datetime.datetime.now", "datetime.datetime.utcnow", "datetime.datetime.today", "datetime.date.today",
    "pandas.Timestamp.now", "pandas.Timestamp.utcnow", "pandas.Timestamp.today",
})  # fmt: skip
_RANDOM: Final = frozenset({"uuid.uuid1", "uuid.uuid4", "os.urandom", "random.SystemRandom", "secrets.SystemRandom"})
_UNSEEDED: Final = frozenset({"numpy.random.default_rng", "random.Random", "numpy.random.RandomState"})
_SECRETS: Final = frozenset({"token_bytes", "token_hex", "token_urlsafe", "choice", "randbelow", "randbits"})
_TAILS: Final = frozenset({n.rpartition(".")[2] for n in _CLOCKS | _RANDOM | _UNSEEDED}) | _SECRETS | {"sample", "shuffle"}
_WITH_ARGUMENT: Final = frozenset({"time.localtime", "time.gmtime", "time.ctime"})
_ALIASES: Final = {
    "pandas._libs.tslibs.timestamps": "pandas",
    "numpy.random.mtrand": "numpy.random",
    "numpy.random._generator": "numpy.random",
}


def impurities(source: str, namespace: Mapping[str, Any], imports: Mapping[str, str], *, polars: bool) -> Iterator[Impurity]:
    """Calls in a text that read the clock or draw unseeded randomness, with their lines.

    Args:
        source: The text.
        namespace: Live global names, to see what a name stands for.
        imports: Names the rest of the bundle imports -> dotted names.
        polars: Whether the code uses polars, whose `sample` and `shuffle` draw from no state anybody can see.
    """
    aliases, calls = _calls(source)
    for path, line, arguments, keywords in calls:
        target = _target(path, aliases, imports, namespace)
        if target in _CLOCKS and not (target in _WITH_ARGUMENT and arguments):
            yield Impurity("clock", f"reads the clock ({target.removeprefix('datetime.')})", line)
        elif target in _RANDOM or target.startswith("secrets."):
            yield Impurity("random", f"draws randomness nobody can seed ({target})", line)
        elif target in _UNSEEDED and (not arguments or arguments == ("None",)) and "seed" not in keywords:
            yield Impurity("random", f"draws unseeded randomness ({target})", line)
        elif polars and path[-1] in ("sample", "shuffle") and len(path) > 1 and not {"seed", "random_state"} & set(keywords):
            root = namespace.get(path[0])
            kind = type(root).__module__.partition(".")[0]
            if target.startswith(("random.", "numpy.")) or kind in ("pandas", "numpy", "random") or len(arguments) > 1:
                continue
            if path[-1] == "sample" or not arguments:
                yield Impurity("random", f"draws unseeded randomness (polars {path[-1]} without seed)", line)


def environment_names(source: str) -> frozenset[str]:
    """Names of environment variables that a text reads by a literal name.

    Example:
        >>> sorted(environment_names("import os; a = os.environ['A']; b = os.getenv('B', '')"))
        ['A', 'B']
    """
    return _environment(source)


@lru_cache(maxsize=4096)
def _environment(source: str) -> frozenset[str]:
    found = set()
    for node in ast.walk(parse_cell(source).tree):
        key: ast.expr | None = None
        if isinstance(node, ast.Subscript) and _dotted(node.value)[-1:] == ("environ",):
            key = node.slice
        elif isinstance(node, ast.Call) and node.args:
            path = _dotted(node.func)
            if path[-1:] == ("getenv",) or path[-2:] == ("environ", "get") or path[-2:] == ("environ", "setdefault"):
                key = node.args[0]
        elif isinstance(node, ast.Compare) and len(node.comparators) == 1 and _dotted(node.comparators[0])[-1:] == ("environ",):
            key = node.left
        if isinstance(key, ast.Constant) and isinstance(key.value, str):
            found.add(key.value)
    return frozenset(found)


@lru_cache(maxsize=4096)
def _calls(source: str) -> tuple[dict[str, str], tuple[tuple[tuple[str, ...], int, tuple[str, ...], tuple[str, ...]], ...]]:
    tree = parse_cell(source).tree
    calls = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            path = _dotted(node.func) or ((".", node.func.attr) if isinstance(node.func, ast.Attribute) else ())
            if path:
                arguments = tuple("None" if isinstance(a, ast.Constant) and a.value is None else "" for a in node.args)
                calls.append((path, node.lineno, arguments, tuple(k.arg or "**" for k in node.keywords)))
    aliases = aliases_of(tree)
    return aliases, tuple(
        c for c in calls if c[0][-1] in _TAILS or (len(c[0]) == 1 and (c[0][0] in aliases or not hasattr(builtins, c[0][0])))
    )


def aliases_of(tree: ast.AST) -> dict[str, str]:
    """Names that import statements anywhere in a tree bind -> the dotted names they stand for."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                found[alias.asname or alias.name.partition(".")[0]] = alias.name if alias.asname else alias.name.partition(".")[0]
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            for alias in node.names:
                found[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return found


def _dotted(node: ast.AST) -> tuple[str, ...]:
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return (node.id, *reversed(parts)) if isinstance(node, ast.Name) else ()


def _target(path: tuple[str, ...], aliases: Mapping[str, str], imports: Mapping[str, str], namespace: Mapping[str, Any]) -> str:
    root = aliases.get(path[0]) or imports.get(path[0])
    if root is None:
        value = namespace.get(path[0])
        if isinstance(value, types.ModuleType):
            root = value.__name__
        elif isinstance(value, (type, types.FunctionType, types.BuiltinFunctionType)):
            module = str(getattr(value, "__module__", "") or "")
            root = f"{_ALIASES.get(module, module)}.{value.__qualname__}"
        elif isinstance(value, types.MethodType | types.BuiltinMethodType):
            root = f"{type(value.__self__).__module__}.{type(value.__self__).__qualname__}.{value.__name__}"
        else:
            root = path[0]
    return ".".join((root, *path[1:]))
