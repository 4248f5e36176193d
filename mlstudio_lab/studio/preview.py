"""The first rows of a stored frame, read by a worker: the service itself opens no frame and imports no frame library."""

from __future__ import annotations

import asyncio
import json
import platform
import sys
from typing import Any, Final

from mlstudio_lab.core.bundle import Bundle, Unit
from mlstudio_lab.core.errors import StudioError, Unavailable
from mlstudio_lab.core.interface import Interface, Port
from mlstudio_lab.core.lock import Lock
from mlstudio_lab.engine.outcomes import drop_outcome
from mlstudio_lab.engine.tasks import new_id
from mlstudio_lab.studio.context import Studio
from mlstudio_lab.wire.task import Outcome, Task

_WAIT_S: Final = 30.0
_SOURCE: Final = """
def head(value, n):
    import json

    def short(cell):
        text = "" if cell is None else str(cell)
        return text if len(text) <= 80 else text[:79] + "…"

    import polars as pl

    if type(value).__module__.startswith("pandas"):
        columns, dtypes = [str(c) for c in value.columns], [str(t) for t in value.dtypes]
        rows = list(value.head(n).itertuples(index=False, name=None))
    else:
        frame = value if isinstance(value, pl.DataFrame) else pl.DataFrame(value)
        columns, dtypes, rows = frame.columns, [str(t) for t in frame.dtypes], frame.head(n).rows()
    print(json.dumps({"columns": columns, "dtypes": dtypes, "rows": [[short(c) for c in row] for row in rows]}))
"""


async def first_rows(studio: Studio, payload: dict[str, Any], n: int) -> dict[str, Any]:
    """`columns`, `dtypes` and `rows` as text.

    Args:
        studio: The home.
        payload: Payload json with one value named `value`.
        n: How many rows.

    Raises:
        Unavailable: No worker answered in time.
        StudioError: The worker could not read the frame.
    """
    engine = studio.engine
    attempt = new_id(engine.clock)
    lock = Lock(platform.python_version(), f"{sys.platform}-{platform.machine()}", ())
    bundle = Bundle("function", "head", (Unit("main", "main", _SOURCE),), Interface((Port("value"), Port("n")), (Port("return"),)), lock)
    kind = str(((payload.get("values") or {}).get("value") or {}).get("type", ""))
    dataset = {"name": "", "version": "", "payload": payload, "as": "pandas" if kind.startswith("pandas") else "polars"}
    task = Task(
        attempt=attempt, fence=1, run=attempt, name="studio/head", bundle=bundle.to_json(), inputs={}, home=str(engine.home),
        datasets={"value": dataset}, parameters={"n": n}, timeout_s=_WAIT_S,
    )  # fmt: skip
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Outcome] = loop.create_future()

    def ended(outcome: Outcome) -> None:
        if not done.done():
            done.set_result(outcome)

    def told(outcome: Outcome) -> None:
        loop.call_soon_threadsafe(ended, outcome)

    engine.executors["local"].submit(task, lambda event: None, told)
    try:
        outcome = await asyncio.wait_for(done, _WAIT_S)
    except TimeoutError:
        engine.executors["local"].cancel(attempt, True)
        raise Unavailable("no worker has read the rows in time", subject="head", hint="look at: mlstudio status") from None
    drop_outcome(engine.home, attempt, 1)
    text = "".join(str(e.get("text", "")) for e in outcome.log if e.get("t") == "stdout")
    if outcome.state != "succeeded" or not text:
        # What the worker said may quote values; only its kind is passed on.
        kind = str((outcome.failure or {}).get("type", "")).rpartition(".")[2]
        raise StudioError(f"the rows cannot be read ({kind or outcome.state})", subject="head", hint="mlstudio fsck looks for damage")
    found: dict[str, Any] = json.loads(text)
    return found
