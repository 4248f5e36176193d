"""An exception with its causes as one payload, and the same exceptions again, of the live classes, on the other side."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final

from mlstudio_lab.data.graph import pack, unpack
from mlstudio_lab.wire.task import Payload

_MOST_LINKS: Final = 20

Link = dict[str, Any]


def pack_chain(exc: BaseException, code: Any, blobs: Any, frames_of: Callable[[TracebackType | None], list[list[Any]]]) -> Payload | None:
    """An exception, its causes and contexts with their frames; None when the exception cannot be made again from it.

    Each is pickled as a whole where that gives the same exception again, else taken apart: its class by name, its
    arguments and attributes. Most exceptions with constructors of their own pickle only the second way.

    Args:
        exc: The exception.
        code: The run's `CodeRefs`.
        blobs: Where an exception that carries frames or arrays puts them.
        frames_of: The person's own frames of a traceback.
    """
    links: list[Link] = []
    at: dict[int, int] = {}
    waiting: list[BaseException] = [exc]
    while waiting and len(links) < _MOST_LINKS:
        one = waiting.pop(0)
        if id(one) in at:
            continue
        link = _link(one, code, blobs)
        if link is None:
            if one is exc:
                return None
            continue
        at[id(one)] = len(links)
        links.append({**link, "frames": frames_of(one.__traceback__), "live": one})
        waiting += [other for other in (one.__cause__, one.__context__) if other is not None]
    for link in links:
        one = link.pop("live")
        link |= {"cause": at.get(id(one.__cause__)), "context": at.get(id(one.__context__)), "suppress": one.__suppress_context__}
    return pack({"chain": links}, blobs, code)


def unpack_chain(links: list[Link], traceback_of: Callable[[list[list[Any]]], TracebackType | None]) -> BaseException | None:
    """The first exception of a packed chain, with its causes; None when it cannot be made.

    Args:
        links: What `pack_chain` packed, unpacked.
        traceback_of: A traceback of frames.
    """
    made = [_made(link) for link in links]
    for exc, link in zip(made, links, strict=True):
        if exc is not None:
            exc.__cause__ = _at(made, link["cause"])
            exc.__context__ = _at(made, link["context"])
            exc.__suppress_context__ = bool(link["suppress"])
            exc.__traceback__ = traceback_of(link["frames"])
    return made[0] if made else None


def _at(made: list[BaseException | None], index: int | None) -> BaseException | None:
    return None if index is None else made[index]


def _link(exc: BaseException, code: Any, blobs: Any) -> Link | None:
    whole: Link = {"whole": exc}
    again = _tried(whole, code, blobs)
    if again is not None and type(again) is type(exc) and _same(again, exc):
        return whole
    # What Python's own class would be made from: of an OSError that is more than its `args`.
    given = _native(type(exc)).__reduce__(exc)[1]
    parts: Link = {"class": type(exc), "args": exc.args, "given": given, "state": dict(vars(exc))}
    if _tried(parts, code, blobs) is not None:
        return parts
    # Without the attributes that cannot leave the process it is still that error, and `except` still finds it.
    parts["state"] = {name: value for name, value in parts["state"].items() if _tried({**parts, "state": {name: value}}, code, blobs)}
    return parts if _tried(parts, code, blobs) is not None else None


def _tried(link: Link, code: Any, blobs: Any) -> BaseException | None:
    try:
        return _made(unpack(pack({"link": link}, blobs, code), blobs, code).values["link"])
    except Exception:  # noqa: BLE001 — pickling runs the person's own __reduce__ and constructors
        return None


def _same(a: BaseException, b: BaseException) -> bool:
    try:
        return str(a) == str(b)
    except Exception:  # noqa: BLE001 — a person's own __str__ may raise anything
        return False


def _made(link: Link) -> BaseException | None:
    if "whole" in link:
        whole = link["whole"]
        return whole if isinstance(whole, BaseException) else None
    cls, given = link["class"], tuple(link["given"])
    if not (isinstance(cls, type) and issubclass(cls, BaseException)):
        return None
    native = _native(cls)
    try:
        exc: BaseException = native.__new__(cls, *given)
    except TypeError:
        exc = native.__new__(cls)
    with contextlib.suppress(TypeError, ValueError):
        # Fills what Python's own class keeps beside the arguments, such as `errno`.
        native.__init__(exc, *given)
    exc.args = tuple(link["args"])
    vars(exc).update(link["state"])
    return exc


def _native(cls: type) -> Any:
    """Python's own exception class that a class comes from."""
    return next(base for base in cls.__mro__ if base.__module__ == "builtins")
