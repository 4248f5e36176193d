"""Labels of columns: asserted by people and propagated over edges, kept apart; each distinct set of them kept once."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, select
from sqlalchemy.dialects.sqlite import insert as upsert

from mlstudio_lab.core.digest import digest
from mlstudio_lab.ledger import audit
from mlstudio_lab.ledger.connection import Connection, Statement, from_text, listed
from mlstudio_lab.ledger.contents import put_contents
from mlstudio_lab.ledger.tables import content_labels, contents, label_sets


@dataclass(frozen=True, slots=True)
class LabelRow:
    """What is known of one column's classification.

    Attributes:
        asserted: Label json a person gave, None when nobody did.
        propagated: Label json that arrived over edges, None when none did.
    """

    asserted: Any
    propagated: Any


_OF = Statement(
    lambda: (
        select(contents.c.digest, label_sets.c.body)
        .select_from(
            contents.join(content_labels, content_labels.c.content == contents.c.id).join(
                label_sets, label_sets.c.id == content_labels.c.label_set
            )
        )
        .where(contents.c.digest.in_(listed("wanted")))
    )
)
_ANY_ASSERTED = Statement(lambda: select(label_sets.c.id).where(label_sets.c.asserted > 0).limit(1))
_ADD_SET = Statement(
    lambda: (
        upsert(label_sets)
        .values(digest=bindparam("digest"), asserted=bindparam("asserted"), body=bindparam("body"))
        .on_conflict_do_nothing()
    )
)
_SET = Statement(lambda: select(label_sets.c.id).where(label_sets.c.digest == bindparam("digest")))


def _point() -> Any:
    statement = upsert(content_labels).values(content=bindparam("content"), label_set=bindparam("label_set"))
    return statement.on_conflict_do_update(set_={"label_set": statement.excluded.label_set})


_POINT = Statement(_point)


def put_labels(
    c: Connection, content_digest: str, column: str, asserted: Any, propagated: Any, *, actor: str = "", at: datetime | None = None
) -> None:
    """Gives one column of one content its labels.

    Args:
        c: The connection.
        content_digest: Whose column.
        column: Which.
        asserted: Label json a person gives; None leaves what is there.
        propagated: Label json that arrived over edges; None leaves what is there.
        actor: Who asserts; with `at` required when something is asserted.
        at: When.
    """
    put_label_set(c, content_digest, {column: LabelRow(asserted, propagated)}, actor=actor, at=at)


def put_label_set(
    c: Connection, content_digest: str, labels: Mapping[str, LabelRow], *, actor: str = "", at: datetime | None = None
) -> None:
    """Gives many columns of one content their labels; see `put_labels`.

    Args:
        c: The connection.
        content_digest: Whose columns.
        labels: Column -> its labels; a None inside leaves what is there.
        actor: Who asserts.
        at: When.

    Raises:
        ValueError: Something is asserted by nobody, or at no time; an assertion is an audited act.

    Example:
        `put_label_set(c, digest, {"tailnum": LabelRow(Label.parse(["confidential"]).to_json(), None)}, actor="ada", at=now)`
    """
    before = _sets(c, [content_digest]).get(content_digest, {})
    after = dict(before)
    for column, row in labels.items():
        new = {kind: label for kind, label in (("a", row.asserted), ("p", row.propagated)) if label is not None}
        after[column] = after.get(column, {}) | new
    if after == before:
        return
    asserted = {column: row["a"] for column, row in after.items() if "a" in row and row["a"] != before.get(column, {}).get("a")}
    if asserted:
        if not actor or at is None:
            raise ValueError("an asserted label needs an actor and a time")
        audit.append(c, actor, "label.assert", content_digest, {"columns": asserted}, at)
    body = json.dumps({column: after[column] for column in sorted(after)}, separators=(",", ":"), sort_keys=True)
    name = digest("labels", body)
    c.run(_ADD_SET, digest=name, asserted=sum("a" in row for row in after.values()), body=body)
    found = c.one(_SET, digest=name)
    assert found is not None
    c.run(_POINT, content=put_contents(c, [content_digest])[content_digest], label_set=found[0])


def labels_of(c: Connection, content_digests: Iterable[str]) -> dict[tuple[str, str], LabelRow]:
    """(content digest, column) -> labels; a column that is not in the answer is unclassified."""
    return {
        (content, column): LabelRow(row.get("a"), row.get("p"))
        for content, columns in _sets(c, content_digests).items()
        for column, row in columns.items()
    }


def any_asserted(c: Connection) -> bool:
    """Whether anybody in this home ever asserted a label; until then nobody is warned of anything."""
    return c.one(_ANY_ASSERTED) is not None


def _sets(c: Connection, digests: Iterable[str]) -> dict[str, dict[str, dict[str, Any]]]:
    return {content: from_text(body) for content, body in c.all(_OF, wanted=json.dumps(sorted(set(digests))))}
