from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from thinfer.errors import DataError
from thinfer.quality.labels import LabelSet
from thinfer.quality.operating import Decider, OperatingPoint
from thinfer.quality.refit import match_scores, place_threshold, refit_point, set_rates

LABELS = LabelSet(("normal", "spam", "abuse"), normal="normal")
MANY = LabelSet(LABELS.names, is_multi_label=True)


def draw(rows: int, seed: int) -> Any:  # noqa: ANN401 - float32 [rows, 3]
    return (3 * np.random.default_rng(seed).normal(size=(rows, 3))).astype(np.float32)


def bend(logits: Any) -> Any:  # noqa: ANN401 - float32 [rows, 3]
    """A compressed form: flatter, shifted, a little noisy."""
    noise = np.random.default_rng(9).normal(size=logits.shape) * 0.2
    return (0.5 * logits + np.array([1.0, 0.0, -0.5]) + noise).astype(np.float32)


@pytest.mark.parametrize("allowed", [0, 1, 3])
def test_a_threshold_lets_so_many_negatives_pass_and_no_more(allowed: int) -> None:
    scores = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4], dtype=np.float32)
    negative = np.array([False, True, True, False, True, True])
    threshold = place_threshold(scores, negative, allowed=allowed)
    assert int((scores[negative] >= threshold).sum()) == allowed
    lower = place_threshold(scores, negative, allowed=allowed + 1)
    assert lower < threshold


def test_ties_never_let_too_many_pass() -> None:
    scores = np.full(6, 0.5, dtype=np.float32)
    negative = np.ones(6, dtype=np.bool_)
    assert (scores >= place_threshold(scores, negative, allowed=2)).sum() == 0
    assert place_threshold(scores, negative, allowed=6) == 0.0


def test_a_rate_sets_the_threshold_and_a_small_set_is_refused() -> None:
    logits = draw(1000, 0)
    truth = np.arange(1000) % 3
    decider = Decider(LABELS)
    point = set_rates(decider, logits, truth, {"spam": 0.02})
    passing = decider.scores(logits)[:, 1] >= point.thresholds["spam"]
    negative = truth != 1
    assert int((passing & negative).sum()) == int(0.02 * negative.sum())
    with pytest.raises(DataError, match="dev is too small"):
        set_rates(decider, logits[:20], truth[:20], {"spam": 0.02})


@pytest.mark.parametrize("labels", [LABELS, MANY], ids=["one", "many"])
def test_scores_that_were_only_bent_are_unbent(labels: LabelSet) -> None:
    logits = draw(400, 1)
    bent = (0.5 * logits + np.array([1.0, 0.0, -0.5])).astype(np.float32)
    wanted = Decider(labels).scores(logits)
    temperature, offsets = match_scores(bent, wanted, labels)
    found = Decider(labels, OperatingPoint(temperature=temperature, offsets=tuple(offsets)))
    assert np.abs(found.scores(bent) - wanted).max() < 0.03
    assert temperature == pytest.approx(0.5, abs=0.05)


def test_equal_scores_need_nothing() -> None:
    logits = draw(100, 2)
    temperature, offsets = match_scores(logits, Decider(LABELS).scores(logits), LABELS)
    assert temperature == pytest.approx(1.0, abs=1e-6)
    assert offsets == pytest.approx(0.0, abs=1e-6)


def test_one_row_says_nearly_nothing() -> None:
    logits = draw(1, 3)
    wanted = np.array([[1.0, 0.0, 0.0]], dtype=np.float32)
    temperature, offsets = match_scores(logits, wanted, LABELS)
    assert 0.5 < temperature < 2.0
    assert np.abs(offsets).max() < 1.0


def test_a_plain_point_stays_plain() -> None:
    logits = draw(50, 4)
    point = refit_point(
        OperatingPoint(), bend(logits), original=logits, truth=np.zeros(50, int), labels=LABELS
    )
    assert point.is_plain


@pytest.mark.parametrize("labels", [LABELS, MANY], ids=["one", "many"])
def test_a_bent_form_answers_as_the_original_did_after_the_fit(labels: LabelSet) -> None:
    declared = OperatingPoint(thresholds={"spam": 0.3, "abuse": 0.6})
    model = Decider(labels, declared)
    logits, other = draw(2000, 5), draw(2000, 6)
    truth = Decider(labels).answer(draw(2000, 7))
    own = refit_point(declared, bend(logits), original=logits, truth=truth, labels=labels)
    fitted, left = Decider(labels, own), model
    agreed = [
        float((each.answer(bend(other)) == model.answer(other)).mean()) for each in (fitted, left)
    ]
    assert agreed[0] > agreed[1] + 0.1
    # As many false alarms of a declared label on dev as the original gives, and no more.
    for place, label in ((1, "spam"), (2, "abuse")):
        negative = ~labels.members(truth)[:, place]
        before = int((model.reached(model.scores(logits))[:, place] & negative).sum())
        after = int((fitted.reached(fitted.scores(bend(logits)))[:, place] & negative).sum())
        assert after == before, label


def test_a_threshold_without_a_false_alarm_keeps_its_score() -> None:
    declared = OperatingPoint(thresholds={"spam": 0.9999})
    logits = draw(30, 8)
    truth = np.ones(30, dtype=np.int64)
    own = refit_point(declared, bend(logits), original=logits, truth=truth, labels=LABELS)
    assert own.thresholds == {"spam": 0.9999}
