"""A real JupyterLab on a home of its own, and a real Chromium looking at it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lab_rig import KERNEL_IS_IDLE, SMALL, TOKEN, Lab, running_lab


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The one home of a file's labs."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, home: Path) -> Iterator[Lab]:
    with running_lab(tmp_path_factory.mktemp("lab"), home, SMALL) as found:
        try:
            yield found
        finally:
            found.mlstudio("down")


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
def open_lab(browser: Any) -> Iterator[Callable[[Lab], Any]]:
    """`open_lab(lab)` gives a page of its own with the notebook open and its kernel idle, and the sidebar in front."""
    contexts: list[Any] = []

    def opened(lab: Lab) -> Any:
        contexts.append(browser.new_context(viewport={"width": 1280, "height": 860}))
        page = contexts[-1].new_page()
        page.set_default_timeout(60_000)
        page.goto(f"{lab.url}/lab/tree/small.ipynb?token={TOKEN}&reset")
        page.wait_for_selector("#jp-main-dock-panel .jp-NotebookPanel", state="visible")
        page.evaluate(KERNEL_IS_IDLE)
        # The theme is kept in the server's settings, also from one test to the next.
        page.evaluate("window.jupyterapp.commands.execute('apputils:change-theme', {theme: 'JupyterLab Light'})")
        page.wait_for_selector("body[data-jp-theme-light='true']", state="attached")
        page.evaluate("window.jupyterapp.commands.execute('mlstudio:open')")
        page.wait_for_selector("#mlstudio-sidebar", state="visible")
        return page

    try:
        yield opened
    finally:
        for context in contexts:
            context.close()


@pytest.fixture
def page(open_lab: Callable[[Lab], Any], lab: Lab) -> Any:
    return open_lab(lab)
