"""Results packed for the way back, and what of a cell's leftovers stays behind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from mlstudio_lab.calling.results import is_spent
from mlstudio_lab.core.errors import CannotCross
from mlstudio_lab.data.content import digest_values
from mlstudio_lab.wire.task import Value


@dataclass(slots=True)
class Packed:
    """A run's packed results.

    Attributes:
        outputs: Payload json, None when there is none.
        values: What is known of each output by its name.
        left: Name -> why it was not given back, for leftovers of no use.
        bytes: Size of the frames and arrays in it.
    """

    outputs: dict[str, Any] | None = None
    values: dict[str, Value] = field(default_factory=dict)
    left: dict[str, str] = field(default_factory=dict)
    bytes: int = 0


def pack_results(
    kind: str,
    results: dict[str, Any],
    deleted: list[str],
    blobs: Any,
    code: Any,
    known: Any,
    changed: Sequence[int],
    *,
    leave: bool = False,
) -> Packed:
    """Packs a function's or cell's results with the inputs it changed.

    Args:
        kind: "function" or "cell".
        results: Output name -> value.
        deleted: Names the cell deleted.
        blobs: Where frames and arrays go.
        code: The loaded module's `CodeRefs`.
        known: Node table of the inputs, None when there is none.
        changed: Numbers of its nodes that were changed in place.
        leave: Whether a result that cannot leave its process is left there rather than refused.

    Raises:
        CannotCross: A result cannot leave its process.
    """
    from mlstudio_lab.data.graph import pack

    packed = Packed()
    results = dict(results)
    while True:
        values: dict[str, object] = dict(results) if kind == "function" else {"bound": results, "deleted": deleted}
        described = digest_values(results, code)
        try:
            payload = pack(values, blobs, code, known=known, updates=changed, described=described if kind == "function" else {})
            break
        except CannotCross as error:
            name = _culprit(results, blobs, code, known)
            if name is None or not (leave or name == "_" or is_spent(results[name])):
                raise
            packed.left[name] = error.message
            del results[name]
    payload.values = packed.values = described
    packed.bytes = sum(leaf.bytes for leaf in payload.leaves)
    packed.outputs = payload.to_json()
    return packed


def _culprit(results: dict[str, Any], blobs: Any, code: Any, known: Any) -> str | None:
    """The first result that cannot cross by itself; spent leftovers and `_` are tried first, for they can be left."""
    from mlstudio_lab.data.graph import pack

    for name in sorted(results, key=lambda n: not (n == "_" or is_spent(results[n]))):
        try:
            pack({name: results[name]}, blobs, code, known=known)
        except CannotCross:
            return name
    return None
