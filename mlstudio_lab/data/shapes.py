"""What a value is made of: its own bytes and its parts. One reading serves digests, node tables and change detection."""

from __future__ import annotations

import copyreg
import enum
import importlib
import marshal
import pickle
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from mlstudio_lab.core.errors import CannotCross
from mlstudio_lab.data.naming import is_code, qualified, text

SCALARS: Final = frozenset({type(None), bool, int, float, complex, str, bytes})
"""Exact types that marshal version 2 writes type-tagged, self-delimiting and independent of the process."""


@dataclass(slots=True)
class Shape:
    """One value taken apart.

    Attributes:
        tag: What kind of thing it is.
        head: Its own small content.
        children: Its parts, in an order that does not depend on the process.
        unordered: Whether the children must be put in an order by their content.
        content: Gives the digest of its own big content (a frame's, an array's); called only when content is wanted.
        memory: The owner of the memory an array looks at and the first and last address it sees, for arrays.
        fresh: What is made anew each time it is taken apart and therefore has no identity: by `id`, kept alive.
    """

    tag: bytes
    head: bytes = b""
    children: Sequence[Any] = ()
    unordered: bool = False
    content: Callable[[], str] | None = None
    fresh: dict[int, Any] | None = None
    memory: tuple[Any, int, int] | None = None


Reader = tuple[Callable[[Any], Shape], bool]
"""How values of one type are taken apart, and whether they are nodes: things that can be shared or changed."""


def is_flat(items: Any) -> bool:
    """Whether all items of an iterable are exact scalars, so that the whole can be written at once.

    Example:
        >>> is_flat([1, "a", None]), is_flat([[1]])
        (True, False)
    """
    return set(map(type, items)) <= SCALARS


def scalar_bytes(value: Any) -> bytes:
    """A scalar, or a flat list, tuple or dict of scalars, as self-delimiting type-tagged bytes.

    Floats are written by their bits, so `0.0` and `-0.0` differ and a NaN equals itself.

    Example:
        >>> len({scalar_bytes(x) for x in (1, 1.0, True, "1", b"1")})
        5
    """
    # Version 2 has neither references nor interning flags: equal values give equal bytes whatever their history.
    return marshal.dumps(value, 2)


def _list(value: list[Any]) -> Shape:
    if is_flat(value):
        return Shape(b"list", b"\1" + scalar_bytes(value))
    return Shape(b"list", b"\0", value)


def _dict(value: dict[Any, Any]) -> Shape:
    if is_flat(value) and is_flat(value.values()):
        return Shape(b"dict", b"\1" + scalar_bytes(value))
    flat: list[Any] = [None] * (2 * len(value))
    flat[::2] = value.keys()
    flat[1::2] = value.values()
    return Shape(b"dict", b"\0", flat)


def _tuple(value: tuple[Any, ...]) -> Shape:
    if is_flat(value):
        return Shape(b"tuple", b"\1" + scalar_bytes(value))
    return Shape(b"tuple", b"\0", value)


def _elements(value: Any) -> tuple[bytes, Sequence[Any]]:
    if is_flat(value):
        return b"\1" + b"".join(sorted(map(scalar_bytes, value))), ()
    return b"\0", list(value)


def _set(value: set[Any]) -> Shape:
    head, children = _elements(value)
    return Shape(b"set", head, children, unordered=True)


def _frozenset(value: frozenset[Any]) -> Shape:
    head, children = _elements(value)
    return Shape(b"frozenset", head, children, unordered=True)


def _memoryview(value: memoryview) -> Shape:
    return Shape(b"memoryview", text(value.format) + scalar_bytes([*(value.shape or ()), value.readonly]) + value.tobytes())


def _path(value: Any) -> Shape:
    return Shape(b"path", text(type(value).__name__, str(value)))


def _enum(value: enum.Enum) -> Shape:
    return Shape(b"enum", text(value.name or ""), [type(value), value._value_] if value.name is None else [type(value)])


