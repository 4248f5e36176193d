"""Results at hand: the memos of the ledger with a bounded memory before them, and whether one still holds."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any, Final

from mlstudio_lab.blobs.store import Blobs
from mlstudio_lab.core.errors import Corrupt, Incompatible, NotFound
from mlstudio_lab.core.memo import env_digest
from mlstudio_lab.data.files import file_digest
from mlstudio_lab.ledger import memos, runs
from mlstudio_lab.ledger.connection import Connection
from mlstudio_lab.ledger.ledger import Ledger

_MOST: Final = 4_096
_MOST_LOG_BYTES: Final = 256 * 1024
LOG_KIND: Final = "log/1"


@dataclass(slots=True)
class Hot:
    """One result that can be given again.

    Attributes:
        run, number: The run that made it.
        blobs: Digests of everything `outputs` points to.
        epoch: Which state of asserted labels its warnings were made under.
        was_read: Its blobs were read through once in this process, so that looking again is quick.
    """

    key: str
    run: str
    number: int
    outputs: dict[str, Any] | None
    effects: dict[str, Any]
    warnings: list[dict[str, Any]]
    edges: dict[str, int]
    log_blob: str | None
    log: list[dict[str, Any]] | None = None
    blobs: list[str] = field(default_factory=list)
    epoch: int = -1
    was_read: bool = False


def blobs_of(payload: Mapping[str, Any] | None) -> list[str]:
    """Digests of every blob a payload json points to."""
    if not payload:
        return []
    found = [leaf["blob"] for leaf in payload.get("leaves") or () if leaf.get("blob")]
    return [payload["graph_blob"], *found] if payload.get("graph_blob") else found


class Memory:
    """Memos by key; loop-bound.

    Args:
        ledger: Where memos are kept.
        blobs: Where their values are.
    """

    def __init__(self, ledger: Ledger, blobs: Blobs) -> None:
        self._ledger = ledger
        self._blobs = blobs
        self._hot: OrderedDict[str, Hot] = OrderedDict()

    def find(self, key: str) -> Hot | None:
        """The result for a key, not yet verified; None when there is none."""
        hot = self._hot.get(key)
        if hot is not None:
            self._hot.move_to_end(key)
            return hot

        def read(c: Connection) -> tuple[memos.MemoRow | None, runs.RunRow | None]:
            memo = memos.find_memo(c, key)
            return memo, None if memo is None else runs.get_run(c, memo.run_id)

        memo, run = self._ledger.read(read)
        if memo is None or run is None:
            return None
        usage = run.usage or {}
        hot = Hot(key, run.id, run.number, memo.outputs, memo.effects, run.warnings, usage.get("edges") or {}, memo.log_blob)
        self.keep(hot)
        return hot

    def keep(self, hot: Hot) -> None:
        """Puts a result at hand."""
        hot.blobs = blobs_of(hot.outputs)
        self._hot[hot.key] = hot
        self._hot.move_to_end(hot.key)
        while len(self._hot) > _MOST:
            self._hot.popitem(last=False)

    def forget(self, key: str) -> None:
        """Drops a result from memory; the ledger keeps its memo."""
        self._hot.pop(key, None)

    def log(self, hot: Hot) -> list[dict[str, Any]] | None:
        """What the run said, for replay; None when its blob is gone or damaged, and then the result is not given again."""
        if hot.log is None:
            if hot.log_blob is None:
                hot.log = []
            else:
                try:
                    data = self._blobs.open(hot.log_blob).data
                except (NotFound, Corrupt, Incompatible):
                    return None
                log: list[dict[str, Any]] = json.loads(bytes(data))
                if len(data) > _MOST_LOG_BYTES:
                    return log
                hot.log = log
        return hot.log

    def is_whole(self, hot: Hot) -> bool:
        """Whether every byte the result points to is here and as it was written.

        Each blob is read through once for each state of its file, so the first look may take as long as it is big.
        """
        try:
            for blob in hot.blobs:
                self._blobs.open(blob)
        except (NotFound, Corrupt, Incompatible):
            return False
        hot.was_read = True
        return True


def what_changed(effects: Mapping[str, Any], request: Mapping[str, Any]) -> str | None:
    """What a result was made from that is different now, as a person says it; "" when all is as it was.

    None when the request does not say the present value of an environment variable the result depends on. Reads files
    whose identity has changed, so it may take as long as they are big.

    Args:
        effects: What the run read: `files` path -> digest, `env` name -> digest, `cwd`.
        request: The request, for its working directory and environment.

    Example:
        >>> what_changed({"files": {"/nonexistent": "ab"}}, {})
        'file nonexistent changed'
    """
    ambient = request.get("ambient") or {}
    cwd = str(request.get("cwd") or ambient.get("cwd") or "")
    if effects.get("cwd") and effects["cwd"] != cwd:
        return "the working directory changed"
    for path, was in (effects.get("files") or {}).items():
        if file_digest(path, cwd) != was:
            return f"file {PurePath(path).name} changed"
    declared = request.get("env") or {}
    unknown = False
    for name, was in (effects.get("env") or {}).items():
        if name in declared:
            now = declared[name]
        elif "env" in ambient:
            now = env_digest(ambient["env"].get(name))
        else:
            unknown = True
            continue
        if now != was:
            return f"environment variable {name} changed"
    return None if unknown else ""
