"""The browser's types are made from what the service really says: OpenAPI -> tests/golden/openapi.json -> src/wire.ts.

After a change of the wire:  MLSTUDIO_UPDATE_GOLDEN=1 pytest tests/lab/test_wire.py && (cd labextension && jlpm wire)
`.ci/run` makes wire.ts again and fails on a difference.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from home_rig import running_home

from mlstudio_lab.client.discover import ensure
from mlstudio_lab.client.transport import Transport
from mlstudio_lab.settings import Settings

GOLDEN = Path(__file__).parents[1] / "golden" / "openapi.json"
WIRE = Path(__file__).parents[2] / "labextension" / "src" / "wire.ts"
REFRESH = f"the wire changed; if that is meant, run: {__doc__.splitlines()[2].partition(':  ')[2]}" if __doc__ else ""
UNSAID = ("title", "operationId", "summary", "tags")


def plain(part: Any) -> Any:
    """A part of the schema without what only names things for FastAPI, whose wording changes from version to version."""
    if isinstance(part, dict):
        return {key: plain(value) for key, value in part.items() if not (key in UNSAID and isinstance(value, str | list))}
    if isinstance(part, list):
        return [plain(value) for value in part]
    return part


@pytest.fixture(scope="module")
def said() -> Iterator[dict[str, Any]]:
    with running_home() as home:
        found = plain(Transport(lambda: ensure(Settings.read(home=home, url=""))).get("/openapi.json"))
        del found["info"]["version"]
        yield found


def test_the_golden_schema_is_what_the_service_says(said: dict[str, Any]) -> None:
    if os.environ.get("MLSTUDIO_UPDATE_GOLDEN"):
        GOLDEN.write_text(json.dumps(said, indent=1, sort_keys=True) + "\n")
    golden = json.loads(GOLDEN.read_text())
    assert sorted(golden["paths"]) == sorted(said["paths"]), REFRESH
    assert sorted(golden["components"]["schemas"]) == sorted(said["components"]["schemas"]), REFRESH
    for name, schema in said["components"]["schemas"].items():
        assert golden["components"]["schemas"][name] == schema, f"{name}: {REFRESH}"
    assert golden == said, REFRESH


def test_every_schema_has_its_typescript_type(said: dict[str, Any]) -> None:
    text = WIRE.read_text()
    missing = [name for name in said["components"]["schemas"] if f"    {name}: " not in text]
    assert not missing, f"run: (cd labextension && jlpm wire); {missing}"
