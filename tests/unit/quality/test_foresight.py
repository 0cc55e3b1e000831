"""What changed answers are worth to the original, and how that is weighed with what was counted."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from thinfer.quality import LabelSet, parse_floor
from thinfer.quality.foresight import (
    Estimate,
    calibrate,
    draw_truths,
    fit_temperature,
    is_foreseeable,
    shrink,
)
from thinfer.quality.verdict import estimate

LABELS = LabelSet(("bad", "good"), normal="good")


def draw_teacher(
    rng: np.random.Generator, rows: int, scale: float = 1.0
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Give logits, and truths that are as likely as the logits divided by the scale say."""
    logits = (rng.standard_normal((rows, 2)) * 2).astype(np.float32)
    chances = 1 / (1 + np.exp(logits[:, 0] - logits[:, 1]))
    truth = (rng.random(rows) < chances).astype(np.int64)
    return logits * np.float32(scale), truth


def test_overconfident_logits_are_brought_back_to_what_the_truth_says() -> None:
    logits, truth = draw_teacher(np.random.default_rng(0), 20_000, scale=3.0)
    found = calibrate(logits, truth)
    true = 1 / (1 + np.exp((logits[:, 0] - logits[:, 1]) / 3.0))
    np.testing.assert_allclose(found.sum(axis=1), 1.0)
    np.testing.assert_allclose(found[:, 1], true, atol=0.02)
    assert fit_temperature(logits, truth) == pytest.approx(3.0, rel=0.1)


def test_a_teacher_that_is_always_right_is_calibrated_without_a_warning() -> None:
    logits = np.array([[1.0, 0.0], [0.0, 300.0]], dtype=np.float32)
    found = calibrate(logits, np.array([0, 1]))
    assert np.isfinite(found).all()
    assert found.argmax(axis=1).tolist() == [0, 1]


def test_drawn_truths_stand_in_the_proportion_of_the_probabilities() -> None:
    rng = np.random.default_rng(1)
    chances = rng.dirichlet([1.0, 1.0, 1.0], size=200)
    truths = draw_truths(chances)
    shares = np.stack([(truths == place).mean(axis=0) for place in range(3)], axis=1)
    assert np.abs(shares - chances).max() <= 1 / 32 + 1e-9
    assert np.abs(shares.mean(axis=0) - chances.mean(axis=0)).max() < 2e-3
    np.testing.assert_array_equal(truths, draw_truths(chances))


def test_so_many_rows_get_fewer_draws_each() -> None:
    chances = np.tile([0.25, 0.75], (100_000, 1))
    truths = draw_truths(chances)
    assert truths.shape == (20, 100_000)
    assert truths.mean() == pytest.approx(0.75, abs=1e-3)
    assert draw_truths(chances[:0]).shape == (32, 0)


def test_few_rows_leave_it_to_what_was_foreseen_and_many_to_what_was_counted() -> None:
    prior = 1 - 0.75 * 0.01
    few = shrink(Estimate(1.01, 0.05), 0.99, trials=50)
    many = shrink(Estimate(1.01, 0.0001), 0.99, trials=10**6)
    assert few.ratio == pytest.approx(prior, abs=2e-4)
    assert many.ratio == pytest.approx(1.01, abs=2e-4)
    assert few.error < 0.05
    assert many.error < 0.0001


def test_no_loss_among_few_rows_is_not_taken_for_certain() -> None:
    found = shrink(Estimate(1.0, 0.0), 0.90, trials=10)
    assert found.error > 0.03
    assert found.ratio < 0.97


def estimate_change(expr: str, changed: int, *, is_foreseen: bool = True) -> Estimate | None:
    logits, truth = draw_teacher(np.random.default_rng(2), 600)
    original = logits.argmax(axis=1)
    sure = np.argsort(-np.abs(logits[:, 0] - logits[:, 1]))
    answers = original.copy()
    answers[sure[:changed]] ^= 1
    truths = draw_truths(calibrate(logits, truth)) if is_foreseen else None
    floor = parse_floor(expr, LABELS)
    rows = {"truth": truth, "original": original, "candidate": answers}
    return estimate(floor, **rows, labels=LABELS, truths=truths)


@pytest.mark.parametrize("expr", ["accuracy>=99%", "macro_f1>=99%", "recall[bad]>=99%"])
def test_answers_of_which_the_original_was_sure_are_foreseen_to_be_lost(expr: str) -> None:
    counted = estimate_change(expr, 12, is_foreseen=False)
    found = estimate_change(expr, 12)
    assert counted is not None
    assert found is not None
    assert found.ratio < 0.99
    assert found.error < counted.error


@pytest.mark.parametrize("expr", ["accuracy>=0.8", "agreement>=99%", "flag_rate<=105%"])
def test_floors_that_the_truths_do_not_bear_on_are_counted(expr: str) -> None:
    assert not is_foreseeable(parse_floor(expr, LABELS))
    assert estimate_change(expr, 12) == estimate_change(expr, 12, is_foreseen=False)


def test_answers_that_are_the_originals_are_the_original() -> None:
    assert estimate_change("accuracy>=99%", 0) == Estimate(1.0, 0.0)


def test_the_estimate_lies_nearer_to_the_truth_than_counting_does() -> None:
    """Of noisy copies of a teacher, judged on 800 rows and again on 40,000 others."""
    rng = np.random.default_rng(3)
    floor, errors = parse_floor("accuracy>=99.5%", LABELS), []
    for _ in range(12):
        logits, truth = draw_teacher(rng, 40_800)
        dev, rest = slice(800), slice(800, None)
        original = logits.argmax(axis=1)
        truths = draw_truths(calibrate(logits[dev], truth[dev]))
        for noise in (0.2, 0.4, 0.8):
            answers = (logits + noise * rng.standard_normal(logits.shape)).argmax(axis=1)
            right = [float(np.mean(each[rest] == truth[rest])) for each in (answers, original)]
            rows = {"truth": truth[dev], "original": original[dev], "candidate": answers[dev]}
            both = [estimate(floor, **rows, labels=LABELS, truths=use) for use in (None, truths)]
            errors.append([each.ratio - right[0] / right[1] for each in both if each])
    counted, weighed = np.sqrt(np.mean(np.square(errors), axis=0))
    assert weighed < 0.75 * counted
