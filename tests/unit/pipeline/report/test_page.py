from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from tests.support.sample_result import crowded_result, sample_result
from thinfer.pipeline.report import render_report

_VOID = {"meta", "link", "input", "br"}


class _Balance(HTMLParser):
    """Collects tags that are closed in the wrong order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.wrong: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        del attrs
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)


def test_every_tag_is_closed_in_order() -> None:
    reader = _Balance()
    reader.feed(render_report(sample_result()))
    assert (reader.open, reader.wrong) == ([], [])


def test_the_page_names_no_address_to_load_from() -> None:
    page = render_report(sample_result())
    assert not re.findall(r"""(?:src|href|action)\s*=\s*["'](?!data:)""", page)
    assert not re.findall(r"https?://|@import|url\(", page)
    assert "default-src 'none'" in page


@pytest.mark.parametrize(
    ("verdict", "words"),
    [
        ("holds", "The floor holds."),
        ("unproven", "Above the floor, not yet proven."),
        ("broken", "The floor is broken."),
    ],
)
def test_the_verdict_is_said_in_words(verdict: str, words: str) -> None:
    assert f"<h1>{words}</h1>" in render_report({**sample_result(), "verdict": verdict})


def test_the_summary_says_how_many_rows_would_prove_the_floor() -> None:
    assert "about 11,400 rows would do" in render_report(sample_result())


def test_a_broken_floor_is_named_and_warned_about() -> None:
    result = sample_result()
    result["verdict"] = result["floors"][0]["verdict"] = "broken"
    page = render_report(result)
    assert "Broken: flagged_recall&gt;=99.5%. Do not put it into service" in page


def test_the_best_so_far_is_named_as_such() -> None:
    result = sample_result()
    result["chosen"]["refused"] = "on dev, accuracy stays below its floor"
    assert "only the best so far: on dev, accuracy stays below" in render_report(result)


def test_text_from_outside_cannot_become_markup() -> None:
    attack = "</script><script>alert(1)</script>$title"
    result = sample_result()
    result["bundle"] = result["command"] = attack
    result["warnings"] = [attack]
    result["candidates"][0].update(name=attack, refused=attack)
    page = render_report(result)
    assert page.count("<script>") == 1
    assert "&lt;/script&gt;" in page


def test_the_least_result_still_makes_a_page() -> None:
    page = render_report({"original": {}, "chosen": None, "candidates": [], "floors": []})
    assert "No candidate could be kept" in page


@pytest.mark.parametrize(
    "field",
    [
        "factors",
        "steps",
        "warnings",
        "command",
        "machine",
        "data",
        "linear",
        "textcnn",
        "vocabulary",
        "baseline",
        "seconds",
        "version",
        "speedup",
        "latency_ratio",
        "classes",
        "calibration",
        "disagreements",
        "judgements",
    ],
)
def test_every_optional_field_may_be_absent(field: str) -> None:
    result = sample_result()
    del result[field]
    assert "<main>" in render_report(result)


def test_the_same_result_gives_the_same_page() -> None:
    assert render_report(sample_result()) == render_report(sample_result())


def test_early_drops_are_explained_only_where_there_are_some() -> None:
    words = "Small points were dropped early"
    assert words in render_report(crowded_result(3))
    assert words not in render_report(sample_result())
    assert "swatch dropped" not in render_report(sample_result())
