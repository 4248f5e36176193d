"""The card of a run: what ran, why, where, what came from what, and what to know; complete without script or kernel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from mlstudio_lab.client import markup
from mlstudio_lab.client.lineage import Lineage
from mlstudio_lab.front.errors import kind_of_failure

CARD_MIME: Final = "application/vnd.mlstudio.card.v1+json"
"""The vendor type of a run's card."""

_SHOWN_WARNINGS: Final = 5
_MOST_MESSAGE: Final = 300
_MOVING_WORTH_SAYING_S: Final = 0.5
_CARD_KEYS: Final = (
    "id", "number", "module", "version", "version_number", "kind", "state", "reused", "reused_from", "stored", "why", "executor",
    "warnings", "edges", "edge_kinds", "impurities", "usage", "dev_newer", "cloned_from", "actor",
)  # fmt: skip


def card(view: Mapping[str, Any], lineage: Lineage | None = None) -> dict[str, Any]:
    """The mimebundle of one run's card.

    Args:
        view: The run's RunView as JSON.
        lineage: Its column edges, when there are any.

    Example:
        >>> card({"module": "a/b", "version_number": 1, "state": "succeeded", "why": "ran: first run"})["text/plain"]
        'a/b v1: ran: first run'
    """
    data = {key: view[key] for key in _CARD_KEYS if key in view}
    if lineage is not None and len(lineage):
        data["lineage"] = lineage.to_json()
    return {CARD_MIME: data, "text/html": _html(view, lineage), "text/plain": _plain(view)}


