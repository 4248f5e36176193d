from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mlstudio_lab.core.ids import ulid
from mlstudio_lab.ledger import modules, runs
from mlstudio_lab.ledger.connection import Connection
from mlstudio_lab.ledger.ledger import Ledger
from mlstudio_lab.testing import FakeClock, sample_bundle


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def ledger(tmp_path: Path, clock: FakeClock) -> Iterator[Ledger]:
    with Ledger.open(tmp_path / "ledger", clock) as opened:
        yield opened


@pytest.fixture
def write(ledger: Ledger) -> Callable[[Callable[[Connection], Any]], Any]:
    return lambda fn: ledger.write(fn).result(timeout=20)


@pytest.fixture
def read(ledger: Ledger) -> Callable[[Callable[[Connection], Any]], Any]:
    return ledger.read


class Scene:
    """A ledger with one module, and short ways to add runs to it."""

    def __init__(self, ledger: Ledger, clock: FakeClock) -> None:
        self.ledger, self.clock, self.made = ledger, clock, 0
        self.version = self.add_version("y = x + 1")

    def add_version(self, source: str, name: str = "flights/delay", actor: str = "ada") -> modules.VersionRow:
        made = self.ledger.write(
            lambda c: modules.put_version(
                c, name=name, bundle=sample_bundle(source), code_digest="c" * 64, actor=actor, at=self.clock.now()
            )
        )
        return made.result(timeout=20)[0]

    def add_run(self, **columns: Any) -> str:
        self.made += 1
        run_id = ulid(self.made, bytes(10))
        given: dict[str, Any] = {"module": "flights/delay", "version_id": self.version.id, "actor": "ada", "created_at": self.clock.now()}
        self.ledger.write(lambda c: runs.insert_run(c, id=run_id, **(given | columns))).result(timeout=20)
        return run_id


@pytest.fixture
def scene_of() -> type[Scene]:
    return Scene


@pytest.fixture
def scene(ledger: Ledger, clock: FakeClock) -> Scene:
    return Scene(ledger, clock)
