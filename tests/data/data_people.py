"""Code a person might have written in a notebook, for values made of it."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from mlstudio_lab.core.errors import CannotCross


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


class Pair(NamedTuple):
    left: Any
    right: Any


@dataclass
class Point:
    x: float
    y: Any = 0
    tags: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Fixed:
    x: int


class Slotted:
    __slots__ = ("a", "b")

    def __init__(self, a: Any) -> None:
        self.a = a


class Guarded:
    """Keeps something out of its pickle, as estimators and clients do."""

    def __init__(self) -> None:
        self.items: list[Any] = []
        self.cache = object()

    def __getstate__(self) -> dict[str, Any]:
        return {"items": self.items}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.items = state["items"]
        self.cache = object()


class Bag(dict):
    """A dictionary that is its own attributes."""

    def __init__(self, **parts: Any) -> None:
        super().__init__(**parts)
        self.__dict__ = self


class Shelf(list):
    label = ""


def double(x: float) -> float:
    return 2 * x


class People:
    """Code references over named live objects, as capture makes them."""

    def __init__(self, **named: object) -> None:
        self._named = named

    def name_of(self, obj: object) -> str | None:
        return next((name for name, found in self._named.items() if found is obj), None)

    def find(self, name: str) -> object:
        if name not in self._named:
            raise CannotCross(f"{name} is not defined here", subject=name)
        return self._named[name]

    def digest_of(self, obj: object) -> str | None:
        name = self.name_of(obj)
        return None if name is None else f"code of {name}"


def make() -> Callable[[], int]:
    return lambda: 1