def many(views: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The mimebundle of one card for several runs of one cell.

    Example:
        >>> many([{"module": "a/b", "version_number": 1, "state": "succeeded", "reused": True}])["text/plain"]
        '1 run: a/b v1 1 reused'
    """
    groups: dict[tuple[str, int], list[Mapping[str, Any]]] = {}
    for view in views:
        groups.setdefault((str(view.get("module", "")), int(view.get("version_number") or 0)), []).append(view)
    rows, lines = [], []
    for (name, number), runs in groups.items():
        counts = _counts(runs)
        last = runs[-1]
        rows.append([markup.code(name), f"v{number}", markup.text(counts), markup.prose(last.get("why", ""))])
        lines.append(f"{name} v{number} {counts}")
    title = f"{len(views)} {'run' if len(views) == 1 else 'runs'}"
    parts = [f"<div><b>{title}</b></div>", markup.table(("module", "version", "runs", "the last one"), rows)]
    parts += [_warning(w) for w in _warnings(views)[:_SHOWN_WARNINGS]]
    data = {
        "runs": [{key: view[key] for key in ("number", "module", "version_number", "state", "reused") if key in view} for view in views]
    }
    return {CARD_MIME: data, "text/html": markup.box(parts, title), "text/plain": f"{title}: {'; '.join(lines)}"}


def version_card(view: Mapping[str, Any], *, is_old: bool = False) -> dict[str, Any]:
    """The mimebundle shown when a cell of definitions became a version and nothing ran.

    Args:
        view: The service's VersionView as JSON.
        is_old: Whether the person's `dev` stands on a newer version.

    Example:
        >>> version_card({"name": "a/b", "number": 2, "entry": "b", "new": True})["text/plain"]
        'a/b v2: new version; call b(...)'
    """
    state = "new version" if view.get("new") else "same version as before"
    entry = view.get("entry", "")
    old = " (your dev is newer)" if is_old else ""
    number = f"v{view['number']}"
    title = f"<b>{markup.text(view['name'])}</b> {markup.chip(number)} {markup.muted(markup.text(state + old))}"
    call = f"call {entry}(...)" if entry else ""
    data = {key: view[key] for key in ("name", "number", "id", "kind", "entry", "new") if key in view}
    html = markup.box([title, f" {markup.muted('·')} {markup.code(f'{entry}(…)')}" if entry else ""], f"{view['name']} v{view['number']}")
    return {
        CARD_MIME: {"version": data},
        "text/html": html,
        "text/plain": f"{view['name']} v{view['number']}: {state}{old}{'; ' + call if call else ''}",
    }


def progress(view: Mapping[str, Any], elapsed_s: float) -> dict[str, Any]:
    """The mimebundle of a run still under way; replaced by its card.

    Example:
        >>> progress({"module": "a/b", "state": "running"}, 3.2)["text/plain"]
        'a/b: running'
    """
    state = str(view.get("state") or "starting")
    where = f" on {view['executor']}" if view.get("executor") else ""
    done = view.get("progress")
    bar = f'<progress max="1" value="{float(done):.3f}" aria-label="progress"></progress> ' if isinstance(done, (int, float)) else ""
    said = markup.muted(markup.text(f"{elapsed_s:.0f} s{where}; interrupt the kernel to stop it"))
    title = f"<b>{markup.text(view.get('module', ''))}</b> {markup.chip(state)} {bar}{said}"
    return {"text/html": markup.box([title], f"{view.get('module', '')} {state}"), "text/plain": f"{view.get('module', '')}: {state}"}


def duration(seconds: float) -> str:
    """Seconds as people say them.

    Example:
        >>> duration(0.0004), duration(2.31), duration(75)
        ('under 1 ms', '2.3 s', '1 min 15 s')
    """
    if seconds < 0.001:
        return "under 1 ms"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 60 else f"{int(seconds // 60)} min {int(seconds % 60)} s"


def size(count: float) -> str:
    """A number of bytes as people say it.

    Example:
        >>> size(5_000_000_000)
        '5.0 GB'
    """
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def elapsed(view: Mapping[str, Any]) -> float | None:
    """Seconds a run took, from its usage or its times; None when it did not run."""
    usage = view.get("usage") or {}
    if usage.get("wall_s"):
        return float(usage["wall_s"])
    times = [view.get("started_at"), view.get("ended_at")]
    if all(times):
        began, ended = (datetime.fromisoformat(str(t).replace("Z", "+00:00")) for t in times)
        return max(0.0, (ended - began).total_seconds())
    return None


def _html(view: Mapping[str, Any], lineage: Lineage | None) -> str:
    state, tone = _state(view)
    name, number = str(view.get("module", "")), view.get("version_number") or 0
    facts = []
    if view.get("executor") and not view.get("reused"):
        facts.append(str(view["executor"]))
    if not view.get("reused") and (took := elapsed(view)) is not None:
        facts.append(duration(took))
    facts.append(f"run {view.get('number', 0)}")
    head = (
        f"<b>{markup.text(name)}</b> {markup.chip(f'v{number}')} {markup.chip(state, tone)} {markup.muted(markup.text(' · '.join(facts)))}"
    )
    parts = [f"<div>{head}</div>", f"<div>{markup.prose(view.get('why', ''))}</div>"]
    parts += [f"<div>{markup.prose(line)}</div>" for line in _notes(view)]
    warnings = _warnings([view])
    parts += [_warning(w) for w in warnings[:_SHOWN_WARNINGS]]
    if len(warnings) > _SHOWN_WARNINGS:
        rest = "".join(_warning(w) for w in warnings[_SHOWN_WARNINGS:])
        parts.append(markup.fold(markup.muted(f"{len(warnings) - _SHOWN_WARNINGS} more warnings"), rest))
    if lineage is not None and len(lineage):
        parts.append(markup.fold(markup.muted(f"lineage: {_kinds(lineage.counts())}"), lineage.html(with_title=False)))
    return markup.box(parts, f"{name} v{number} {state}")


def _plain(view: Mapping[str, Any]) -> str:
    lines = [f"{view.get('module', '')} v{view.get('version_number') or 0}: {view.get('why') or _state(view)[0]}"]
    lines += [f"  {line}" for line in _notes(view, stable=True)]
    lines += [f"  warning: {w.get('text', '')}" for w in _warnings([view])]
    if kinds := {k: v for k, v in (view.get("edge_kinds") or {}).items() if v}:
        lines.append(f"  lineage: {_kinds(kinds)}")
    return "\n".join(lines)


def _notes(view: Mapping[str, Any], *, stable: bool = False) -> list[str]:
    notes = []
    if view.get("state") == "failed" and (failure := view.get("failure")):
        notes.append(f"{kind_of_failure(failure)}: {failure['message']}".split("\n")[0][:_MOST_MESSAGE])
    if view.get("dev_newer"):
        notes.append(f"this is v{view.get('version_number')}; your dev is newer: v{view['dev_newer']}")
    if reason := (view.get("effects") or {}).get("kernel"):
        notes.append(f"ran in this kernel: {reason}")
    usage = view.get("usage") or {}
    moving = float(usage.get("moving_s") or 0)
    if not stable and not view.get("reused") and moving > max(_MOVING_WORTH_SAYING_S, float(usage.get("wall_s") or 0)):
        remedy = "register big inputs as datasets, so that they are read where they are needed, or use --where kernel"
        notes.append(
            f"computed in {duration(usage.get('wall_s') or 0)}, moved {size(usage.get('moved_bytes') or 0)} in {duration(moving)}: {remedy}"
        )
    return notes


def _state(view: Mapping[str, Any]) -> tuple[str, str]:
    state = str(view.get("state") or "")
    if state == "succeeded":
        return ("reused", "good") if view.get("reused") else ("ran", "good")
    return (state or "not started", {"failed": "bad", "cancelled": "warn"}.get(state, "plain"))


def _kinds(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{n:,} {kind}" for kind, n in counts.items() if n) or "no edges"


def _counts(runs: Sequence[Mapping[str, Any]]) -> str:
    words: dict[str, int] = {}
    for run in runs:
        words[_state(run)[0]] = words.get(_state(run)[0], 0) + 1
    return ", ".join(f"{n} {word}" for word, n in words.items())


def _warnings(views: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [warning for view in views for warning in view.get("warnings") or ()]


def _warning(warning: Mapping[str, Any]) -> str:
    return f'<div role="note">{markup.chip("label", "warn")} {markup.text(warning.get("text", ""))}</div>'