_BUILTIN: Final[dict[type, Reader]] = {
    list: (_list, True),
    dict: (_dict, True),
    tuple: (_tuple, False),
    set: (_set, True),
    frozenset: (_frozenset, False),
    bytearray: (lambda v: Shape(b"bytearray", bytes(v)), True),
    memoryview: (_memoryview, False),
    type(Ellipsis): (lambda v: Shape(b"ellipsis"), False),
    type(NotImplemented): (lambda v: Shape(b"notimplemented"), False),
    types.ModuleType: (lambda v: Shape(b"module", text(v.__name__)), False),
}

# Immutable values that Python's own reduction takes apart well; sharing them cannot be told from copying them.
_IMMUTABLE: Final = {
    "datetime": ("date", "datetime", "time", "timedelta", "timezone"),
    "decimal": ("Decimal",),
    "fractions": ("Fraction",),
    "uuid": ("UUID",),
    "re": ("Pattern",),
    "builtins": ("range", "slice", "method", "builtin_function_or_method", "method-wrapper", "getset_descriptor"),
    "types": ("GenericAlias",),
    "zoneinfo": ("ZoneInfo",),
    "ipaddress": ("IPv4Address", "IPv6Address", "IPv4Network", "IPv6Network"),
}
_PATHS: Final = ("PosixPath", "PurePosixPath", "WindowsPath", "PureWindowsPath")
_MOST_FRESH: Final = 1_000_000
_VENDORS: Final = {**{name: name for name in ("numpy", "pandas", "polars", "scipy", "sklearn", "torch")}, "pyarrow": "arrow"}

# Objects wired to this very process; they pickle, but what comes out is wired to nothing.
_LIVE: Final = frozenset({"traitlets", "ipywidgets", "anywidget", "comm", "zmq", "ipykernel"})

_readers: dict[type, Reader] = dict(_BUILTIN)


def shape_of(value: Any) -> Shape:
    """A value that is neither a scalar nor code, taken apart.

    Raises:
        CannotCross: It has no parts that could be read: a lock, a generator, an open file.
    """
    kind = type(value)
    reader = _readers.get(kind)
    if reader is None:
        reader = _readers[kind] = _reader_of(kind)
    return reader[0](value)


def has_identity(kind: type) -> bool:
    """Whether instances of a type can be shared or changed, so that it matters which of two equal ones is meant.

    Example:
        >>> has_identity(list), has_identity(tuple)
        (True, False)
    """
    reader = _readers.get(kind)
    if reader is None:
        reader = _readers[kind] = _reader_of(kind)
    return reader[1]


def _reader_of(kind: type) -> Reader:
    if issubclass(kind, enum.Enum):
        return _enum, False
    if any((base.__module__ or "").partition(".")[0] in _LIVE for base in kind.__mro__):
        return _live, True
    root = (kind.__module__ or "").partition(".")[0]
    if any((base.__module__ or "").startswith("matplotlib.artist") for base in kind.__mro__):
        return _live, True  # reading one changes its counters, so two readings never agree
    if root in _VENDORS:
        vendor = importlib.import_module(f"mlstudio_lab.data.codecs.{_VENDORS[root]}")
        reader: Reader | None = vendor.reader_of(kind)
        if reader is not None:
            return reader
    if root == "pathlib" and kind.__name__ in _PATHS:
        return _path, False
    if kind.__name__ in _IMMUTABLE.get(kind.__module__, ()):
        return immutable, False
    if issubclass(kind, tuple) and "__dict__" not in dir(kind):
        return immutable, False
    return _plain_object if is_plain(kind) else reduced, True


def is_plain(kind: type) -> bool:
    """Whether a class leaves taking its instances apart to `object`: their state is their attributes.

    Example:
        >>> class Point: ...
        >>> is_plain(Point), is_plain(__import__("collections").deque)
        (True, False)
    """
    return (
        getattr(kind, "__reduce_ex__", None) is object.__reduce_ex__
        and getattr(kind, "__reduce__", None) is object.__reduce__
        and getattr(kind, "__getstate__", None) is object.__getstate__
        and not hasattr(kind, "__getnewargs_ex__")
        and not hasattr(kind, "__getnewargs__")
    )


