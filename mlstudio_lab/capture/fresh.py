"""Whether captured code is still what the kernel would run, told in microseconds so that a call need not capture anew.

Only plain cases are watched: functions of the notebook with plain defaults, imports, small constants, and data in which
no code of the person's can hide. Anything else is captured anew at each call.
"""

from __future__ import annotations

import os
import sys
import types
from collections.abc import Mapping
from typing import Any, Final

from mlstudio_lab.capture.captured import Captured
from mlstudio_lab.capture.closure import attribute_chains
from mlstudio_lab.capture.environment import environment_stamp, origin_of
from mlstudio_lab.capture.held_code import code_in
from mlstudio_lab.capture.items import held_function, innermost, small_literal
from mlstudio_lab.capture.scopes import names_of

_ABSENT: Final = object()
_FLAT: Final = (str, bytes, int, float, bool, type(None))


class Fresh:
    """A capture with what it was made from.

    Args:
        captured: A function's capture.
        function: The live function, outside any handle.
        namespace: The names it was captured in.

    Attributes:
        captured: The capture; its inputs and environment reads are renewed by `again`.
    """

    def __init__(self, captured: Captured, function: Any, namespace: Mapping[str, Any]) -> None:
        self.captured = captured
        self._namespace = namespace
        self._stamp = environment_stamp()
        self._names: dict[str, Any] = {}
        self._functions: list[tuple[types.FunctionType, types.CodeType, Any, Any]] = []
        self._modules: list[types.ModuleType] = []
        self._chains: list[tuple[types.ModuleType, tuple[str, ...], Any]] = []
        self._is_plain = self._watch(function)

    def again(self, values: Mapping[str, Any]) -> Captured | None:
        """The capture with present inputs, None when something that counts has changed or cannot be told.

        Args:
            values: Arguments of the coming call.

        Example:
            >>> Fresh(capture_function(f, globals(), name="a/f"), f, globals()).again({}) is not None  # doctest: +SKIP
            True
        """
        if not self._is_plain or environment_stamp() != self._stamp:
            return None
        namespace, data = self._namespace, self.captured.inputs
        for name, value in self._names.items():
            if namespace.get(name, _ABSENT) is not value:
                return None
        for function, code, defaults, keyword in self._functions:
            if function.__code__ is not code or function.__defaults__ is not defaults or function.__kwdefaults__ is not keyword:
                return None
            if function.__dict__:
                return None
        for module in self._modules:
            if sys.modules.get(module.__name__) is not module:
                return None
        for module, chain, end in self._chains:
            if _end(module, chain) is not end:
                return None
        if any(self._holds_code(value) for value in (*data.values(), *values.values())):
            return None
        for name in self.captured.env_reads:
            # The person's own environment, not a setting of ours.
            self.captured.env_reads[name] = os.environ.get(name)
        return self.captured

    def _watch(self, function: Any) -> bool:
        captured, closure = self.captured, self.captured.code.closure
        if captured.stale or captured.kernel_only or any(unit.role == "module" for unit in captured.bundle.units):
            return False
        if not isinstance(function, types.FunctionType) or function.__globals__ is not self._namespace:
            return False
        sources = [unit.source for unit in captured.bundle.units if unit.role in ("main", "definition")]
        for source in sources:
            found = names_of(source)
            for name in (*found.reads, *found.bound):
                self._names[name] = self._namespace.get(name, _ABSENT)
        self._names.update({name: self._namespace.get(name, _ABSENT) for name in (*closure.items, *closure.constants, *captured.inputs)})
        if not self._add(function):
            return False
        for name, value in self._names.items():
            if value is _ABSENT or name in captured.inputs or name in closure.constants:
                continue
            if not self._add(held_function(value)):
                return False
        for source in sources:
            for root, chains in attribute_chains(source).items():
                module = self._names.get(root)
                if isinstance(module, types.ModuleType):
                    self._chains += [(module, chain, _end(module, chain)) for chain in chains]
        return not any(self._holds_code(value) for value in captured.inputs.values())

    def _add(self, value: Any) -> bool:
        """Watches one live object; False when changes of it cannot be seen."""
        if isinstance(value, types.ModuleType):
            self._modules.append(value)
            return True
        if isinstance(value, types.FunctionType) and value.__globals__ is self._namespace:
            plain = [*(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values()]
            if innermost(value) is not value or value.__closure__ or value.__dict__ or any(small_literal(v) is None for v in plain):
                return False
            self._functions.append((value, value.__code__, value.__defaults__, value.__kwdefaults__))
            return True
        if isinstance(value, type):
            return bool(value.__module__ != self._namespace.get("__name__", "__main__"))
        # Functions of installed packages are what their import gives; their identity is watched by name.
        is_code: bool = isinstance(value, (types.FunctionType, types.BuiltinFunctionType))
        return is_code or type(value) in _FLAT

    @staticmethod
    def _holds_code(value: Any) -> bool:
        return type(value) not in _FLAT and bool(code_in(value, _own))


def _own(value: Any) -> bool:
    module = str(getattr(value, "__module__", "__main__"))
    return module == "__main__" or origin_of(module) in ("local", "missing")


def _end(module: types.ModuleType, chain: tuple[str, ...]) -> Any:
    """The object at the end of an attribute path, as far as it leads through modules."""
    at: Any = module
    for part in chain:
        if not isinstance(at, types.ModuleType):
            return at
        at = vars(at).get(part, _ABSENT)
    return at
