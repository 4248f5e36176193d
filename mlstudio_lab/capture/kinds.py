"""What kind of module a cell is, and the cells that cannot be one."""

from __future__ import annotations

import ast
from functools import lru_cache
from typing import Final, Literal

from mlstudio_lab.core.errors import CaptureRefused
from mlstudio_lab.core.magic_lines import Magic, Parsed, parse_cell

_HARMLESS: Final = frozenset({"time", "timeit", "matplotlib", "config", "precision"})
_DEEPEST: Final = 300
_INSTALLERS: Final = frozenset({"pip", "conda", "mamba", "micromamba", "uv"})
_OTHER_LANGUAGES: Final = frozenset({
    "bash", "sh", "script", "system", "sx", "perl", "ruby", "javascript", "js", "html", "latex", "markdown", "svg", "python2", "cmd",
})  # fmt: skip
_TYPE_MAKERS: Final = frozenset({"namedtuple", "NamedTuple", "TypedDict", "TypeVar", "ParamSpec", "NewType", "Enum", "IntEnum", "StrEnum"})


def parse(source: str) -> Parsed:
    """A cell's Python and its magics.

    Raises:
        CaptureRefused: Empty, not Python, or a shell command or installer in it; the message has the line.
    """
    if "\x00" in source:
        raise CaptureRefused("the cell holds a null character", subject="cell", hint="delete it and write the cell again")
    try:
        parsed = parse_cell(source)
        _compile(parsed.text)
        _depth(source)
    except SyntaxError as error:
        raise _syntax(source, error) from None
    except (RecursionError, MemoryError, ValueError) as error:
        raise CaptureRefused(f"Python cannot read this cell: {error}", subject="cell", hint="split the cell") from None
    for magic in parsed.magics:
        _refuse(magic)
    if not parsed.tree.body and not parsed.magics:
        raise CaptureRefused("the cell is empty", subject="cell", hint="write the code to be the module below the %%module line")
    return parsed


@lru_cache(maxsize=1024)
def _compile(text: str) -> None:
    """Finds what only compiling finds: `return` outside a function, a walrus where none may stand."""
    compile(text, "<cell>", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)


@lru_cache(maxsize=1024)
def _depth(source: str) -> None:
    """Refuses expressions that nest deeper than Python's own stack allows to follow.

    Raises:
        RecursionError: It does.
    """
    level: list[ast.AST] = [parse_cell(source).tree]
    for _ in range(_DEEPEST):
        level = [child for node in level for child in ast.iter_child_nodes(node)]
        if not level:
            return
    raise RecursionError(f"an expression nests deeper than {_DEEPEST} levels")


def kind_of(source: str) -> Literal["function", "cell"]:
    r"""The kind of a cell: "function" for a cell of definitions, "cell" for any other.

    Raises:
        CaptureRefused: The cell can be neither.

    Example:
        >>> kind_of("import math\ndef f(x): return math.sqrt(x)"), kind_of("y = 1")
        ('function', 'cell')
    """
    parsed = parse(source)
    body = parsed.tree.body
    defines = any(isinstance(s, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) for s in body)
    return "function" if defines and not parsed.magics and not strays(source) else "cell"


def strays(source: str) -> list[tuple[int, str]]:
    r"""(line, text) of the statements that keep a cell from being definitions only.

    Raises:
        CaptureRefused: The cell can be no module at all.

    Example:
        >>> strays("def f(): pass\nprint(f())")
        [(2, 'print(f())')]
    """
    parsed = parse(source)
    lines = source.split("\n")
    body = parsed.tree.body
    found = [(s.lineno, lines[s.lineno - 1].strip()) for at, s in enumerate(body) if not is_definition(s, first=at == 0)]
    found += [(m.line, lines[m.line - 1].strip()) for m in parsed.magics]
    return sorted(set(found))


def public_functions(source: str) -> list[str]:
    r"""Names of the public functions a cell defines at its top level, in order.

    Example:
        >>> public_functions("def _a(): ...\ndef b(): ...")
        ['b']
    """
    found: dict[str, None] = {}
    for statement in parse(source).tree.body:
        if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)) and not statement.name.startswith("_"):
            found[statement.name] = None
        elif isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Lambda):
            found.update({t.id: None for t in statement.targets if isinstance(t, ast.Name) and not t.id.startswith("_")})
    return list(found)


