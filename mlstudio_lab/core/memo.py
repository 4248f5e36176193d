"""What makes two runs the same run, and in which words two runs differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from mlstudio_lab.core.digest import digest
from mlstudio_lab.core.lock import Lock

GLOBAL: Final = "global:"
"""Prefix of an input that is free data rather than an argument."""

ORDER: Final = "order of named arguments"
"""The part of a run's surroundings that is the order in which `**` took its names, where it is not the alphabet's."""

_MOST_REASONS: Final = 2


def env_digest(value: str | None) -> str | None:
    """The digest under which an environment variable's value is remembered and compared; None when it is unset.

    Example:
        >>> env_digest(None) is None, env_digest("") is None
        (True, False)
    """
    return None if value is None else digest("environment", value)


@dataclass(frozen=True, slots=True)
class MemoParts:
    """Everything a reused result must agree on.

    Attributes:
        code: Semantic digest of the code (`core.code_digest`).
        args: Argument, or `global:NAME`, -> content digest.
        lock: Digest of the environment lock.
        ambient: What was read of the ambient state -> digest.
        view: Which columns were granted, "" for all.
        zone: Whose word the digests are; results never cross zones.
        seed: The seed set before the run, None for none.
        env: Environment variable the code names -> digest, None when unset.
        outputs: Names a cell was asked to give back, None for all.

    Example:
        >>> a = MemoParts("c", {"x": "1"}, "l"); b = MemoParts("c", {"x": "2"}, "l")
        >>> a.key != b.key, explain(a, {}, b, {})
        (True, 'ran: argument `x` changed')
    """

    code: str
    args: Mapping[str, str]
    lock: str
    ambient: Mapping[str, str] = field(default_factory=dict)
    view: str = ""
    zone: str = ""
    seed: int | None = None
    env: Mapping[str, str | None] = field(default_factory=dict)
    outputs: tuple[str, ...] | None = None

    @property
    def key(self) -> str:
        """The memo key: equal exactly when every part is."""
        return digest(
            "memo", self.code, self.args, self.lock, self.ambient, self.view, self.zone, self.seed, self.env,
            None if self.outputs is None else list(self.outputs),
        )  # fmt: skip

    def to_json(self) -> dict[str, Any]:
        """The parts as plain JSON values."""
        return {
            "code": self.code,
            "args": dict(self.args),
            "lock": self.lock,
            "ambient": dict(self.ambient),
            "view": self.view,
            "zone": self.zone,
            "seed": self.seed,
            "env": dict(self.env),
            "outputs": None if self.outputs is None else list(self.outputs),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> MemoParts:
        """The parts that `to_json` wrote."""
        outputs = data.get("outputs")
        return cls(
            data["code"], data["args"], data["lock"], data.get("ambient", {}), data.get("view", ""), data.get("zone", ""),
            data.get("seed"), data.get("env", {}), None if outputs is None else tuple(outputs),
        )  # fmt: skip


def explain(
    before: MemoParts | None,
    before_tree: Mapping[str, str],
    after: MemoParts,
    after_tree: Mapping[str, str],
    *,
    since: str = "",
    locks: tuple[Lock, Lock] | None = None,
) -> str:
    """Why the second run is not the first, as a person says it; "" when nothing that counts differs.

    Args:
        before: The earlier run's parts, None when there was none.
        before_tree: Code unit -> digest of the earlier run (`core.code_digest.code_tree`).
        after: This run's parts.
        after_tree: This run's code units.
        since: The earlier version, such as "v3"; named where code changed.
        locks: Both environment locks, to name the package that changed.

    Example:
        >>> explain(None, {}, MemoParts("c", {}, "l"), {})
        'ran: first time'
    """
    if before is None:
        return "ran: first time"
    reasons = [*_code(before, before_tree, after, after_tree, since), *_inputs(before, after), *_environment(before, after, locks)]
    if not reasons:
        return ""
    more = len(reasons) - _MOST_REASONS
    shown = ", ".join(reasons[:_MOST_REASONS])
    return f"ran: {shown}" + (f" and {more} more" if more > 0 else "")


def _differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(name, changed|added|removed) in the order of the second, then what only the first had."""
    found = [(name, "changed" if name in before else "added") for name in after if name not in before or before[name] != after[name]]
    return found + [(name, "removed") for name in before if name not in after]


def _code(before: MemoParts, before_tree: Mapping[str, str], after: MemoParts, after_tree: Mapping[str, str], since: str) -> list[str]:
    if before.code == after.code:
        return []
    tail = f" since {since}" if since else ""
    reasons: list[str] = []
    for name, change in _differences(before_tree, after_tree):
        role, _, rest = name.partition(" ")
        if name == "main":
            reasons.insert(0, f"its own code changed{tail}")
        elif role == "import" and rest:
            reasons.append(f"import of `{rest}` {change}{tail}")
        elif role == "module" and rest:
            reasons.append(f"local module `{rest}` {change}{tail}")
        else:
            reasons.append(f"helper `{name}` {change}{tail}")
    return reasons or [f"its code changed{tail}"]


def _inputs(before: MemoParts, after: MemoParts) -> list[str]:
    reasons = [
        f"{'input' if name.startswith(GLOBAL) else 'argument'} `{name.removeprefix(GLOBAL)}` {change}"
        for name, change in _differences(before.args, after.args)
    ]
    if before.seed != after.seed:
        reasons.append("the seed changed")
    if before.outputs != after.outputs:
        reasons.append("other outputs are asked for")
    if before.view != after.view:
        reasons.append("other columns are granted")
    return reasons


def _environment(before: MemoParts, after: MemoParts, locks: tuple[Lock, Lock] | None) -> list[str]:
    reasons = [f"environment variable {name} {change}" for name, change in _differences(before.env, after.env)]
    for name, change in _differences(before.ambient, after.ambient):
        reasons.append(f"the {ORDER} changed" if name == ORDER else f"the session's {name} {change}")
    if before.zone != after.zone:
        reasons.append("another person's results are not reused")
    if before.lock != after.lock:
        reasons += _packages(*locks) if locks else ["the environment changed"]
    return reasons


def _packages(before: Lock, after: Lock) -> list[str]:
    reasons = []
    if before.python != after.python:
        reasons.append(f"Python {before.python} -> {after.python}")
    if before.platform != after.platform:
        reasons.append(f"{before.platform} -> {after.platform}")
    old, new = dict(before.distributions), dict(after.distributions)
    for name, change in _differences(old, new):
        reasons.append(f"{name} {old[name]} -> {new[name]}" if change == "changed" else f"{name} {change}")
    return reasons or ["the environment changed"]
