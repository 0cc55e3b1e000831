"""The walk over thresholds: where it ends on scores whose right answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from thinfer.errors import DataError
from thinfer.quality.floor import Floor, parse_floor
from thinfer.quality.labels import LabelSet
from thinfer.quality.threshold import (
    CascadeRows,
    choose_threshold,
    judge_threshold,
    list_steps,
)
from thinfer.quality.verdict import overall

LABELS = LabelSet(("a", "b"))


def floors(*exprs: str) -> list[Floor]:
    return [parse_floor(expr, LABELS) for expr in exprs]


def rows_where(wrong: NDArray[np.bool_]) -> CascadeRows:
    """The big model is always right; the small one errs where told; scores fall from 1 to ½."""
    truth = np.arange(len(wrong)) % 2
    return CascadeRows(
        truth=truth,
        small=np.where(wrong, 1 - truth, truth),
        big=truth,
        scores=np.linspace(1.0, 0.5, len(wrong)),
    )


def test_the_walk_ends_where_the_small_model_begins_to_err() -> None:
    wrong = np.arange(2000) >= 1000
    choice = choose_threshold(floors("accuracy>=99%"), rows_where(wrong), labels=LABELS, seed=0)
    assert choice.cloud_share == 0.5
    assert choice.threshold == pytest.approx(0.75, abs=1e-3)
    assert [verdict.verdict for verdict in choice.verdicts] == ["holds"]
    assert choice.stopped_share == pytest.approx(0.49)
    assert overall(choice.stopped_verdicts) != "holds"


def test_a_small_model_that_never_errs_answers_everything() -> None:
    rows = rows_where(np.zeros(2000, dtype=np.bool_))
    choice = choose_threshold(floors("accuracy>=99%"), rows, labels=LABELS, seed=0)
    assert (choice.threshold, choice.cloud_share, choice.stopped) == (0.0, 0.0, None)
    assert not rows.goes_on(0.0).any()


def test_one_that_errs_where_it_is_surest_answers_nothing() -> None:
    rows = rows_where(np.arange(2000) < 400)
    choice = choose_threshold(floors("accuracy>=99%"), rows, labels=LABELS, seed=0)
    assert (choice.threshold, choice.cloud_share) == (None, 1.0)
    assert choice.stopped_share == pytest.approx(0.99)


def test_good_answers_behind_bad_ones_are_not_looked_for() -> None:
    """40 losses of 4,000 could be proven again at the far end; the order was fixed beforehand."""
    wrong = (np.arange(4000) >= 400) & (np.arange(4000) < 500)
    rows = rows_where(wrong)
    rows = CascadeRows(
        truth=rows.truth,
        small=rows.small,
        big=np.where(np.arange(4000) >= 3800, 1 - rows.truth, rows.truth),  # gains at the end
        scores=rows.scores,
    )
    choice = choose_threshold(floors("accuracy>=99%"), rows, labels=LABELS, seed=0)
    assert 0.88 <= choice.cloud_share <= 0.9
    last = judge_threshold(floors("accuracy>=99%"), rows, 0.0, labels=LABELS, seed=0)
    assert overall(last) == "holds"


def test_too_few_rows_prove_nothing_even_where_everything_goes_on() -> None:
    rows = rows_where(np.zeros(100, dtype=np.bool_))
    choice = choose_threshold(floors("accuracy>=99.5%"), rows, labels=LABELS, seed=0)
    assert choice.threshold is None
    assert choice.stopped_share == 1.0
    (verdict,) = choice.stopped_verdicts
    assert verdict.verdict == "unproven"
    assert verdict.rows_needed is not None


def test_a_fixed_floor_that_the_big_model_itself_breaks_holds_under_no_threshold() -> None:
    truth = np.arange(1000) % 2
    half = np.where(np.arange(1000) < 500, truth, 1 - truth)
    scores = np.linspace(1.0, 0.5, 1000)
    rows = CascadeRows(truth=truth, small=half, big=half, scores=scores)
    choice = choose_threshold(floors("accuracy>=0.9"), rows, labels=LABELS, seed=0)
    assert choice.threshold is None
    assert overall(choice.verdicts) == "broken"


def test_every_floor_must_hold() -> None:
    """The small model loses one class only: a mean over both hides some of it."""
    truth = np.arange(4000) % 2
    wrong = (np.arange(4000) >= 2000) & (truth == 1)
    rows = CascadeRows(
        truth=truth,
        small=np.where(wrong, 0, truth),
        big=truth,
        scores=np.linspace(1.0, 0.5, 4000),
    )
    loose = choose_threshold(floors("accuracy>=95%"), rows, labels=LABELS, seed=0)
    both = choose_threshold(floors("accuracy>=95%", "recall[b]>=99%"), rows, labels=LABELS, seed=0)
    assert both.cloud_share > loose.cloud_share
    assert {verdict.verdict for verdict in both.verdicts} == {"holds"}


SCORES = st.lists(st.sampled_from([0.5, 0.6, 0.61, 0.75, 0.9, 1.0]), min_size=1, max_size=300)


@given(SCORES)
def test_fewer_texts_go_on_at_each_step(values: list[float]) -> None:
    scores = np.asarray(values)
    steps = list_steps(scores)
    assert steps == sorted(steps, reverse=True)
    assert steps[-1] == 0.0
    shares = [float((scores < step).mean()) for step in steps]
    assert shares == sorted(shares, reverse=True)
    assert shares[-1] == 0.0
    assert not set(steps[:-1]) & set(values)  # never on a score itself


def test_what_does_not_fit_together_is_refused() -> None:
    classes, scores = np.zeros(3, dtype=np.int64), np.zeros(3)
    with pytest.raises(DataError, match="fit together"):
        CascadeRows(truth=classes, small=classes[:2], big=classes, scores=scores)
    with pytest.raises(DataError, match="fit together"):
        CascadeRows(truth=classes[:0], small=classes[:0], big=classes[:0], scores=scores[:0])
    with pytest.raises(DataError, match="row 1"):
        CascadeRows(
            truth=classes, small=classes, big=classes, scores=np.asarray([0.5, np.nan, 0.5])
        )


def test_of_drawn_sets_at_most_one_in_twenty_chooses_a_threshold_below_the_floor() -> None:
    """The truth is known here: a small model whose errors grow as its score falls."""
    rng = np.random.default_rng(5)
    (floor,) = floors("accuracy>=98%")
    runs, false = 60, 0
    for _ in range(runs):
        scores = rng.uniform(0.5, 1.0, size=1500)
        truth = rng.integers(0, 2, size=1500)
        wrong = rng.random(1500) < (1.0 - scores) ** 2  # at score s
        rows = CascadeRows(
            truth=truth, small=np.where(wrong, 1 - truth, truth), big=truth, scores=scores
        )
        choice = choose_threshold([floor], rows, labels=LABELS, seed=0)
        least = 1.0 if choice.threshold is None else max(0.5, choice.threshold)
        lost = 2 * (1.0 - least) ** 3 / 3  # ∫ (1 - s)² over the scores kept, density 2
        false += lost > 0.02
    assert false <= 0.05 * runs + 3  # 1.8 standard errors
