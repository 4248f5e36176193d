"""Arguments bound to a signature, defaults included, so that position, keyword and order do not count."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from types import FunctionType
from typing import Any
from weakref import WeakKeyDictionary

from mlstudio_lab.core.errors import BadArgument, near_matches
from mlstudio_lab.core.interface import Interface


def bind_arguments(
    function: Callable[..., Any] | Interface, args: Sequence[Any], kwargs: Mapping[str, Any], *, name: str = "", defaults: bool = True
) -> dict[str, Any]:
    """Parameter -> value in the signature's order; `*rest` collects a tuple, `**more` a dict.

    Args:
        function: The live function, whose defaults are taken, or an interface, whose defaults stay with the version.
        args: Positional arguments.
        kwargs: Keyword arguments.
        name: What was called, for messages.
        defaults: Whether defaults are filled in.

    Raises:
        BadArgument: A missing, surplus or misspelt argument; the hint has near matches.

    Example:
        >>> bind_arguments(lambda a, b=2, *c, **d: None, (1,), {"e": 5})
        {'a': 1, 'b': 2, 'c': (), 'd': {'e': 5}}
    """
    signature = _signature(function) if isinstance(function, Interface) else _live(function)
    try:
        bound = signature.bind(*args, **kwargs)
    except TypeError as error:
        known = [p.name for p in signature.parameters.values() if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
        unknown = [k for k in kwargs if k not in known]
        hint = near_matches(unknown[0], known) if unknown else ""
        shown = f"it takes {', '.join(str(p).split('=')[0].split(':')[0] for p in signature.parameters.values()) or 'no arguments'}"
        raise BadArgument(
            f"{name or 'the module'}: {error}", subject=name or (unknown[0] if unknown else "arguments"), hint=hint or shown
        ) from None
    if defaults and not isinstance(function, Interface):
        bound.apply_defaults()
    return dict(bound.arguments)


def call_arguments(function: Callable[..., Any] | Interface, bound: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The (args, kwargs) that call a function with bound arguments.

    Example:
        >>> call_arguments(lambda a, *b, c: None, {"a": 1, "b": (2,), "c": 3})
        ((1, 2), {'c': 3})
    """
    signature = _signature(function) if isinstance(function, Interface) else _live(function)
    arguments = inspect.BoundArguments(signature, dict(bound))
    return arguments.args, arguments.kwargs


_seen: WeakKeyDictionary[Callable[..., Any], tuple[Any, Any, inspect.Signature]] = WeakKeyDictionary()
"""Plain functions -> the code and defaults their signature was read from, and the signature: reading one costs a tenth of a memo hit."""


def _live(function: Callable[..., Any]) -> inspect.Signature:
    """The signature of a live function as it is now."""
    if type(function) is not FunctionType or function.__dict__ or function.__kwdefaults__:
        return inspect.signature(function)  # it may say another signature than its code's, or change it in place
    known = _seen.get(function)
    if known is None or known[0] is not function.__code__ or known[1] is not function.__defaults__:
        known = _seen[function] = (function.__code__, function.__defaults__, inspect.signature(function))
    return known[2]


def _signature(interface: Interface) -> inspect.Signature:
    kinds = inspect.Parameter
    parameters = []
    keyword_only = optional = False
    for port in interface.inputs:
        if port.implicit:
            continue
        # A required parameter after an optional one can only be keyword-only.
        keyword_only = keyword_only or (optional and port.required and not port.variadic)
        kind: Any = kinds.KEYWORD_ONLY if keyword_only else kinds.POSITIONAL_OR_KEYWORD
        if port.variadic:
            kind = kinds.VAR_POSITIONAL if port.variadic == "*" else kinds.VAR_KEYWORD
            keyword_only = True
        default = kinds.empty if port.required or port.variadic else None
        optional = optional or default is None
        parameters.append(kinds(port.name, kind, default=default))
    return inspect.Signature(parameters)
