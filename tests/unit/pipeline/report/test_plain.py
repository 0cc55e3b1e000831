from __future__ import annotations

from tests.support.sample_result import sample_result
from thinfer.pipeline.report.plain import show_plainly
from thinfer.pipeline.report.promise import say_plainly


def test_parts_without_a_sentence_are_left_out() -> None:
    markup = show_plainly(say_plainly(sample_result()))
    assert '<dt class="unproven">Not proven</dt>' in markup
    assert "Broken" not in markup


def test_a_number_stays_beside_its_percent_sign() -> None:
    assert " %" not in show_plainly(say_plainly(sample_result()))


def test_without_floors_there_is_no_section() -> None:
    assert show_plainly(say_plainly({"classes": sample_result()["classes"]})) == ""


def test_a_label_cannot_become_markup() -> None:
    result = sample_result()
    result["floors"] = [{**result["floors"][2], "expr": "recall[<b>x]>=0.9", "label": "<b>x"}]
    markup = show_plainly(say_plainly(result))
    assert "“&lt;b&gt;x” texts" in markup
    assert "<b>" not in markup
