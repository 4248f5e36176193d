"""The sidebar in a real browser: live while a notebook runs, clone and run, light and dark."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.timeout(420)]


def show_sidebar(page: Any) -> None:
    page.evaluate("window.jupyterapp.commands.execute('mlstudio:open')")
    page.wait_for_selector("#mlstudio-sidebar", state="visible")


def run_all(page: Any) -> None:
    page.wait_for_selector(".jp-Notebook-ExecutionIndicator[data-status='idle']", state="attached")
    page.evaluate("window.jupyterapp.commands.execute('notebook:run-all-cells')")


def keep(page: Any, tmp_path: Path, name: str) -> bytes:
    folder = Path(os.environ.get("MLSTUDIO_SCREENSHOTS", str(tmp_path)))
    return bytes(page.screenshot(path=str(folder / f"{name}.png")))


def test_live_while_the_notebook_runs_then_clone_and_run(page: Any, lab: Any, tmp_path: Path) -> None:
    show_sidebar(page)
    run_all(page)
    page.wait_for_selector("li.mls-run[data-run='2'][data-state='succeeded']")
    assert page.locator("[data-module='shop/total']").count() == 1
    assert page.locator("[data-module='shop/best']").count() == 1
    assert page.locator(".mls-cluster .mls-light-green, .mls-cluster .mls-light-amber").count() == 1
    first = page.locator("li.mls-run[data-run='1']")
    assert "shop/total" in first.inner_text()
    assert first.locator(".mls-why").inner_text().startswith("ran")

    first.get_by_role("button", name="Clone and run").click()
    field = first.locator("input[name='at_least']")
    field.wait_for()
    assert field.input_value() == "2"
    field.fill("10")
    first.locator("form button.jp-mod-accept").click()
    third = page.locator("li.mls-run[data-run='3'][data-state='succeeded']")
    third.wait_for()
    assert "at_least" in third.locator(".mls-why").inner_text()

    keep(page, tmp_path, "sidebar-light")
    page.evaluate("window.jupyterapp.commands.execute('apputils:change-theme', {theme: 'JupyterLab Dark'})")
    page.wait_for_selector("body[data-jp-theme-light='false']")
    dark = page.evaluate("getComputedStyle(document.querySelector('#mlstudio-sidebar')).backgroundColor")
    channels = [int(part) for part in dark.removeprefix("rgb(").removesuffix(")").split(",")]
    assert max(channels) < 80
    keep(page, tmp_path, "sidebar-dark")


def test_a_card_is_under_the_cell(page: Any, lab: Any, tmp_path: Path) -> None:
    show_sidebar(page)
    run_all(page)
    card = page.locator(".jp-OutputArea-output", has_text="shop/best").first
    card.wait_for()
    assert "v1" in card.inner_text()
    keep(page, tmp_path, "card")


def test_a_bad_parameter_is_said_in_the_form(page: Any, lab: Any) -> None:
    show_sidebar(page)
    run_all(page)
    first = page.locator("li.mls-run", has_text="shop/total").last
    first.get_by_role("button", name="Clone and run").click()
    field = first.locator("input[name='at_least']")
    field.wait_for()
    field.fill('"many"')
    first.locator("form button.jp-mod-accept").click()
    failed = page.locator("li.mls-run[data-state='failed']").first
    failed.wait_for()
    assert failed.locator(".mls-error").inner_text()
