from __future__ import annotations

import json

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.small_task import small_run
from thinfer.pipeline.data import LabelledSet
from thinfer.pipeline.disagreements import describe_disagreements
from thinfer.quality import LabelSet
from thinfer.quality.operating import Decider
from thinfer.text.corpus import Corpus

LABELS = LabelSet(("normal", "spam", "abuse"))
DECIDERS = (Decider(LABELS), Decider(LABELS))


def logits_of(answers: list[int], sure: list[float]) -> NDArray[np.float32]:
    logits = np.zeros((len(answers), 3), dtype=np.float32)
    logits[np.arange(len(answers)), answers] = sure
    return logits


def find(
    truth: list[int], before: list[int], after: list[int], sure: list[float] | None = None
) -> dict[str, object]:
    corpus = Corpus(
        texts=tuple(f"text {place}" for place in range(len(truth))),
        rows=tuple(range(100, 100 + len(truth))),
    )
    part = LabelledSet(corpus=corpus, truth=np.array(truth))
    logits = (logits_of(before, [3.0] * len(truth)), logits_of(after, sure or [1.0] * len(truth)))
    return describe_disagreements(
        part, logits, (np.array(before), np.array(after)), deciders=DECIDERS
    )


def test_losses_come_before_gains_and_the_surest_first() -> None:
    found = find(
        [0, 0, 0, 1, 2, 1],
        [0, 0, 0, 0, 0, 1],
        [1, 1, 0, 1, 1, 1],
        [1.0, 4.0, 9.0, 5.0, 6.0, 9.0],
    )
    assert {key: found[key] for key in ("rows", "total", "losses", "gains", "others")} == {
        "rows": 6,
        "total": 4,
        "losses": 2,
        "gains": 1,
        "others": 1,
    }
    examples = found["examples"]
    assert isinstance(examples, list)
    assert [(item["row"], item["kind"]) for item in examples] == [
        (101, "loss"),
        (100, "loss"),
        (103, "gain"),
        (104, "other"),
    ]
    first = examples[0]
    assert (first["truth"], first["original"], first["chosen"]) == ("normal", "normal", "spam")
    assert first["chosen_score"] == pytest.approx(np.exp(4) / (np.exp(4) + 2))
    assert first["original_score"] == pytest.approx(np.exp(3) / (np.exp(3) + 2))


def test_equal_answers_are_no_disagreement() -> None:
    found = find([0, 1], [0, 0], [0, 0])
    assert (found["total"], found["examples"]) == (0, [])


@pytest.mark.parametrize(
    ("losses", "gains", "expected"),
    [(100, 100, (30, 10)), (100, 0, (40, 0)), (3, 100, (3, 37)), (0, 7, (0, 7))],
)
def test_forty_are_shown_at_most_and_no_kind_is_crowded_out(
    losses: int, gains: int, expected: tuple[int, int]
) -> None:
    truth = [0] * (losses + gains)
    found = find(truth, [0] * losses + [1] * gains, [1] * losses + [0] * gains)
    examples = found["examples"]
    assert isinstance(examples, list)
    kinds = [item["kind"] for item in examples]
    assert (kinds.count("loss"), kinds.count("gain")) == expected
    assert found["total"] == losses + gains


def test_scores_that_are_not_finite_are_zero_and_the_result_stays_json() -> None:
    part = LabelledSet(corpus=Corpus(texts=("a", "b")), truth=np.array([0, 1]))
    broken = np.array([[np.nan, 0.0, 0.0], [np.inf, 0.0, 0.0]], dtype=np.float32)
    logits = (logits_of([0, 1], [1.0, 1.0]), broken)
    answers = (np.array([0, 1]), np.array([1, 0]))
    found = describe_disagreements(part, logits, answers, deciders=DECIDERS)
    assert [item["chosen_score"] for item in found["examples"]] == [0.0, 0.0]
    json.dumps(found, allow_nan=False)


def test_text_stands_there_only_where_it_was_asked_for() -> None:
    corpus = Corpus(texts=("x" * 500,))
    part = LabelledSet(corpus=corpus, truth=np.array([0]))
    logits = (logits_of([0], [1.0]), logits_of([1], [1.0]))
    answers = (np.array([0]), np.array([1]))
    quiet = describe_disagreements(part, logits, answers, deciders=DECIDERS)
    assert "xx" not in str(quiet)
    told = describe_disagreements(part, logits, answers, deciders=DECIDERS, include_text=True)
    assert told["examples"][0]["text"] == "x" * 200


def test_a_run_names_rows_of_the_test_file_and_no_text() -> None:
    result = small_run().result
    found, answers = result["disagreements"], result["answers"]
    pairs = dict(
        zip(answers["rows"], zip(answers["original"], answers["chosen"], strict=True), strict=True)
    )
    assert found["total"] == sum(before != after for before, after in pairs.values())
    for item in found["examples"]:
        assert pairs[item["row"]][0] != pairs[item["row"]][1]
        assert "text" not in item
