"""Each class by itself: counts by hand, agreement with `judge`, and what is too rare."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from thinfer.errors import DataError
from thinfer.quality import LabelSet, judge, parse_floor
from thinfer.quality.breakdown import (
    ClassLine,
    break_down,
    strictest_share,
)
from thinfer.quality.evidence import count_trials_needed
from thinfer.quality.intervals import clopper_pearson_lower, clopper_pearson_upper
from thinfer.quality.paired import bound_loss

LABELS = LabelSet(("normal", "spam", "abuse"), normal="normal")
Codes = NDArray[np.int64]


def lines_of(
    truth: list[int] | Codes,
    original: list[int] | Codes,
    candidate: list[int] | Codes,
    *exprs: str,
    labels: LabelSet = LABELS,
    slices: dict[str, NDArray[np.bool_]] | None = None,
) -> dict[tuple[str | None, str | None], ClassLine]:
    found = break_down(
        truth=np.asarray(truth, dtype=np.int64),
        original=np.asarray(original, dtype=np.int64),
        candidate=np.asarray(candidate, dtype=np.int64),
        labels=labels,
        floors=[parse_floor(expr, labels) for expr in exprs],
        slices=slices,
    )
    return {(line.slice, line.label): line for line in found}


#          0  1  2  3  4  5  6  7
TRUTH = [0, 0, 1, 1, 1, 1, 2, 2]
BEFORE = [0, 1, 1, 1, 1, 0, 2, 0]
AFTER = [0, 0, 1, 1, 2, 1, 2, 0]


def test_a_case_counted_by_hand() -> None:
    lines = lines_of(TRUTH, BEFORE, AFTER)
    spam = lines[None, "spam"]
    assert (spam.rows, spam.trials, spam.losses, spam.gains) == (4, 3, 1, 1)
    assert spam.retention == 1.0
    assert spam.metric == "recall[spam]"
    assert (spam.original.recall, spam.candidate.recall) == (0.75, 0.75)
    assert (spam.original.precision, spam.candidate.precision) == (0.75, 1.0)
    whole = lines[None, None]
    assert (whole.metric, whole.rows, whole.trials) == ("accuracy", 8, 5)
    assert (whole.losses, whole.gains) == (1, 2)
    assert whole.original.precision is None
    flagged = lines[None, "flagged"]  # row 4 stays flagged, although its label changed
    assert (flagged.metric, flagged.rows) == ("flagged_recall", 6)
    assert (flagged.trials, flagged.losses, flagged.gains) == (4, 0, 1)
    assert (flagged.original.precision, flagged.candidate.precision) == (0.8, 1.0)


def test_slices_and_labels_within_them() -> None:
    inside = np.arange(8) < 4
    lines = lines_of(
        TRUTH, BEFORE, AFTER, slices={"source=a": inside, "empty": np.zeros(8, dtype=np.bool_)}
    )
    assert len(lines) == 3 * (2 + len(LABELS))
    assert lines["source=a", None].rows == 4
    assert lines["source=a", None].gains == 1
    assert (lines["source=a", "spam"].rows, lines["source=a", "spam"].losses) == (2, 0)
    assert lines["source=a", "spam"].original.precision == pytest.approx(2 / 3)
    empty = lines["empty", "spam"]
    assert (empty.rows, empty.retention, empty.interval, empty.rows_needed) == (0, None, None, None)
    assert (empty.original.recall, empty.original.precision) == (None, None)
    assert empty.too_rare == "no row of this test set is of this class"


def test_without_a_normal_label_nothing_is_flagged() -> None:
    lines = lines_of(TRUTH, BEFORE, AFTER, labels=LabelSet(LABELS.names))
    assert [label for _, label in lines] == [None, "normal", "spam", "abuse"]


def test_one_row_is_a_test_set() -> None:
    (spam,) = (line for key, line in lines_of([1], [1], [1]).items() if key == (None, "spam"))
    assert (spam.trials, spam.retention, spam.verdict) == (1, 1.0, "unproven")
    assert spam.interval == pytest.approx((0.05, 1.0))
    assert (spam.rows_needed, spam.rows_at_best) == (598, 598)
    assert "cannot prove 99.5 %: it takes 598 of them, about 598 rows" in (spam.too_rare or "")


def test_what_the_original_never_finds_says_nothing() -> None:
    spam = lines_of([1, 1, 0], [0, 0, 0], [1, 0, 0])[None, "spam"]
    assert (spam.trials, spam.gains, spam.retention) == (0, 1, None)
    assert "none of its 2 rows" in (spam.too_rare or "")


def test_a_rare_class_that_lost_some_is_told_the_rows_at_best() -> None:
    truth = np.repeat([1, 0], [100, 900])
    spam = lines_of(truth, truth, np.where(np.arange(1000) < 2, 0, truth))[None, "spam"]
    assert (spam.verdict, spam.rows_needed, spam.rows_at_best) == ("broken", None, 5980)
    assert "598 of them, about 5,980 rows" in (spam.too_rare or "")


def test_all_lost_is_below_and_no_number_of_rows_helps() -> None:
    spam = lines_of([1] * 700, [1] * 700, [0] * 700)[None, "spam"]
    assert (spam.retention, spam.verdict, spam.rows_needed) == (0.0, "broken", None)
    assert spam.too_rare is None  # 700 would have been enough
    assert spam.interval == pytest.approx((0.0, 0.0), abs=0.01)


def draw(seed: int, rows: int, changed: float) -> tuple[Codes, Codes, Codes]:
    rng = np.random.default_rng(seed)
    truth = rng.choice(3, size=rows, p=[0.8, 0.15, 0.05])
    original = np.where(rng.random(rows) < 0.95, truth, rng.integers(0, 3, rows))
    candidate = np.where(rng.random(rows) < changed, rng.integers(0, 3, rows), original)
    return truth, original, candidate


@pytest.mark.parametrize("changed", [0.0, 0.002, 0.03])
@pytest.mark.parametrize("rows", [300, 5_000])
def test_a_line_says_what_judge_says_of_the_same_rate(rows: int, changed: float) -> None:
    truth, original, candidate = draw(1, rows, changed)
    exprs = [f"recall[{name}]>=99%" for name in LABELS.names]
    exprs += ["flagged_recall>=99.5%", "accuracy>=98%"]
    lines = {line.metric: line for line in lines_of(truth, original, candidate, *exprs).values()}
    for expr in exprs:
        verdict = judge(
            parse_floor(expr, LABELS),
            truth=truth,
            original=original,
            candidate=candidate,
            labels=LABELS,
            rng=np.random.default_rng(0),
        )
        line = lines[expr.split(">=")[0]]
        assert line.is_promised
        assert (line.verdict, line.rows_needed) == (verdict.verdict, verdict.rows_needed)
        assert (line.trials, line.losses, line.gains) == (
            verdict.trials,
            verdict.losses,
            verdict.gains,
        )
        assert line.interval is not None
        assert line.interval[0] * verdict.original == pytest.approx(verdict.interval[0])
        assert line.interval[1] * verdict.original == pytest.approx(verdict.interval[1])


def test_the_rows_that_are_needed_are_enough_and_one_fewer_is_not() -> None:
    truth = np.repeat([1, 0], [100, 900])
    spam = lines_of(truth, truth, truth, "accuracy>=99%")[None, "spam"]
    assert spam.share == 0.99
    assert not spam.is_promised
    assert (spam.trials_needed, spam.rows_needed) == (299, 2990)
    for rows, answer in ((2990, "holds"), (2980, "unproven")):
        more = np.repeat([1, 0], [rows // 10, rows - rows // 10])
        assert lines_of(more, more, more, "accuracy>=99%")[None, "spam"].verdict == answer


def test_intervals_of_recall_and_precision_are_the_exact_bounds() -> None:
    spam = lines_of(TRUTH, BEFORE, AFTER)[None, "spam"]
    bounds = (clopper_pearson_lower(3, 4), clopper_pearson_upper(3, 4))
    assert spam.original.recall_interval == bounds
    assert spam.original.precision_interval == bounds


@pytest.mark.parametrize(
    ("share", "least"), [(0.995, 598), (0.99, 299), (0.95, 59), (0.5, 5), (1.0, None), (1.01, None)]
)
def test_the_least_rows_that_prove_a_share_without_one_loss(
    share: float, least: int | None
) -> None:
    assert count_trials_needed(share) == least
    if least is not None:
        assert bound_loss(0, 0, least) <= 1 - share + 1e-9 < bound_loss(0, 0, least - 1)


def test_the_strictest_floor_is_asked_of_every_class() -> None:
    def share(*exprs: str) -> float:
        return strictest_share([parse_floor(expr, LABELS) for expr in exprs])

    assert share() == 0.995
    assert share("accuracy>=0.9", "flag_rate<=105%", "agreement>=99.9%") == 0.995
    assert share("accuracy>=98%", "recall[spam]>=99%") == 0.99
    lines = lines_of(TRUTH, BEFORE, AFTER, "accuracy>=98%", "recall[spam]>=99%")
    assert (lines[None, "abuse"].share, lines[None, None].share) == (0.99, 0.98)


def test_a_share_that_nothing_proves_is_not_called_rare() -> None:
    truth = np.repeat([1, 0], [100, 900])
    spam = lines_of(truth, truth, truth, "accuracy>=100%")[None, "spam"]
    assert (spam.verdict, spam.rows_needed, spam.too_rare) == ("unproven", None, None)


@pytest.mark.parametrize("slices", [{"a": np.ones(3, dtype=np.bool_)}, None])
def test_rows_that_do_not_fit_are_refused(slices: dict[str, NDArray[np.bool_]] | None) -> None:
    truth = [0, 1] if slices else [0, 1, 1]
    with pytest.raises(DataError, match="do not fit together"):
        lines_of(truth, [0, 1], [0, 1], slices=slices)
    with pytest.raises(DataError, match="do not fit together"):
        lines_of([], [], [])


def test_hundreds_of_rare_classes_take_no_time() -> None:
    labels = LabelSet(tuple(f"c{place}" for place in range(300)))
    truth = np.arange(600) % 300
    candidate = truth.copy()
    candidate[::7] = 0
    lines = lines_of(truth, truth, candidate, labels=labels)
    assert sum(line.too_rare is not None for line in lines.values()) == 300
