"""Outcome files, which workers leave durably before they answer, and whether a process is still the one we knew."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import structlog

from mlstudio_lab.core.errors import Incompatible
from mlstudio_lab.wire.task import Outcome

_NAME: Final = re.compile(r"([0-9A-HJKMNP-TV-Z]{26})-([0-9]{1,9})\.json")

log = structlog.get_logger("engine")


def outcome_path(home: Path, attempt: str, fence: int) -> Path:
    """Where the outcome of an attempt is, or would be."""
    return home / "outcomes" / f"{attempt}-{fence}.json"


def read_outcome(home: Path, attempt: str, fence: int) -> Outcome | None:
    """The durable outcome of an attempt; None when it left none that can be read."""
    try:
        outcome = Outcome.load(outcome_path(home, attempt, fence).read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError, Incompatible) as error:
        log.warning("outcome not readable", attempt=attempt, error=type(error).__name__)
        return None
    return outcome if outcome.attempt == attempt and outcome.fence == fence else None


def drop_outcome(home: Path, attempt: str, fence: int) -> None:
    """Removes an outcome that is committed, or can never be."""
    try:
        outcome_path(home, attempt, fence).unlink(missing_ok=True)
    except OSError as error:
        log.warning("outcome not removed", attempt=attempt, error=error.strerror)


def waiting_outcomes(home: Path) -> Iterator[tuple[str, int]]:
    """(attempt, fence) of every outcome file there is; other files are passed over."""
    try:
        names = sorted(os.listdir(home / "outcomes"))
    except FileNotFoundError:
        return
    for name in names:
        if match := _NAME.fullmatch(name):
            yield match[1], int(match[2])


def started_at(pid: int) -> int:
    """When a process started, in the system's own ticks; 0 when it is gone or the system does not say."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0
    return int(text.rpartition(")")[2].split()[19])


def is_alive(pid: int, started: int = 0) -> bool:
    """Whether a process lives and (where the system says) started when it did."""
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    now = started_at(pid)
    return not (started and now) or now == started
