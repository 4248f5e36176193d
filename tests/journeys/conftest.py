"""A real JupyterLab on a home of its own, and a real Chromium looking at it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mlstudio_lab.settings import Settings

TOKEN = "journey"
SMALL = [
    "%load_ext mlstudio_lab\nimport polars as pl",
    "%%module shop/total\ndef total(orders: pl.LazyFrame, at_least: int = 0) -> pl.LazyFrame:\n"
    "    return orders.filter(pl.col('price') >= at_least).select(pl.col('price').sum())",
    "orders = pl.DataFrame({'price': [1, 2, 30], 'who': ['a', 'b', 'c']})\ntotal(orders.lazy(), at_least=2).collect()",
    "%%module shop/best\nbest = orders.sort('price', descending=True).head(1)\nprint('best', best['price'][0])",
]


def notebook(cells: list[str]) -> dict[str, Any]:
    return {
        "cells": [
            {"cell_type": "code", "id": f"c{i}", "metadata": {}, "execution_count": None, "outputs": [], "source": text}
            for i, text in enumerate(cells)
        ],
        "metadata": {"kernelspec": {"display_name": "ML Studio", "language": "python", "name": "mlstudio"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }


@dataclass
class Lab:
    url: str
    settings: Settings
    folder: Path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("lab")
    work, home = folder / "work", folder / "home"
    work.mkdir()
    (work / "small.ipynb").write_text(json.dumps(notebook(SMALL)))
    port = free_port()
    environment = {
        **os.environ,
        "HOME": str(folder),
        "MLSTUDIO_HOME": str(home),
        "MLSTUDIO_EXECUTOR": "local",
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "JUPYTER_DATA_DIR": str(folder / "data"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "IPYTHONDIR": str(folder / "ipython"),
    }
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--port={port}", "--ServerApp.ip=127.0.0.1"]
    command += [f"--IdentityProvider.token={TOKEN}", f"--ServerApp.root_dir={work}", "--LabApp.expose_app_in_browser=True"]
    command += ["--LabApp.news_url=None", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
    log = (folder / "lab.log").open("wb")
    server = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT, cwd=work, start_new_session=True)
    try:
        deadline = threading.Event()
        for _ in range(600):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            assert server.poll() is None, (folder / "lab.log").read_text()[-3000:]
            deadline.wait(0.1)
        else:
            pytest.fail((folder / "lab.log").read_text()[-3000:])
        yield Lab(f"http://127.0.0.1:{port}", Settings.read(environment), work)
    finally:
        server.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(3)
        if server.poll() is None:
            server.send_signal(signal.SIGTERM)
            server.wait(20)
        log.close()
        subprocess.run(
            [str(Path(sys.executable).with_name("mlstudio")), "--home", str(home), "down"], env=environment, check=False, timeout=60
        )


@pytest.fixture(scope="module")
def browser(lacks: Callable[[str, str], None]) -> Iterator[Any]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        lacks("Chromium", "install it with: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    flags = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
    flags += ["--disable-component-update", "--disable-sync"]
    with sync_playwright() as playwright:
        instance = playwright.chromium.launch(executable_path=chromium, headless=True, args=flags)
        try:
            yield instance
        finally:
            instance.close()


@pytest.fixture
def page(browser: Any, lab: Lab) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 1280, "height": 860})
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.goto(f"{lab.url}/lab/tree/small.ipynb?token={TOKEN}&reset")
    page.wait_for_selector("#jp-main-dock-panel .jp-Notebook", state="visible")
    try:
        yield page
    finally:
        context.close()