def reduction(value: Any) -> tuple[Any, ...] | str:
    """What `__reduce_ex__(4)` gives, completed to five parts.

    Raises:
        CannotCross: The value refuses.
    """
    registered = copyreg.dispatch_table.get(type(value))
    try:
        parts = value.__reduce_ex__(4) if registered is None else registered(value)
    except Exception as error:
        raise cannot(value) from error
    if isinstance(parts, str):
        return parts
    if not isinstance(parts, tuple) or not 2 <= len(parts) <= 6:
        raise cannot(value)
    return (*parts, None, None, None)[:5]


def cannot(value: object) -> CannotCross:
    """The refusal of a value that cannot be taken apart."""
    kind = qualified(type(value))
    hint = "make it inside the module, or use --where kernel"
    return CannotCross(f"a {kind} cannot be carried to another process", subject=kind, hint=hint)


# Public in use though not in typeshed: where pickle itself would look a name up.
_whichmodule: Callable[[object, str], str] = vars(pickle)["whichmodule"]


def parts_of(value: Any) -> tuple[bytes, list[Any]]:
    """An object's reduction as counts and a flat list of parts; state dictionaries are opened, so they are no parts."""
    parts = reduction(value)
    if isinstance(parts, str):
        home = _whichmodule(value, parts)
        if home == "__main__":
            raise cannot(value)  # a name of the person's is no content
        return text(qualified(type(value)), home, parts), []
    func, args, state, items, pairs = parts
    flat: list[Any] = [func, *args]
    counts = [len(args)]
    for layer in state if isinstance(state, tuple) and _is_slots(state) else (state,):
        if type(layer) is dict:
            counts += (1, len(layer))
            for key, part in layer.items():
                flat += (key, part)
        else:
            counts += (0, 1)
            flat.append(layer)
    for rest in (items, pairs):
        more = list(rest) if rest is not None else []
        counts.append(len(more))
        for part in more:
            flat += part if rest is pairs else (part,)
    return scalar_bytes(counts), flat


def _is_slots(state: tuple[Any, ...]) -> bool:
    return len(state) == 2 and type(state[1]) is dict and (state[0] is None or type(state[0]) is dict)


def is_live(kind: type) -> bool:
    """Whether instances of a type are wired to this process: widgets, shells, sockets of the kernel."""
    has_identity(kind)
    return _readers[kind][0] is _live and not any((base.__module__ or "").startswith("matplotlib.") for base in kind.__mro__)


def stays(value: object) -> bool:
    """Whether a value must stay where it is when it is handed in: used there, it would not change here.

    Example:
        >>> stays(iter([1])), stays([1])
        (True, False)
    """
    kind = type(value)
    if any((base.__module__ or "").partition(".")[0] == "matplotlib" for base in kind.__mro__):
        return True
    return kind.__module__ in ("builtins", "itertools", "_io") and hasattr(kind, "__next__")


def _live(value: Any) -> Shape:
    raise cannot(value)


def _plain_object(value: Any) -> Shape:
    head, parts = parts_of(value)
    return Shape(b"object", head, parts)


def reduced(value: Any) -> Shape:
    """An object with its own way of being taken apart, such as a deque or an estimator."""
    head, parts = parts_of(value)
    again, others = parts_of(value)
    if head != again or len(parts) != len(others):
        raise cannot(value)
    return Shape(b"object", head, parts, fresh=_fresh(value, parts, others))


def _fresh(owner: Any, parts: Sequence[Any], others: Sequence[Any]) -> dict[int, Any] | None:
    """What two readings of one object do not have in common, however deep it stands.

    Raises:
        CannotCross: The readings differ in shape, or never come to an end.
    """
    found: dict[int, Any] = {}
    stack = [(parts, others)]
    while stack:
        one, two = stack.pop()
        for a, b in zip(one, two):
            if a is b or type(a) in SCALARS or id(a) in found:
                continue
            found[id(a)] = a
            if type(a) is not type(b) or len(found) > _MOST_FRESH:
                raise cannot(owner)
            if not is_code(a):
                first, second = shape_of(a), shape_of(b)
                if len(first.children) != len(second.children):
                    raise cannot(owner)
                stack.append((first.children, second.children))
                found[id(first)] = first  # its children may live nowhere else
    return found or None


def immutable(value: Any) -> Shape:
    """An object that never changes, taken apart by its own reduction."""
    head, parts = parts_of(value)
    return Shape(b"value", head, parts)
