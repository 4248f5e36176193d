"""Changes to objects somebody already holds: their new state is carried and put into the very same objects."""

from __future__ import annotations

import array
import copyreg
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mlstudio_lab.core.errors import CannotCross
from mlstudio_lab.data.naming import qualified
from mlstudio_lab.data.nodes import NodeTable
from mlstudio_lab.data.shapes import cannot, reduction
from mlstudio_lab.data.walk import ByIdentity, Walk


@dataclass(slots=True)
class Update:
    """The new state of one node.

    Attributes:
        node: Its number in the table both sides know.
        kind: How its state is written: sequence, mapping, set, bytes, frame, array or object.
        state: The state.
    """

    node: int
    kind: str
    state: Any


def can_update(obj: object) -> bool:
    """Whether an object can be given a new state in place.

    Example:
        >>> can_update([1]), can_update((1,))
        (True, False)
    """
    if isinstance(obj, (list, dict, set, bytearray, deque, array.array)):
        return True
    vendor = _vendor(obj)
    if vendor == "array":
        return bool(obj.flags.writeable)  # type: ignore[attr-defined]
    if vendor:
        return True
    if (type(obj).__module__ or "").partition(".")[0] in ("pyarrow", "builtins"):
        return False
    return hasattr(obj, "__dict__") or hasattr(type(obj), "__setstate__") or bool(copyreg._slotnames(type(obj)))  # type: ignore[attr-defined]


def state_of(obj: Any) -> tuple[str, Any]:
    """How an object's present state is carried, parts by reference.

    Raises:
        CannotCross: Objects of its type cannot be updated in place.
    """
    if not can_update(obj) and not _vendor(obj):
        kind = qualified(type(obj))
        raise CannotCross(f"a {kind} was changed and cannot be updated in place", subject=kind, hint="return it, or use --where kernel")
    if isinstance(obj, (list, deque, array.array)):
        return "sequence", (list(obj), _attributes(obj))
    if isinstance(obj, dict):
        # An OrderedDict keeps its order beside the dictionary it is; a person's own `items` may do anything.
        base = OrderedDict if isinstance(obj, OrderedDict) else dict
        return "mapping", (list(base.items(obj)), _attributes(obj))
    if isinstance(obj, set):
        return "set", (list(obj), _attributes(obj))
    if isinstance(obj, bytearray):
        return "bytes", (bytes(obj), _attributes(obj))
    vendor = _vendor(obj)
    if vendor == "array":
        return "array", obj.view()
    if vendor:
        # A stand-in with another identity, or the frame would travel as a reference to itself.
        return vendor, obj.clone() if vendor == "polars" else obj.copy(deep=False)
    parts = reduction(obj)
    if isinstance(parts, str):
        raise cannot(obj)
    func, args, state, items, pairs = parts
    return "object", (func, args, state, list(items) if items is not None else None, list(pairs) if pairs is not None else None)


def apply_updates(updates: Sequence[Update], known: NodeTable) -> None:
    """Gives each updated node its new state; every holder of the object sees it. All or nothing.

    Raises:
        CannotCross: An object here cannot take its new state: an array of another shape, an immutable part that changed.

    Example:
        >>> x = [1]; table = NodeTable.of({"x": x})
        >>> apply_updates([Update(0, "sequence", ([1, 2], None))], table); x
        [1, 2]
    """
    for update in updates:
        _check(known.nodes[update.node], update)
    for update in updates:
        _put(known.nodes[update.node], update)


def _vendor(obj: Any) -> str:
    """`array`, `pandas` or `polars` for what these can update, else an empty string."""
    kind = type(obj)
    root = (kind.__module__ or "").partition(".")[0]
    if root == "numpy" and kind.__name__ == "ndarray":
        return "array"
    if root in ("pandas", "polars") and kind.__name__ in ("DataFrame", "Series", "LazyFrame"):
        return root
    return ""


