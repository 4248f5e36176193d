"""The main job as a person starts it: `mlstudio tour` in an empty home, and the example under nbval."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def toured(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("tour")
    environment = {**os.environ, "HOME": str(folder), "MLSTUDIO_EXECUTOR": "auto"}
    environment.pop("MLSTUDIO_HOME", None)
    program = Path(sys.executable).with_name("mlstudio")
    done = subprocess.run([program, "tour", "--json"], env=environment, capture_output=True, text=True, timeout=500, cwd=folder)
    try:
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
        yield json.loads(done.stdout), environment, program
    finally:
        subprocess.run([program, "down"], env=environment, timeout=90, check=False)


def test_the_tour_is_what_it_promises(toured: Any) -> None:
    tour, _, _ = toured
    assert tour["ok"] is True, tour["problems"]
    assert tour["executors"]["ray"] > 0
    assert tour["first"]["runs"] > 10
    assert tour["second"]["reused"] == tour["pure"] > 10
    assert tour["second"]["runs"] > tour["second"]["reused"], "the cell that reads the clock runs each time"
    assert tour["edges"]["direct"] > 0
    assert tour["edges"]["indirect"] > 0
    assert tour["labels"]["propagated"] > 0
    assert tour["warnings"] > 0
    assert tour["first"]["seconds"] + tour["second"]["seconds"] < 180


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []
        self._skipped = 0

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self._skipped += tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        self._skipped -= tag in ("script", "style")

    def handle_data(self, data: str) -> None:
        if not self._skipped:
            self.parts.append(data)


def test_the_html_is_complete_without_javascript(toured: Any) -> None:
    reader = _Text()
    reader.feed(Path(toured[0]["html"]).read_text())
    text = re.sub(r"\s+", " ", " ".join(reader.parts))
    assert re.search(r"flights/clean@? ?v1", text)
    assert "reused: same code, same inputs" in text
    assert re.search(r"ran: helper ?`? ?minutes ?`? ?changed", text)
    assert "reads the clock" in text
    assert "confidential" in text
    assert "recent_delay" in text
    assert "GROUP_BY" in text or "group" in text.lower()


def test_the_studio_is_left_up_and_clean(toured: Any) -> None:
    _, environment, program = toured
    status = subprocess.run([program, "status", "--json"], env=environment, capture_output=True, text=True, timeout=60)
    assert status.returncode == 0, status.stderr
    fsck = subprocess.run([program, "fsck"], env=environment, capture_output=True, text=True, timeout=120)
    assert fsck.returncode == 0, fsck.stdout + fsck.stderr


def test_the_example_passes_nbval(toured: Any) -> None:
    _, environment, _ = toured
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-c", os.devnull, "--nbval-lax", "--nbval-kernel-name", "mlstudio"]
    done = subprocess.run(
        [*command, str(ROOT / "example_notebooks")],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        cwd=ROOT / "example_notebooks",
    )
    assert done.returncode == 0, done.stdout[-4000:]
