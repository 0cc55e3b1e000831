from __future__ import annotations

from typing import Any

import pytest

from tests.support.sample_result import sample_result
from thinfer.pipeline.report.promise import say_plainly


def judged(expr: str, verdict: str = "unproven", **more: Any) -> dict[str, Any]:  # noqa: ANN401 - fields of a floor
    floor = {"expr": expr, "verdict": verdict, "original": 0.9, "value": 0.891}
    counts = {"interval": [0.882, 0.895], "trials": 900, "losses": 12, "gains": 3}
    return {**floor, **counts, "rows_needed": None, **more}


def promised(expr: str, **more: Any) -> str:  # noqa: ANN401 - fields of a floor
    return say_plainly({"floors": [judged(expr, **more)]}).promised[0]


@pytest.mark.parametrize(
    ("expr", "words"),
    [
        ("accuracy>=99.5%", "At least 99.5 % as many right answers as the original gives."),
        ("accuracy>=0.95", "At least 95 % of all answers are right."),
        ("macro_f1>=99%", "The mean F1 over the labels is at least 99 % of the original's."),
        ("recall[spam]>=0.92", "At least 92 % of the “spam” texts are found."),
        (
            "recall[a>=b]>=99%",
            "At least 99 % as many “a>=b” texts are found as the original finds.",
        ),
        ("precision[spam]>=98%", "right at least 98 % as often as the original's."),
        ("flag_rate<=105%", "At most 105 % as many texts are flagged as the original flags."),
        ("agreement>=0.99", "The original's answer is given on at least 99 % of all texts."),
        ("unheard_of>=1%", "unheard_of>=1%."),
    ],
)
def test_each_floor_is_a_sentence(expr: str, words: str) -> None:
    assert promised(expr).endswith(words)


def test_a_slice_and_a_false_positive_rate_are_said() -> None:
    more = {"label": "spam", "slice": ["source", "comment"], "fpr": 0.01}
    text = promised("recall[spam|source=comment]@fpr=0.01>=99.5%", **more)
    assert "99.5 % as many “spam” texts are found" in text
    assert "among rows with source = comment" in text
    assert "the threshold that flags 1 % of the other texts wrongly" in text


@pytest.mark.parametrize("form", ["accuracy>=99.5%", "accuracy>=0.95"])
@pytest.mark.parametrize(
    ("verdict", "part"), [("holds", "proven"), ("unproven", "open"), ("broken", "broken")]
)
def test_every_verdict_has_its_part(form: str, verdict: str, part: str) -> None:
    words = say_plainly({"floors": [judged(form, verdict)]})
    said = {name: getattr(words, name) for name in ("proven", "open", "broken")}
    assert [name for name, sentences in said.items() if sentences] == [part]


def test_a_bound_is_rounded_to_the_side_that_claims_less() -> None:
    floor = judged("accuracy>=99.5%", original=1.0, value=0.999, interval=[0.994999, 1.0])
    assert "at least 99.49 % of the original's" in say_plainly({"floors": [floor]}).open[0]
    flags = judged("flag_rate<=105%", original=1.0, value=1.01, interval=[0.9, 1.050001])
    assert "at most 105.01 % of the original's" in say_plainly({"floors": [flags]}).open[0]


def test_the_counts_and_the_rows_are_told() -> None:
    words = say_plainly(sample_result())
    assert words.measured[0] == "On 6,000 labelled rows that took no part in training or choosing."
    kept = "Of 5,677 rows that the original answers right: 21 lost, 11 gained; 99.82 % kept."
    assert words.measured[2] == kept
    assert words.measured[3] == "recall[spam] is 93.88 %; the original's is 94.31 %."
    assert words.needed[0].startswith("accuracy: about 11,400 labelled test rows")


def test_classes_that_are_too_rare_or_never_found_are_named() -> None:
    result = sample_result()
    spam, abuse = (
        next(line for line in result["classes"] if (line["slice"], line["label"]) == (None, name))
        for name in ("spam", "abuse")
    )
    spam.update(too_rare="few", trials=100)
    abuse.update(too_rare="none", trials=0)
    _, rare, never, sliced = say_plainly(result).needed
    assert rare.startswith("1 of 3 classes is too rare here to prove as much of")
    assert "(“spam”): each takes 598 rows that the original finds" in rare
    assert "1 of 3 classes is never found by the original (“abuse”)" in never
    assert sliced == "In the slices, 3 of 6 classes are too rare."


def test_the_risk_names_what_may_be_lost_the_choice_and_the_wear() -> None:
    result = sample_result()
    line = next(item for item in result["classes"] if item["label"] == "flagged")
    line.update(interval=[0.99585, 1.0], losses=5, gains=3, trials=3388)
    loss, choice, wear = say_plainly(result).risk
    assert "at most 4.2 in 1,000 of what the original catches is lost: 5 lost and 3 gained" in loss
    assert choice.startswith("12 forms were tried on 2,000 rows of dev")
    assert "judged on once" in wear
    result["judgements"] *= 3
    assert "judged on 3 times" in say_plainly(result).risk[2]


def test_without_a_normal_label_the_risk_is_of_right_answers() -> None:
    result = sample_result()
    result["classes"] = [item for item in result["classes"] if item["label"] != "flagged"]
    assert "of what the original answers right is lost" in say_plainly(result).risk[0]


def test_a_label_called_flagged_is_not_taken_for_all_flags() -> None:
    result = sample_result()
    result["classes"] = [{**result["classes"][0], "label": "flagged", "metric": "recall[flagged]"}]
    assert not any("in 1,000" in text for text in say_plainly(result).risk)


def test_what_was_gained_on_balance_is_no_loss() -> None:
    result = sample_result()
    result["classes"][1].update(interval=[1.001, 1.02])
    assert "nothing of what the original catches is lost" in say_plainly(result).risk[0]


def test_nothing_judged_nothing_said() -> None:
    words = say_plainly({})
    assert not any((words.promised, words.measured, words.proven, words.needed, words.risk))
