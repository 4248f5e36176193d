"""Which line of the person's code is behind a call."""

from __future__ import annotations

import sys
from types import FrameType
from typing import Final

_MOST_STEPS: Final = 200


def caller(depth: int) -> FrameType:
    """The frame `depth` calls above the function that asks."""
    return sys._getframe(depth + 1)


def person_line(files: frozenset[str], frame: FrameType | None) -> tuple[str, int, str]:
    """(file, line, function) of the nearest frame of the person's code, or ("", 0, "") when there is none."""
    steps = 0
    while frame is not None and steps < _MOST_STEPS:
        if frame.f_code.co_filename in files:
            return frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name
        frame = frame.f_back
        steps += 1
    return "", 0, ""


def is_import(files: frozenset[str], frame: FrameType | None) -> bool:
    """Whether a library is being imported between the person's code and this frame: what it does then is the library's own."""
    steps = 0
    while frame is not None and steps < _MOST_STEPS and frame.f_code.co_filename not in files:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back
        steps += 1
    return False


def is_person(files: frozenset[str], frame: FrameType | None, through: tuple[str, ...] = ()) -> bool:
    """Whether a frame is the person's code, looking through frames of the files whose names end as `through` says."""
    while frame is not None:
        name = frame.f_code.co_filename
        if name in files:
            return True
        if not name.endswith(through) or not through:
            return False
        frame = frame.f_back
    return False
