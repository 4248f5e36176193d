"""What a finished run tells about columns: its edges with what the names stood for, labels joined over them, warnings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from mlstudio_lab.core.edges import Edge
from mlstudio_lab.core.labels import DEFAULT_TAXONOMY, UNCLASSIFIED, Label, grown, join_over
from mlstudio_lab.core.memo import GLOBAL
from mlstudio_lab.engine.model import Plan
from mlstudio_lab.ledger import datasets, lineage, runs
from mlstudio_lab.ledger.connection import Connection
from mlstudio_lab.ledger.labels import LabelRow, any_asserted, labels_of, put_label_set

_PLAIN: Final = frozenset({"int", "float", "bool", "str", "NoneType", "complex"})
"""Types a person types; one that no run made carries no classification of its own."""

_MOST_WARNINGS: Final = 200


@dataclass(slots=True)
class Joined:
    """What came of a run's edges.

    Attributes:
        kinds: How many edges of each kind.
        warnings: What people should know: labels that reach an output for the first time.
        labelled: "output.column" -> every label that is worth a line; the next run's news is measured against it.
    """

    kinds: dict[str, int] = field(default_factory=dict)
    warnings: list[dict[str, Any]] = field(default_factory=list)
    labelled: dict[str, list[str]] = field(default_factory=dict)


@dataclass(slots=True)
class _Input:
    """One input of a run as labels see it."""

    end: lineage.End
    columns: list[str]
    is_plain: bool
    inside: list[str] = field(default_factory=list)


def join(c: Connection, plan: Plan, edges: list[Edge], outputs: Mapping[str, Any] | None, at: datetime) -> Joined:
    """Stores a run's edges and the labels that arrive over them.

    Args:
        c: The connection, inside the transaction that ends the run.
        plan: The run's inputs.
        edges: With the run's own names.
        outputs: Payload json.
        at: When.
    """
    inputs = _inputs(plan.request)
    values = (outputs or {}).get("values") or {}
    ends = {name: lineage.End(value.get("content") or value.get("digest") or "") for name, value in values.items()}
    if edges:
        lineage.put_edges(c, plan.run, edges, inputs={n: i.end for n, i in inputs.items()}, outputs=ends)
    joined = relabel(c, plan, edges, outputs, at) if any_asserted(c) else Joined()
    joined.kinds = {str(kind): n for kind, n in Counter(edge.kind for edge in edges).items()}
    return joined


def relabel(c: Connection, plan: Plan, edges: list[Edge], outputs: Mapping[str, Any] | None, at: datetime) -> Joined:
    """Joins labels over a run's edges and stores them with its outputs; gives the warnings for what is new.

    Args:
        c: The connection, inside a transaction.
        plan: The run's inputs.
        edges: With the run's own names.
        outputs: Payload json.
        at: When.
    """
    inputs = _inputs(plan.request)
    stored = labels_of(c, {d for i in inputs.values() for d in (i.end.content, *i.inside) if d})
    counted = [e for e in edges if not _is_bare(inputs.get(e.input), stored)]
    known = {(e.input, e.input_column): _label(inputs.get(e.input), e.input_column, stored) for e in counted}
    if not any(known.values()):
        return Joined()
    arrived = join_over(counted, known)
    values = (outputs or {}).get("values") or {}
    before = _before(c, plan)
    arriving: dict[str, dict[str, Label]] = {}
    for content, column, label in _reached(outputs, values, arrived):
        columns = arriving.setdefault(content, {})
        columns[column] = columns[column].join(label) if column in columns else label
    there = labels_of(c, arriving)
    for content, columns in arriving.items():
        # The same content may have come another way before: what that way said is not forgotten.
        rows = {n: LabelRow(None, grown(row.propagated if (row := there.get((content, n))) else None, new)) for n, new in columns.items()}
        put_label_set(c, content, rows, actor=plan.caller.actor, at=at)
    return _told(c, counted, known, inputs, before)


def effective(row: LabelRow | None) -> Label | None:
    """What counts for a column: asserted and propagated together; None (unclassified) when neither is there."""
    if row is None:
        return None
    found = [Label.from_json(part) for part in (row.asserted, row.propagated) if part is not None]
    return None if not found else found[0] if len(found) == 1 else found[0].join(found[1])


def name_of(end: lineage.End, name: str, named: Mapping[str, list[tuple[str, int]]]) -> str:
    """An input or output as people outside the run call it: the dataset's name, or `name@digest`."""
    if end.dataset:
        return end.dataset
    if found := named.get(end.content):
        return found[0][0]
    return f"{name}@{end.content[:12]}" if end.content else name


