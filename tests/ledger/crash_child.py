"""Run by the crash tests: puts blobs and writes rows from several threads, saying each id once it is acknowledged.

python crash_child.py HOME THREADS WRITES(0: without end) [patient]: with `patient` a refused write is said and gone past.
"""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

from mlstudio_lab.blobs.local import LocalBlobs
from mlstudio_lab.core.errors import StorageFailed
from mlstudio_lab.core.ids import ulid
from mlstudio_lab.ledger import attempts, modules, runs
from mlstudio_lab.ledger.connection import Connection
from mlstudio_lab.ledger.ledger import Ledger
from mlstudio_lab.testing import FakeClock, sample_bundle

home, threads, writes, patient = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), "patient" in sys.argv
clock = FakeClock()


def say(text: str) -> None:
    os.write(1, f"{text}\n".encode())


def once(k: int, n: int) -> None:
    run_id = ulid(int.from_bytes(os.urandom(5), "big"), os.urandom(10))
    log = blobs.put("log/1", [f"log of {run_id}".encode(), os.urandom(3000 * (n % 3))]).digest

    def submit(c: Connection) -> None:
        bundle = sample_bundle(f"y = {k % 3}")
        version, _ = modules.put_version(c, name="crash/test", bundle=bundle, code_digest="c", actor="ada", at=clock.now())
        runs.insert_run(c, id=run_id, module="crash/test", version_id=version.id, actor="ada", created_at=clock.now())
        attempts.insert_attempt(c, id=f"a-{run_id}", run=run_id, fence=1, executor="local", queued_at=clock.now())

    def finish(c: Connection) -> None:
        attempts.end_attempt(c, f"a-{run_id}", state="succeeded", at=clock.now())
        runs.update_run(c, run_id, event="succeed", at=clock.now(), log_blob=log)

    try:
        ledger.write(submit).result()
        say(f"submitted {run_id}")
        ledger.write(finish).result()
        say(f"finished {run_id}")
    except StorageFailed as error:
        say(f"refused {run_id} {error.hint}")
        if not patient:
            raise


def work(k: int) -> None:
    n = 0
    while not writes or n < writes:
        n += 1
        try:
            once(k, n)
        except StorageFailed as error:
            say(f"refused blob {error.hint}")
            if not patient:
                raise


blobs = LocalBlobs(home / "blobs")
ledger = Ledger.open(home / "ledger", clock)
say("open")
workers = [threading.Thread(target=work, args=(k,)) for k in range(threads)]
for worker in workers:
    worker.start()
for worker in workers:
    worker.join()
ledger.close()
say("done")
