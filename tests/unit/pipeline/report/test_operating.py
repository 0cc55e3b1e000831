from __future__ import annotations

from typing import Any

from tests.support.sample_result import sample_result
from thinfer.pipeline.report import render_report
from thinfer.pipeline.report.operating import show_operating


def point(threshold: float | None, *, offset: float = 0.0, activation: str = "softmax") -> Any:  # noqa: ANN401 - JSON
    return {
        "activation": activation,
        "temperature": 1.25 if offset else 1.0,
        "priority": ["<b>spam"],
        "labels": [
            {"label": "normal", "threshold": None, "offset": 0.0},
            {"label": "<b>spam", "threshold": threshold, "offset": offset},
        ],
    }


def test_thresholds_stand_side_by_side_and_are_escaped() -> None:
    ends = {"original": {"operating": point(0.8)}, "chosen": {"operating": point(0.75, offset=0.2)}}
    markup = show_operating(ends)
    assert "<b>" not in markup
    assert "&lt;b&gt;spam" in markup
    assert "0.8000" in markup
    assert "0.7500" in markup
    assert "+0.200" in markup
    assert "divided by 1.250" in markup
    result = sample_result()
    page = render_report({**result, **{side: {**result[side], **ends[side]} for side in ends}})
    assert 'id="operating"' in page


def test_a_plain_point_has_no_section() -> None:
    plain = {"original": {"operating": point(None)}, "chosen": {"operating": point(None)}}
    assert show_operating(plain) == ""
    assert show_operating(sample_result()) == ""
    assert 'id="operating"' not in render_report(sample_result())


def test_sigmoids_say_so() -> None:
    each = point(None, offset=0.1, activation="sigmoid")
    markup = show_operating({"original": {"operating": each}, "chosen": {"operating": each}})
    assert "a score of its own" in markup