def entry_of(source: str, entry: str | None, name: str) -> str:
    """The function that a cell of definitions is called by.

    Raises:
        CaptureRefused: None or several public functions and no `entry`, or an `entry` the cell does not define.
    """
    public = public_functions(source)
    defined = {s.name for s in parse(source).tree.body if isinstance(s, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))} | set(
        public
    )
    if entry:
        if entry not in defined:
            known = ", ".join(sorted(defined)) or "none"
            raise CaptureRefused(
                f"the cell defines no function `{entry}`; it defines {known}", subject=name, hint="name one of them with --entry"
            )
        return entry
    if len(public) == 1:
        return public[0]
    if public:
        raise CaptureRefused(
            f"the cell defines several public functions: {', '.join(public)}",
            subject=name,
            hint=f"say which is called: --entry {public[-1]}",
        )
    raise CaptureRefused(
        "the cell defines no public function", subject=name, hint="name one without a leading underscore, or say --entry NAME"
    )


def kernel_magics(parsed: Parsed) -> str:
    """Why magics of a cell keep it in the kernel, "" when they do not."""
    for magic in parsed.magics:
        if magic.kind == "help":
            return f"asks for help at line {magic.line}"
        if magic.name not in _HARMLESS:
            return f"uses %{magic.name} at line {magic.line}"
    return ""


def is_definition(node: ast.stmt, *, first: bool = False) -> bool:
    """Whether a top-level statement only defines: no effect beyond the names it binds, and those bound to code or constants."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom, ast.Pass)):
        return True
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant) and (first or node.value.value is Ellipsis or isinstance(node.value.value, str))
    if isinstance(node, ast.Assign):
        return all(isinstance(t, ast.Name) for t in node.targets) and _is_constant(node.value)
    if isinstance(node, ast.AnnAssign):
        return isinstance(node.target, ast.Name) and (node.value is None or _is_constant(node.value))
    if isinstance(node, ast.If):
        return _is_type_checking(node.test) and all(is_definition(s) for s in (*node.body, *node.orelse))
    if isinstance(node, ast.Try):
        parts = [*node.body, *node.orelse, *node.finalbody, *(s for h in node.handlers for s in h.body)]
        return all(is_definition(s) for s in parts) and any(isinstance(s, (ast.Import, ast.ImportFrom)) for s in parts)
    return type(node).__name__ == "TypeAlias"


def _is_type_checking(test: ast.expr) -> bool:
    return (isinstance(test, ast.Name) and test.id == "TYPE_CHECKING") or (isinstance(test, ast.Attribute) and test.attr == "TYPE_CHECKING")


def _is_constant(value: ast.expr) -> bool:
    if isinstance(value, ast.Lambda):
        return True
    if isinstance(value, ast.Call):
        function = value.func
        called = function.id if isinstance(function, ast.Name) else function.attr if isinstance(function, ast.Attribute) else ""
        return called in _TYPE_MAKERS
    if isinstance(value, ast.Constant):
        return True
    if isinstance(value, ast.UnaryOp):
        return isinstance(value.op, (ast.USub, ast.UAdd)) and isinstance(value.operand, ast.Constant)
    if isinstance(value, (ast.Tuple, ast.List, ast.Set)):
        return all(_is_constant(e) for e in value.elts)
    if isinstance(value, ast.Dict):
        return all(k is not None and _is_constant(k) for k in value.keys) and all(_is_constant(v) for v in value.values)
    return False


def _refuse(magic: Magic) -> None:
    where = f"line {magic.line}"
    if magic.name in _INSTALLERS or (magic.kind == "shell" and magic.rest.split()[:1] in (["pip"], ["conda"], ["uv"])):
        raise CaptureRefused(
            f"{where} installs packages inside a module",
            subject=where,
            hint="move the line to a cell of its own; a module records the versions it ran with",
        )
    if magic.kind == "shell":
        raise CaptureRefused(
            f"{where} runs a shell command, which cannot be captured",
            subject=where,
            hint="move it to a cell of its own, or use subprocess.run([...])",
        )
    if magic.kind == "cell" and (magic.name in _OTHER_LANGUAGES or magic.name.startswith("script")):
        raise CaptureRefused(
            f"{where} makes the cell %%{magic.name}, which is not Python", subject=where, hint="keep %%module for cells of Python"
        )
    if magic.kind == "cell" and magic.name in ("module", "test", "check", "workflow"):
        raise CaptureRefused(f"{where} holds a second %%{magic.name}", subject=where, hint="one such line a cell, as its first")


def _syntax(source: str, error: SyntaxError) -> CaptureRefused:
    line = error.lineno or 1
    lines = source.split("\n")
    text = lines[line - 1] if 0 < line <= len(lines) else ""
    caret = " " * max(0, (error.offset or 1) - 1) + "^"
    return CaptureRefused(
        f"line {line}: {error.msg}\n  {text}\n  {caret}", subject=f"line {line}", hint="correct the line and run the cell again"
    )
