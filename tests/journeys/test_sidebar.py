"""The sidebar in a real browser: live while a notebook runs, clone and run, a studio that goes and comes, light and dark."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lab_rig import SMALL, Lab, running_lab

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

# Not awaited on purpose: the command ends when the last cell has, and the panel is watched meanwhile.
RUN_ALL = "void window.jupyterapp.commands.execute('notebook:run-all-cells')"


def run(page: Any, number: int, state: str = "succeeded") -> Any:
    """The row of a run, once it is in that state."""
    row = page.locator(f"li.mls-run[data-run='{number}'][data-state='{state}']")
    row.wait_for()
    return row


def go_dark(page: Any) -> None:
    """Changes the theme, and waits until JupyterLab's curtain over the change is gone."""
    page.evaluate("window.jupyterapp.commands.execute('apputils:change-theme', {theme: 'JupyterLab Dark'})")
    page.wait_for_selector("body[data-jp-theme-light='false']", state="attached")
    page.wait_for_selector("#jupyterlab-splash", state="detached")


def keep(page: Any, tmp_path: Path, name: str) -> None:
    """A picture for people to look at, where MLSTUDIO_SCREENSHOTS says."""
    folder = Path(os.environ.get("MLSTUDIO_SCREENSHOTS", str(tmp_path)))
    page.screenshot(path=str(folder / f"{name}.png"))


def brightness(page: Any, selector: str, which: str = "backgroundColor") -> float:
    """From 0, black, to 255, white."""
    text = page.evaluate(f"getComputedStyle(document.querySelector({selector!r})).{which}")
    return sum(float(part) for part in text.partition("(")[2].rstrip(")").split(",")[:3]) / 3


def test_live_while_the_notebook_runs_then_clone_and_run(page: Any, tmp_path: Path) -> None:
    page.locator(".mls-light-red").wait_for()
    assert "not running" in page.locator(".mls-cluster").inner_text()
    keep(page, tmp_path, "down-light")

    page.evaluate(RUN_ALL)
    first = run(page, 1)
    run(page, 2)
    page.locator(".mls-light-green").wait_for()
    page.locator("[data-module='shop/total']").wait_for()
    page.locator("[data-module='shop/best']").wait_for()
    assert "shop/total" in first.text_content()
    assert first.locator(".mls-why").inner_text().startswith("ran")

    first.get_by_role("button", name="Clone and run").click()
    field = first.locator("input[name='at_least']")
    field.wait_for()
    assert first.locator("input[name='orders']").get_attribute("placeholder")
    assert field.input_value() == "2"
    field.fill("10")
    keep(page, tmp_path, "form-light")
    field.press("Enter")
    third = run(page, 3)
    assert "at_least" in third.locator(".mls-why").inner_text()
    assert "clone of 1" in third.text_content()
    assert page.locator(".mls-form").count() == 0

    keep(page, tmp_path, "sidebar-light")
    light = brightness(page, "#mlstudio-sidebar")
    go_dark(page)
    assert light > 200 > 80 > brightness(page, "#mlstudio-sidebar")
    assert brightness(page, ".mls-run .mls-name", "color") > 180
    keep(page, tmp_path, "sidebar-dark")


def test_a_card_stands_under_its_cell_in_both_themes(page: Any, tmp_path: Path) -> None:
    page.evaluate(RUN_ALL)
    card = page.locator(".jp-RenderedHTMLCommon", has_text="shop/best").last
    card.wait_for()
    assert "v1" in card.inner_text()
    keep(page, tmp_path, "card-light")
    assert brightness(page, ".jp-RenderedHTMLCommon [role=group]", "color") < 100
    go_dark(page)
    assert brightness(page, ".jp-RenderedHTMLCommon [role=group]", "color") > 180
    keep(page, tmp_path, "card-dark")


def test_what_went_wrong_is_said_where_it_happened(page: Any, tmp_path: Path) -> None:
    page.evaluate(RUN_ALL)
    first = run(page, 1)
    first.get_by_role("button", name="Clone and run").click()
    field = first.locator("input[name='at_least']")
    field.wait_for()
    field.fill('"many"')
    first.get_by_role("button", name="Run", exact=True).click()
    failed = page.locator("li.mls-run[data-state='failed']").first
    failed.wait_for()
    assert failed.locator(".mls-error").inner_text()
    keep(page, tmp_path, "failed-light")


def test_a_studio_that_goes_and_comes_back(page: Any, lab: Lab, tmp_path: Path) -> None:
    page.evaluate(RUN_ALL)
    run(page, 1)
    lab.mlstudio("down")
    page.locator(".mls-light-red").wait_for()
    page.locator(".mls-status").get_by_role("button", name="Start").wait_for()
    keep(page, tmp_path, "gone-light")
    lab.mlstudio("up")
    page.locator(".mls-light-green").wait_for()
    assert page.locator(".mls-status .mls-error").count() == 0

    lab.mlstudio("down")
    page.locator(".mls-status").get_by_role("button", name="Start").click()
    page.locator(".mls-light-green").wait_for()
    run(page, 1)


def test_two_labs_on_one_home_see_each_others_runs(page: Any, lab: Lab, home: Path, tmp_path: Path, open_lab: Callable[[Lab], Any]) -> None:
    page.evaluate(RUN_ALL)
    run(page, 1)
    with running_lab(tmp_path / "other", home, [SMALL[0], "%%module shop/other\nother = 1 + 1"]) as second:
        other = open_lab(second)
        first = run(other, 1)
        page.get_by_role("button", name="Clone and run: run 1", exact=True).click()
        field = page.locator("input[name='at_least']")
        field.fill("7")

        other.evaluate(RUN_ALL)
        for each in (page, other):
            each.locator("li.mls-run[data-state='succeeded']", has_text="shop/other").wait_for()
            each.locator("[data-module='shop/other']").wait_for()
        assert field.input_value() == "7"
        assert field.evaluate("field => field === document.activeElement")

        # A panel that is not on screen asks nothing, and shows what it missed when it is opened again.
        page.evaluate("window.jupyterapp.shell.collapseLeft()")
        page.locator("#mlstudio-sidebar").wait_for(state="hidden")
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url) if "/mlstudio/api/" in request.url else None)
        first.get_by_role("button", name="Clone and run").click()
        first.get_by_role("button", name="Run", exact=True).click()
        cloned = other.locator("li.mls-run[data-state='succeeded']", has_text="clone of 1")
        cloned.first.wait_for()
        number = cloned.first.get_attribute("data-run")
        assert asked == []
        page.evaluate("window.jupyterapp.commands.execute('mlstudio:open')")
        run(page, int(number))
        assert asked
