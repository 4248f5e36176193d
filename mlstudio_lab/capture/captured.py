"""What capture hands on: a bundle, the live data it needs, and the live code by name."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mlstudio_lab.capture.closure import Closure
from mlstudio_lab.capture.environment import origin_of
from mlstudio_lab.capture.items import held_function, innermost
from mlstudio_lab.capture.source_of import locate
from mlstudio_lab.core.bundle import Bundle
from mlstudio_lab.core.code_digest import code_tree, source_digest
from mlstudio_lab.core.digest import digest
from mlstudio_lab.core.errors import CannotCross
from mlstudio_lab.core.magic_lines import parse_cell
from mlstudio_lab.wire.task import Impurity


@dataclass(slots=True)
class Captured:
    """A piece of live code as a bundle, and what goes with it.

    Attributes:
        bundle: The source, ready to be a version.
        inputs: Free data names -> live values.
        outputs: Data names that a cell binds, in order; empty for a function.
        origins: Unit name -> [file name, first line].
        code: The kernel's functions and classes by name.
        env_reads: Environment variables read by literal name -> present value, None when unset.
        impurities: What the text shows to differ from time to time, with lines of the cell or function.
        kernel_only: Why it must run in the kernel, "" when it need not.
        kernel_source: A cell's imports and definitions, to be executed in the kernel too; lines are the cell's own.
        stale: Why the bundle is not what the kernel would run, "" when it is; such a run is never stored.
    """

    bundle: Bundle
    inputs: dict[str, Any]
    outputs: tuple[str, ...]
    origins: dict[str, list[Any]]
    code: LiveCode
    env_reads: dict[str, str | None] = field(default_factory=dict)
    impurities: list[Impurity] = field(default_factory=list)
    kernel_only: str = ""
    kernel_source: str = ""
    stale: str = ""


class LiveCode:
    """Names of the person's functions and classes in the kernel: `__main__:Qualified.name` or `module:Qualified.name`.

    The same names stand for the same things where a bundle is loaded (`calling.code.LoadedCode`).

    Args:
        closure: What was captured.
        bundle: Gives the captured bundle, when a digest is first asked for.
    """

    def __init__(self, closure: Closure, bundle: Callable[[], Bundle | None]) -> None:
        self.closure = closure
        self._bundle = bundle
        self._tree: dict[str, str] | None = None

    def name_of(self, obj: object) -> str | None:
        """The stable name of a function or class of the notebook or a local file; None for anything else."""
        code = held_function(obj)
        inner = innermost(code)
        if not isinstance(code, (type, types.FunctionType)) and not isinstance(inner, types.FunctionType):
            return None
        scope = self.closure.scope
        if isinstance(code, type):
            own = scope.own_class(code)
        else:
            own = scope.own_function(code) or scope.own_function(inner)
        qualified = str(getattr(code, "__qualname__", ""))
        if own:
            if "<" not in qualified and self._at(scope.namespace, qualified) is code:
                return f"__main__:{qualified}"
            name = self.closure.named.get(id(code))
            return None if name is None else f"__main__:{name}"
        module = str(getattr(code, "__module__", "") or "")
        loaded = sys.modules.get(module)
        if loaded is None or origin_of(module) != "local" or self._at(vars(loaded), qualified) is not code:
            return None
        return f"{module}:{qualified}"

    def find(self, name: str) -> object:
        """The live function or class of that name, a module handle where one holds it.

        Raises:
            CannotCross: The kernel has none.
        """
        module, _, qualified = name.partition(":")
        if module == "__main__":
            found = self._at(self.closure.scope.namespace, qualified, handles=True)
            if found is None:
                found = self.closure.look(qualified) if qualified.isidentifier() else None
        else:
            loaded = sys.modules.get(module)
            found = None if loaded is None else self._at(vars(loaded), qualified)
        if found is None or type(found) is object:
            raise CannotCross(f"`{qualified}` is not defined in this kernel", subject=name, hint="run the cell that defines it")
        return found

    def digest_of(self, obj: object) -> str | None:
        """The digest of the unit a function or class is defined in; None for what is not the person's."""
        name = self.name_of(obj)
        if name is None:
            return self._unnamed(obj)
        module, _, qualified = name.partition(":")
        if self._tree is None:
            bundle = self._bundle()
            self._tree = {} if bundle is None else code_tree(bundle)
        root = qualified.partition(".")[0] if module == "__main__" else module
        if root in self._tree:
            return self._tree[root]
        if "main" in self._tree and module == "__main__" and root not in self.closure.items and root in self._main_names():
            return self._tree["main"]
        return self._alone(root if module == "__main__" else "", module)

    def _main_names(self) -> frozenset[str]:
        from mlstudio_lab.capture.scopes import names_of

        bundle = self._bundle()
        return frozenset() if bundle is None else frozenset(names_of(bundle.main.source).bound)

    def _alone(self, name: str, module: str) -> str | None:
        """The digest of code that is not part of the bundle, with all it calls."""
        if not name:
            from mlstudio_lab.capture.modules import closure

            files, _ = closure([module])
            return digest("live files", [[f.name, source_digest(f.text)] for f in files.values()]) if files else None
        alone = Closure(self.closure.scope, literals=True)
        alone.need([name], follow=True)
        if not alone.items:
            return None
        return digest("live", [[n, source_digest(i.source)] for n, i in sorted(alone.items.items())], alone.constants)

    def _unnamed(self, obj: object) -> str | None:
        """The digest of a lambda or nested function without free variables, by its own text."""
        if not isinstance(obj, types.FunctionType) or not self.closure.scope.own_function(obj) or obj.__closure__:
            return None
        located = locate(obj.__code__)
        if located is None or not located.same:
            return None
        import ast

        return source_digest(ast.unparse(located.node))

    @staticmethod
    def _at(names: Mapping[str, Any], qualified: str, *, handles: bool = False) -> Any:
        parts = qualified.split(".")
        found: Any = names.get(parts[0])
        if not handles or len(parts) > 1:
            found = held_function(found)
        for part in parts[1:]:
            found = getattr(found, part, None)
        return found


def refused_line(text: str, line: int) -> str:
    """One line of a cell, for messages."""
    lines = text.split("\n")
    return lines[line - 1].strip() if 0 < line <= len(lines) else ""


def python_of(source: str) -> str:
    """A cell's Python, magics taken out."""
    return parse_cell(source).text