def _inputs(request: Mapping[str, Any]) -> dict[str, _Input]:
    found: dict[str, _Input] = {}
    values = request.get("values") or {}
    whole = {value.get("content") for value in values.values()}
    # A frame inside a list or dict has no name of its own; which container holds it is not known, so each may.
    inside = [
        leaf["content"] for leaf in (request.get("payload") or {}).get("leaves") or () if leaf.get("content") not in (*whole, "", None)
    ]
    for name, value in values.items():
        content = value.get("content") or ""
        bare = name.removeprefix(GLOBAL)
        is_plain = str(value.get("type", "")).rpartition(".")[2] in _PLAIN
        nested = [] if content or is_plain else inside
        found[bare] = _Input(lineage.End(content or value.get("digest") or ""), list(value.get("schema") or ()), is_plain, nested)
    for name in request.get("parameters") or {}:
        found[name] = _Input(lineage.End(""), [], True)
    for name, known in (request.get("_datasets") or {}).items():
        columns = list((known.get("value") or {}).get("schema") or ())
        found[name] = _Input(lineage.End(known["version"], known["name"]), columns, False)
    return found


def _is_bare(given: _Input | None, stored: Mapping[tuple[str, str], LabelRow]) -> bool:
    return given is not None and given.is_plain and (given.end.content, "") not in stored


def _label(given: _Input | None, column: str, stored: Mapping[tuple[str, str], LabelRow]) -> Label | None:
    """The label of one input column; a whole input has that of all its columns, None as soon as one has none."""
    if given is None:
        return None
    if given.inside:
        return _all(row for (content, _), row in stored.items() if content in given.inside)
    if column or not given.columns:
        return effective(stored.get((given.end.content, column)))
    return _all(stored.get((given.end.content, each)) for each in given.columns)


def _all(rows: Iterable[LabelRow | None]) -> Label | None:
    joined: Label | None = None
    for row in rows:
        label = effective(row)
        if label is None:
            # Unclassified counts as the most restrictive, but what is known of the other columns is kept.
            label = UNCLASSIFIED
        joined = label if joined is None else joined.join(label)
    return joined


def _reached(
    outputs: Mapping[str, Any] | None, values: Mapping[str, Any], arrived: Mapping[tuple[str, str], Label]
) -> Iterator[tuple[str, str, Label]]:
    """(content, column, label) of everything a run gave that a label arrived at.

    Frames inside a returned container get what reached any output that is not a frame itself.
    """
    loose: Label | None = None
    for (output, column), label in arrived.items():
        value = values.get(output) or {}
        if content := value.get("content") or value.get("digest"):
            yield content, column, label
        if not value.get("schema"):
            loose = label if loose is None else loose.join(label)
    if loose is None:
        return
    whole = {value.get("content") for value in values.values()}
    for leaf in (outputs or {}).get("leaves") or ():
        content = leaf.get("content")
        if content and content not in whole:
            for column in leaf.get("columns") or [""]:
                yield content, column, loose


def _before(c: Connection, plan: Plan) -> Mapping[str, list[str]]:
    """What people were told of this module's last result."""
    for row in runs.list_runs(c, module=str(plan.name), state="succeeded", limit=4, wide=False):
        if row.id != plan.run and (labelled := (row.usage or {}).get("labelled")) is not None:
            return dict(labelled)
    return {}


def _told(
    c: Connection,
    edges: list[Edge],
    known: Mapping[tuple[str, str], Label | None],
    inputs: Mapping[str, _Input],
    before: Mapping[str, list[str]],
) -> Joined:
    told = Joined()
    named = datasets.named_by_content(c, {i.end.content for i in inputs.values() if i.end.content})
    into: dict[tuple[str, str], list[tuple[Edge, Label]]] = {}
    for edge in edges:
        label = known.get((edge.input, edge.input_column))
        if label is not None and edge.kind == "indirect":
            label = DEFAULT_TAXONOMY.carried(label)
        if label is not None and _says_something(label):
            into.setdefault((edge.output, edge.output_column), []).append((edge, label))
    for (output, column), sources in into.items():
        label = _all_of(each for _, each in sources)
        shown = f"{output}.{column}" if column else output
        words = [w for w in label.words() if w not in ("unclassified", "public")]
        told.labelled[shown] = words
        if set(words) <= set(before.get(shown, ())) or len(told.warnings) >= _MOST_WARNINGS:
            continue
        first, _ = sources[0]
        given = inputs.get(first.input)
        origin = name_of(given.end if given else lineage.End(""), first.input, named)
        origin += f".{first.input_column}" if first.input_column else ""
        said = ", ".join(words)
        told.warnings.append(
            {"output": output, "column": column, "label": said, "from": origin, "text": f"{shown} carries {said} from {origin}"}
        )
    return told


def _all_of(labels: Iterable[Label]) -> Label:
    joined: Label | None = None
    for label in labels:
        joined = label if joined is None else joined.join(label)
    return joined or UNCLASSIFIED


def _says_something(label: Label) -> bool:
    """Whether a label is worth a line: tags, or confidential and above; what nobody classified is not news."""
    return bool(label.tags) or label.sensitivity in ("confidential", "restricted")
