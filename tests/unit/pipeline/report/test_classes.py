from __future__ import annotations

import re
from typing import Any

from tests.support.sample_result import sample_result, wordy_result
from thinfer.pipeline.report.classes import show_classes


def names_of(markup: str) -> list[str]:
    return re.findall(r'<th scope="row">(.*?)</th>', markup)


def line(name: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - fields of a class
    own = next(item for item in sample_result()["classes"] if item["label"] == "spam")
    return {**own, "label": name, "too_rare": None, "verdict": "holds", "rows_needed": None, **more}


def test_totals_come_first_and_what_needs_a_look_before_the_rest() -> None:
    lines = [
        line("proven"),
        line("rare", verdict="unproven", too_rare="few", losses=0),
        line("rare and lost", verdict="unproven", too_rare="few", losses=2),
        line("open", verdict="unproven", rows_needed=9_000),
        line("below", verdict="broken", is_promised=False),
        line("broken", verdict="broken", is_promised=True, interval=[0.1, 0.2]),
        line("", label=None, metric="accuracy"),
    ]
    markup = show_classes(lines)
    assert names_of(markup) == [
        "every row",
        "broken",
        "below",
        "rare and lost",
        "open",
        "rare",
        "proven",
    ]
    assert "Of 6 classes: 2 below what is asked, 2 too rare to prove, 1 not proven, 1 proven." in (
        markup
    )
    assert "about 9,000 test rows would do" in markup
    assert '<span class="badge broken">below</span>' in markup
    assert '<span class="badge broken">broken</span>' in markup


def test_a_promise_that_is_broken_is_never_called_too_rare() -> None:
    markup = show_classes([line("x", verdict="broken", is_promised=True, too_rare="few")])
    assert "badge broken" in markup
    assert "too rare</span>" not in markup


def test_a_class_that_the_original_never_finds_says_why() -> None:
    nothing = {"recall": None, "recall_interval": None}
    nothing |= {"precision": None, "precision_interval": None}
    markup = show_classes(
        [
            line(
                "never",
                verdict="unproven",
                trials=0,
                retention=None,
                interval=None,
                too_rare="no row of this test set is of this class",
                original=nothing,
                chosen=nothing,
            )
        ]
    )
    assert "no row of this test set is of this class" in markup
    assert "nothing to keep" in markup
    assert "too rare" not in markup
    assert markup.count("<td>–</td>") == 3


def test_slices_are_groups_and_their_names_are_escaped() -> None:
    markup = show_classes(sample_result()["classes"])
    assert markup.count('class="group"') == 2
    assert "source=&lt;b&gt;post" in markup
    assert markup.index("source=comment") < markup.index("source=&lt;b&gt;post")


def test_of_many_classes_thirty_are_open_and_all_are_there() -> None:
    lines = wordy_result(200)["classes"]
    markup = show_classes(lines)
    assert len(names_of(markup)) == len(lines)
    assert "170 more classes" in markup
    first = markup.split("<details")[0]
    assert len(names_of(first)) == 2 + 30
    assert "<details" not in show_classes(sample_result()["classes"])


def test_no_classes_no_table() -> None:
    assert show_classes([]) == ""
