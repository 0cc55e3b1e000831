"""The report page in a real browser: what a reader sees, hovers and sorts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.chromium import CHROMIUM_ARGUMENTS, find_chromium
from tests.support.sample_result import crowded_result, sample_result, wordy_result
from thinfer.pipeline.report import render_report

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = find_chromium()
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed on this machine"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=list(CHROMIUM_ARGUMENTS))
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Browser, tmp_path: Path) -> Iterator[Page]:
    file = tmp_path / "report.html"
    file.write_text(render_report(sample_result()), encoding="utf-8")
    opened = browser.new_page(viewport={"width": 1100, "height": 900})
    troubles: list[str] = []
    opened.on("pageerror", lambda error: troubles.append(str(error)))
    opened.on("console", lambda message: troubles.append(message.text))
    asked: list[str] = []
    opened.on("request", lambda request: asked.append(request.url))
    opened.goto(file.as_uri())
    yield opened
    opened.close()
    assert troubles == []
    assert asked == [file.as_uri()]


def test_the_chart_has_its_points_and_one_metric_is_shown(page: Page) -> None:
    assert page.locator(".panel:visible").count() == 1
    chart = page.locator(".panel:visible")
    assert chart.locator(".point.kept").count() == 6
    assert chart.locator(".point.chosen:visible").count() == 1


def test_hovering_a_candidate_shows_its_facts_and_leaving_hides_them(page: Page) -> None:
    page.locator(".panel:visible .point.chosen").hover()
    tip = page.locator("#tip")
    assert tip.is_visible()
    assert "w2/3-int8" in tip.inner_text()
    assert "7.4×" in tip.inner_text()
    assert page.locator("#candidates tr.lit").count() == 1
    page.mouse.move(1, 1)
    assert not tip.is_visible()


def test_refused_candidates_are_visible_with_their_reason(page: Page) -> None:
    refused = page.locator(".panel:visible .point.refused")
    assert refused.count() == 4
    refused.last.hover()
    assert "refused" in page.locator("#tip").inner_text()
    assert "parity: 3 of 64" in page.locator(".unmeasured").inner_text()
    assert page.locator("#candidates tr.refused .reason:visible").count() == 5


def test_another_metric_can_be_chosen_and_a_point_reached_by_keyboard(page: Page) -> None:
    page.get_by_text("macro_f1", exact=True).first.click()
    chart = page.locator(".panel:visible svg")
    assert "macro_f1" in (chart.get_attribute("aria-label") or "")
    page.locator(".panel:visible .point.original").focus()
    assert "original" in page.locator("#tip").inner_text()


def test_a_heading_sorts_the_table_both_ways(page: Page) -> None:
    head = page.locator("#candidates thead th", has_text="size")
    first = page.locator("#candidates tbody tr").first.locator("th")
    head.click()
    assert first.inner_text() == "full-fp32"
    head.click()
    assert first.inner_text() == "w3/4-bf16-x"  # without a size: least of all


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1100])
def test_it_fits_every_width_in_both_colours(
    page: Page, tmp_path: Path, width: int, scheme: str
) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.emulate_media(color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    picture = page.screenshot(path=tmp_path / "page.png", full_page=True)
    assert picture.startswith(b"\x89PNG")
    ink, paper = (
        page.evaluate(f"getComputedStyle(document.body).{name}")
        for name in ("color", "backgroundColor")
    )
    assert ink != paper


def test_every_metric_is_printed(page: Page) -> None:
    page.emulate_media(media="print")
    assert page.locator(".panel:visible").count() == page.locator(".panel").count()


def test_on_paper_the_page_is_light_and_nothing_is_cut(page: Page) -> None:
    page.set_viewport_size({"width": 700, "height": 1000})  # A4 within its margins
    page.emulate_media(media="print", color_scheme="dark")
    ink, paper = (
        page.evaluate(f"getComputedStyle(document.body).{name}")
        for name in ("color", "backgroundColor")
    )
    assert paper == "rgb(255, 255, 255)"
    assert ink == "rgb(23, 32, 46)"
    assert page.evaluate("document.documentElement.scrollWidth") <= 700
    wide = "[...document.querySelectorAll('table')].filter(t => t.scrollWidth > 700).length"
    assert page.evaluate(wide) == 0


def test_the_plain_words_stand_first_and_what_is_rare_can_be_seen(page: Page) -> None:
    first = page.locator("main > section").first
    assert "In plain words" in first.inner_text()
    assert "11,400 labelled test rows" in first.inner_text()
    assert page.locator("#classes .badge:visible").first.is_visible()
    assert page.locator("#disagreements tbody tr:visible").count() == 35


@pytest.mark.parametrize("width", [360, 1100])
def test_hundreds_of_classes_stay_usable(browser: Browser, tmp_path: Path, width: int) -> None:
    file = tmp_path / "report.html"
    file.write_text(render_report(wordy_result(200)), encoding="utf-8")
    opened = browser.new_page(viewport={"width": width, "height": 900})
    opened.goto(file.as_uri())
    assert opened.evaluate("document.documentElement.scrollWidth") <= width
    table = opened.locator("#classes .classes").first
    assert table.locator("tbody tr:visible").count() == 32
    fold = opened.locator("#classes details").first
    assert fold.locator("tbody tr:visible").count() == 0
    fold.locator("summary").click()
    assert fold.locator("tbody tr:visible").count() == 170
    opened.close()


@pytest.fixture
def crowded(browser: Browser, tmp_path: Path) -> Iterator[Page]:
    file = tmp_path / "report.html"
    file.write_text(render_report(crowded_result(100)), encoding="utf-8")
    opened = browser.new_page(viewport={"width": 1100, "height": 900})
    opened.goto(file.as_uri())
    yield opened
    opened.close()


def test_a_hundred_points_take_one_tab_stop_and_the_arrow_keys_reach_all(crowded: Page) -> None:
    chart = crowded.locator(".panel:visible")
    points = chart.locator(".point").count()
    assert points > 100
    assert chart.locator(".point[tabindex='0']").count() == 1
    chart.locator(".point.chosen").focus()
    read = set()
    for _ in range(points):
        crowded.keyboard.press("ArrowRight")
        read.add(crowded.locator("#tip b").inner_text())
        assert chart.locator(".point[tabindex='0']").count() == 1
    assert len(read) == points


def test_an_early_drop_says_why_and_lights_its_row_in_the_folded_table(crowded: Page) -> None:
    early = crowded.locator(".early")
    assert early.locator("tbody tr").count() == 100
    assert not early.locator("tbody tr").first.is_visible()
    early.locator("summary").click()
    assert early.locator("tbody tr").first.is_visible()
    crowded.locator(".panel:visible .point.dropped").nth(50).focus()
    assert "dropped after rung" in crowded.locator("#tip").inner_text()
    assert early.locator("tr.lit").count() == 1
    assert crowded.locator(".unmeasured li").count() == 1  # no list of a hundred
    assert crowded.evaluate("document.documentElement.scrollWidth") <= 1100
