"""A version of a function module as a wheel: plain Python that computes the same without ML Studio.

The wheel holds one package, named injectively after the module. Imports, constants, helpers and the function stand in
`_code.py` in the order in which they were captured, so they share their names as they did in the notebook. Local files
are vendored as `_local/…` and every import statement of one is rewritten to the vendored copy; nothing is put into
`sys.modules` under a name that another package could use. Building is deterministic: the same version gives the same
bytes, with fixed times, sorted entries and no compression.
"""

from __future__ import annotations

import ast
import base64
import hashlib
import io
import zipfile
from collections.abc import Iterator, Mapping
from typing import Final

from mlstudio_lab.core.bundle import Bundle
from mlstudio_lab.core.errors import BadInput
from mlstudio_lab.core.lock import Lock
from mlstudio_lab.core.names import Name

_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
_CODE: Final = "_code"
_LOCAL: Final = "_local"


def build_wheel(name: Name, number: int, bundle: Bundle) -> tuple[str, bytes]:
    """The wheel of one version: file name and bytes.

    Args:
        name: The module's name, which gives the distribution and import names.
        number: The version's number, which is the wheel's version.
        bundle: Its source.

    Raises:
        BadInput: Not a function module, or one that reads kernel data that no parameter carries.

    Example:
        >>> from mlstudio_lab.core.bundle import Unit
        >>> from mlstudio_lab.core.interface import Interface
        >>> unit = Unit("main", "main", "def f(x): return x + 1")
        >>> b = Bundle("function", "f", (unit,), Interface(), Lock("3.11.7", "linux-x86_64", ()))
        >>> build_wheel(Name.parse("demo/f"), 1, b)[0]
        'mlstudio_demo_f-1-py3-none-any.whl'
    """
    _check(name, bundle)
    package, info = name.import_name, f"{name.import_name}-{number}.dist-info"
    local = {u.name: u.source for u in bundle.units if u.role == "module"}
    files = {
        f"{package}/__init__.py": _front_page(name, number, bundle),
        f"{package}/{_CODE}.py": _code(package, bundle, local),
        f"{info}/METADATA": _metadata(name, number, bundle),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: mlstudio\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files.update(_vendored(package, local))
    return f"{package}-{number}-py3-none-any.whl", _zipped(files, f"{info}/RECORD")


def _check(name: Name, bundle: Bundle) -> None:
    if bundle.kind != "function":
        raise BadInput(
            f"{name} is a {bundle.kind} module; only function modules are built as wheels",
            subject=str(name),
            hint="put its statements into a function and make that the module",
        )
    implicit = [p.name for p in bundle.interface.inputs if p.implicit]
    if implicit:
        raise BadInput(
            f"{name} reads `{implicit[0]}` from the notebook, which a wheel does not carry",
            subject=implicit[0],
            hint=f"make `{implicit[0]}` a parameter of `{bundle.entry}`",
        )


def _front_page(name: Name, number: int, bundle: Bundle) -> str:
    entry = bundle.entry
    return (
        f'"""The module {name}, version {number}: `{entry}`."""\n\n'
        f"from {name.import_name}.{_CODE} import {entry}\n\n"
        f'__all__ = ["{entry}"]\n'
        f'__version__ = "{number}"\n'
        f'__bundle__ = "{bundle.id}"\n'
    )


def _code(package: str, bundle: Bundle, local: Mapping[str, str]) -> str:
    """The shared names of the bundle as one file; future statements of any unit come first, as Python wants them."""
    future: dict[str, None] = {}
    parts = []
    for unit in bundle.units:
        if unit.role in ("import", "constant", "definition", "main"):
            text, found = _without_future(unit.source)
            future.update(dict.fromkeys(found))
            parts.append(_rewritten(text, package, local).strip("\n"))
    head = [f"from __future__ import {', '.join(sorted(future))}"] if future else []
    return "\n\n".join([*head, *parts]) + "\n"


def _without_future(source: str) -> tuple[str, list[str]]:
    names: list[str] = []
    cuts: list[tuple[ast.stmt, str]] = []
    for node in ast.parse(source).body:
        if isinstance(node, ast.ImportFrom) and node.module == "__future__" and not node.level:
            names.extend(a.name for a in node.names)
            cuts.append((node, "pass"))
    return _replaced(source, cuts), names


def _vendored(package: str, local: Mapping[str, str]) -> dict[str, str]:
    """Local files under the private package, each folder with an `__init__.py`."""
    packages = {n for n in local if any(o.startswith(n + ".") for o in local)}
    for name in local:
        parts = name.split(".")
        packages.update(".".join(parts[:i]) for i in range(1, len(parts)))
    files = {}
    if local:
        files[f"{package}/{_LOCAL}/__init__.py"] = ""
    for name in packages:
        files[f"{package}/{_LOCAL}/{name.replace('.', '/')}/__init__.py"] = _rewritten(local.get(name, ""), package, local)
    for name, source in local.items():
        if name not in packages:
            files[f"{package}/{_LOCAL}/{name.replace('.', '/')}.py"] = _rewritten(source, package, local)
    return files


def _rewritten(source: str, package: str, local: Mapping[str, str]) -> str:
    """A text whose absolute imports of local files are imports of the vendored copies; lines stay where they are."""
    roots = {n.partition(".")[0] for n in local}
    if not any(root in source for root in roots):
        return source
    private = f"{package}.{_LOCAL}"
    changes: list[tuple[ast.stmt, str]] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and not node.level and node.module and node.module.partition(".")[0] in roots:
            names = ", ".join(a.name if a.asname is None else f"{a.name} as {a.asname}" for a in node.names)
            changes.append((node, f"from {private}.{node.module} import {names}"))
        elif isinstance(node, ast.Import) and any(a.name.partition(".")[0] in roots for a in node.names):
            changes.append((node, "; ".join(_import(a, private, roots) for a in node.names)))
        elif isinstance(node, ast.Expr) and (dotted := _loads(node)) and dotted.partition(".")[0] in roots:
            changes.append((node, f"__import__({private + '.' + dotted!r})"))
    return _replaced(source, changes)


def _import(alias: ast.alias, private: str, roots: set[str]) -> str:
    root, dot, _ = alias.name.partition(".")
    if root not in roots:
        return f"import {alias.name}" + (f" as {alias.asname}" if alias.asname else "")
    if alias.asname:
        return f"import {private}.{alias.name} as {alias.asname}"
    bound = f"import {private}.{root} as {root}"
    return f"__import__({private + '.' + alias.name!r}); {bound}" if dot else bound


def _loads(node: ast.Expr) -> str:
    """The module that a bare `__import__("a.b")` loads, "" for any other statement."""
    call = node.value
    if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "__import__" and len(call.args) == 1:
        argument = call.args[0]
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
            return argument.value
    return ""


def _replaced(source: str, changes: list[tuple[ast.stmt, str]]) -> str:
    lines = source.split("\n")
    for node, text in sorted(changes, key=lambda c: (c[0].lineno, c[0].col_offset), reverse=True):
        first, last = node.lineno - 1, (node.end_lineno or node.lineno) - 1
        head = lines[first].encode()[: node.col_offset].decode()
        tail = lines[last].encode()[node.end_col_offset :].decode()
        lines[first : last + 1] = [head + text + tail, *([""] * (last - first))]
    return "\n".join(lines)


def _metadata(name: Name, number: int, bundle: Bundle) -> str:
    lines = [
        "Metadata-Version: 2.1",
        f"Name: {name.distribution}",
        f"Version: {number}",
        f"Summary: The module {name}, version {number}",
        f"Requires-Python: >={'.'.join(bundle.lock.python.split('.')[:2])}",
        *(f"Requires-Dist: {distribution}=={version}" for distribution, version in _required(bundle.lock)),
    ]
    return "\n".join(lines) + "\n"


def _required(lock: Lock) -> Iterator[tuple[str, str]]:
    """Distributions that the code imports itself, pinned to what it was captured with."""
    from packaging.version import InvalidVersion, Version

    for distribution, version in sorted(lock.distributions):
        if distribution in lock.direct:
            try:
                yield distribution, str(Version(version))
            except InvalidVersion:
                continue


def _zipped(files: Mapping[str, str], record: str) -> bytes:
    entries = {path: text.encode("utf-8", "surrogatepass") for path, text in files.items()}
    lines = []
    for path in sorted(entries):
        digest = base64.urlsafe_b64encode(hashlib.sha256(entries[path]).digest()).rstrip(b"=").decode()
        lines.append(f"{path},sha256={digest},{len(entries[path])}")
    entries[record] = ("\n".join([*lines, f"{record},,"]) + "\n").encode()
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        # The .dist-info folder last, as the wheel specification recommends.
        for path in sorted(entries, key=lambda p: (".dist-info/" in p, p)):
            info = zipfile.ZipInfo(path, _EPOCH)
            info.external_attr = 0o644 << 16
            info.create_system = 3
            archive.writestr(info, entries[path])
    return out.getvalue()
