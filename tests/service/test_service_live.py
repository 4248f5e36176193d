"""The event stream forgets nothing that happens while it is being read."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from mlstudio_lab.ledger import events
from mlstudio_lab.ledger.ledger import Ledger
from mlstudio_lab.service.live import Bell, event_stream
from mlstudio_lab.testing import FakeClock


def test_an_event_that_comes_while_another_is_sent_is_sent_next(tmp_path: Path) -> None:
    clock = FakeClock()

    def happen(ledger: Ledger, subject: str) -> None:
        ledger.write(lambda c: events.append(c, "run", subject, {"state": "queued"}, clock.now())).result(timeout=20)

    async def read(ledger: Ledger) -> list[str]:
        bell, seen = Bell(), []
        stream = event_stream(ledger, bell, 0)

        async def following() -> dict[str, Any]:
            while True:
                piece = (await anext(stream)).decode()
                if "data: " in piece:
                    found: dict[str, Any] = json.loads(piece.partition("data: ")[2])
                    return found

        happen(ledger, "first")
        seen.append((await following())["subject"])
        # The reader is slow: the stream stands at its first event while the bell rings for the second.
        happen(ledger, "second")
        bell.ring()
        seen.append((await asyncio.wait_for(following(), 5))["subject"])
        bell.close()
        await stream.aclose()  # type: ignore[attr-defined]
        return seen

    with Ledger.open(tmp_path / "ledger", clock) as ledger:
        assert asyncio.run(read(ledger)) == ["first", "second"]