def _attributes(obj: Any) -> tuple[dict[str, Any] | None, dict[str, Any]] | None:
    slots = {name: getattr(obj, name) for name in copyreg._slotnames(type(obj)) if hasattr(obj, name)}  # type: ignore[attr-defined]
    attributes = getattr(obj, "__dict__", None)
    # An object that is its own __dict__ has its attributes among its items.
    attributes = dict(attributes) if attributes is not None and attributes is not obj else None
    return (attributes, slots) if attributes or slots else None


def _check(obj: Any, update: Update) -> None:
    kind = qualified(type(obj))
    if update.kind == "array":
        new = update.state
        if obj.shape != new.shape or obj.dtype != new.dtype or not obj.flags.writeable:
            raise CannotCross(f"a {kind} of another shape or dtype cannot be updated in place", subject=kind, hint="return the new array")
    if update.kind == "object":
        before, after = reduction(obj)[:2], update.state[:2]
        if not (_is_new(*before) and _is_new(*after)) and _written(before) != _written(after):
            hint = "return it, or use --where kernel"
            raise CannotCross(f"a {kind} was changed in a part that cannot be changed in place", subject=kind, hint=hint)


def _is_new(func: Any, args: Any) -> bool:
    return func is getattr(copyreg, "__newobj__") and len(args) == 1  # noqa: B009 - a name mangled inside a class


def _written(parts: Any) -> list[bytes]:
    walk = Walk(ByIdentity())
    root, bodies = walk.root("", tuple(parts))
    return [root, *bodies]


def _put(obj: Any, update: Update) -> None:
    if update.kind == "array":
        obj[...] = update.state
        obj.flags.writeable = update.state.flags.writeable
    elif update.kind == "pandas":
        object.__setattr__(obj, "_mgr", update.state._mgr)
        object.__setattr__(obj, "_attrs", dict(update.state.attrs))
        object.__setattr__(obj, "_flags", update.state.flags)
        if hasattr(update.state, "_name"):
            object.__setattr__(obj, "_name", update.state._name)
        if getattr(obj, "_item_cache", None):
            obj._item_cache.clear()
    elif update.kind == "polars":
        for inner in ("_df", "_s", "_ldf"):
            if hasattr(update.state, inner):
                setattr(obj, inner, getattr(update.state, inner))
    elif update.kind == "object":
        _put_object(obj, update)
    else:
        _put_items(obj, update)


def _put_items(obj: Any, update: Update) -> None:
    items, attributes = update.state
    if update.kind == "bytes":
        obj[:] = items
    elif isinstance(obj, array.array):
        del obj[:]
        obj.extend(items)
    else:
        base: Any = next(t for t in type(obj).__mro__ if t.__module__ in ("builtins", "collections") and t is not object)
        base.clear(obj)
        if update.kind == "mapping":
            for key, value in items:
                base.__setitem__(obj, key, value)
        elif update.kind == "set":
            base.update(obj, items)
        else:
            base.extend(obj, items)
    if attributes is not None or getattr(obj, "__dict__", None):
        _put_attributes(obj, *(attributes or (None, {})))


def _put_object(obj: Any, update: Update) -> None:
    func, args, state, items, pairs = update.state
    if _is_new(func, args) and type(obj) is not args[0]:
        obj.__class__ = args[0]
    if hasattr(type(obj), "__setstate__"):
        if getattr(obj, "__dict__", None):
            obj.__dict__.clear()
        obj.__setstate__(state)
    elif isinstance(state, tuple) and len(state) == 2:
        _put_attributes(obj, *state)
    else:
        _put_attributes(obj, state, {})
    if items is not None:
        obj.clear()
        obj.extend(items)
    if pairs is not None:
        obj.clear()
        for key, value in pairs:
            obj[key] = value


def _put_attributes(obj: Any, attributes: dict[str, Any] | None, slots: dict[str, Any] | None) -> None:
    if hasattr(obj, "__dict__") and obj.__dict__ is not obj:
        obj.__dict__.clear()
        obj.__dict__.update(attributes or {})
    for name in copyreg._slotnames(type(obj)):  # type: ignore[attr-defined]
        if name not in (slots or {}) and hasattr(obj, name):
            object.__delattr__(obj, name)
    for name, value in (slots or {}).items():
        object.__setattr__(obj, name, value)
