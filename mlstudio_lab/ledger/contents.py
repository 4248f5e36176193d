"""Content digests, each kept once and pointed to by number."""

from __future__ import annotations

import json
from collections.abc import Iterable

from sqlalchemy import bindparam, select
from sqlalchemy.dialects.sqlite import insert as upsert

from mlstudio_lab.ledger.connection import Connection, Statement, listed
from mlstudio_lab.ledger.tables import contents

_ADD = Statement(lambda: upsert(contents).values(digest=bindparam("digest")).on_conflict_do_nothing())
_NUMBERS = Statement(lambda: select(contents.c.digest, contents.c.id).where(contents.c.digest.in_(listed("wanted"))))


def put_contents(c: Connection, digests: Iterable[str]) -> dict[str, int]:
    """The number of each content digest, given when it is new."""
    wanted = sorted(set(digests))
    for each in wanted:
        c.run(_ADD, digest=each)
    return dict(c.all(_NUMBERS, wanted=json.dumps(wanted)))
