"""Which blobs the ledger still needs: the roots of garbage collection, and what `fsck` expects to find."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from sqlalchemy import Column, select

from mlstudio_lab.ledger.connection import Connection, Statement, from_text
from mlstudio_lab.ledger.tables import dataset_versions, datasets, memos, runs

_DIGEST: Final = re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
_KEYS: Final = frozenset({"blob", "graph_blob", "log_blob"})
"""Keys of payloads and logs whose value is a blob's digest."""


class Root(NamedTuple):
    """A blob that must exist.

    Attributes:
        where: What needs it, as "run 41" or "flights/flights@v3".
        digest: The blob's digest.
    """

    where: str
    digest: str


def _texts(*columns: Column[Any]) -> Statement:
    return Statement(lambda: select(*columns))


_RUNS = _texts(runs.c.number, runs.c.log_blob, runs.c.outputs, runs.c.request, runs.c.error, runs.c.usage, runs.c.warnings)
_MEMOS = _texts(memos.c.key, memos.c.log_blob, memos.c.outputs, memos.c.effects, memos.c.parts)
_DATASETS = Statement(
    lambda: select(datasets.c.name, dataset_versions.c.number, dataset_versions.c.payload, dataset_versions.c.reference).select_from(
        dataset_versions.join(datasets, datasets.c.id == dataset_versions.c.dataset)
    )
)


def live_blobs(c: Connection) -> Iterator[str]:
    """Every blob anything may still need: each text in the ledger's documents that could be a blob's digest.

    More is named than exists, never less: a digest of something else keeps nothing alive by being named here.

    Example:
        `keep = set(live_blobs(c))`
    """
    seen: set[str] = set()
    for _, texts in _documents(c):
        for text in texts:
            for digest in _DIGEST.findall(text or ""):
                if digest not in seen:
                    seen.add(digest)
                    yield digest


def needed_blobs(c: Connection) -> Iterator[Root]:
    """Every blob that must be there and whole, with what needs it; each blob once."""
    seen: set[str] = set()
    for where, texts in _documents(c):
        for text in texts:
            for digest in _named(text):
                if digest not in seen:
                    seen.add(digest)
                    yield Root(where, digest)


def garbled(c: Connection) -> Iterator[str]:
    """What holds a document that is not JSON any more."""
    for where, texts in _documents(c):
        for text in texts:
            if text and not _DIGEST.fullmatch(text):
                try:
                    from_text(text)
                except (ValueError, RecursionError):
                    yield where
                    break


def _documents(c: Connection) -> Iterator[tuple[str, tuple[str | None, ...]]]:
    for row in c.each(_RUNS):
        yield f"run {row[0]}", row[1:]
    for row in c.each(_MEMOS):
        yield f"memo {row[0][:12]}", row[1:]
    for row in c.each(_DATASETS):
        yield f"{row[0]}@v{row[1]}", row[2:]


def _named(text: str | None) -> Iterator[str]:
    if not text:
        return
    if _DIGEST.fullmatch(text):
        yield text
        return
    if not any(f'"{key}"' in text for key in _KEYS):
        return
    try:
        waiting = [from_text(text)]
    except ValueError:
        # Garbled text names no blob; fsck finds the garbling itself.
        return
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            for key, inner in value.items():
                if key in _KEYS and isinstance(inner, str):
                    if _DIGEST.fullmatch(inner):
                        yield inner
                else:
                    waiting.append(inner)
        elif isinstance(value, list):
            waiting.extend(value)
