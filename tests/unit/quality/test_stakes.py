from __future__ import annotations

import numpy as np
import pytest

from thinfer.errors import UserError
from thinfer.quality import LabelSet, parse_floor
from thinfer.quality.paired import count_pairs
from thinfer.quality.stakes import (
    UNLABELLED,
    Populations,
    Stakes,
    check_auditable,
    count_labels,
    count_right,
    draw_rows,
    find_stakes,
    needs_no_labels,
)

LABELS = LabelSet(("normal", "spam", "abuse"), "normal")
FLOORS = ("flagged_recall>=99%", "accuracy>=99%", "recall[spam]>=99%")
RNG = np.random.default_rng(0)
TRUTH, ORIGINAL, CANDIDATE = (RNG.integers(0, 3, 300) for _ in range(3))
ALL = np.ones(300, dtype=np.bool_)


@pytest.mark.parametrize("expr", FLOORS)
def test_with_every_label_the_counts_are_those_of_the_paired_judgement(expr: str) -> None:
    floor = parse_floor(expr, LABELS)
    stakes = find_stakes(floor, ORIGINAL, CANDIDATE, LABELS)
    counts = count_labels(
        floor,
        Populations.count(stakes),
        answers=(ORIGINAL, CANDIDATE),
        truth=TRUTH,
        sampled=ALL,
        labels=LABELS,
    )
    rows = {"truth": TRUTH, "original": ORIGINAL, "candidate": CANDIDATE}
    pairs = count_pairs(floor, labels=LABELS, **rows)
    found = (counts.trials, counts.lost.found, counts.gained.found, counts.missing)
    assert found == (pairs.trials, pairs.losses, pairs.gains, 0)
    right, _ = count_right(floor, ORIGINAL, TRUTH, LABELS)
    assert right == pairs.trials


@pytest.mark.parametrize("expr", FLOORS)
def test_a_row_that_cannot_matter_never_does(expr: str) -> None:
    """Law: whatever the truth of a row without stakes is, the counts stay."""
    floor = parse_floor(expr, LABELS)
    stakes = find_stakes(floor, ORIGINAL, CANDIDATE, LABELS)
    idle = ~(stakes.changed | stakes.agreed)
    for truth in range(3):
        other = np.where(idle, truth, TRUTH)
        rows = {"original": ORIGINAL, "candidate": CANDIDATE}
        before = count_pairs(floor, truth=TRUTH, labels=LABELS, **rows)
        after = count_pairs(floor, truth=other, labels=LABELS, **rows)
        kept = ("trials", "losses", "gains")
        assert [getattr(before, each) for each in kept] == [getattr(after, each) for each in kept]


def test_missing_labels_are_counted_and_samples_are_those_of_the_floor() -> None:
    floor = parse_floor("flagged_recall>=99%", LABELS)
    original, candidate = np.asarray([1, 1, 0, 1, 1, 1]), np.asarray([0, 0, 2, 1, 2, 1])
    truth = np.asarray([1, UNLABELLED, 1, 1, 1, UNLABELLED])
    populations = Populations(rows=50, changed=3, may_lose=2, may_gain=1, agreed=30)
    counts = count_labels(
        floor,
        populations,
        answers=(original, candidate),
        truth=truth,
        sampled=np.asarray([False, False, False, True, False, True]),
        labels=LABELS,
    )
    assert (counts.lost.found, counts.lost.missing, counts.lost.asked) == (1, 1, 2)
    assert (counts.gained.found, counts.gained.missing) == (1, 0)
    assert (counts.kept.found, counts.kept.missing, counts.kept.asked) == (1, 1, 2)
    assert counts.kept.population == 30
    assert counts.missing == 2
    accuracy = count_labels(
        parse_floor("accuracy>=99%", LABELS),
        populations,
        answers=(original, candidate),
        truth=truth,
        sampled=np.asarray([False, False, False, True, False, True]),
        labels=LABELS,
    )
    assert (accuracy.lost.missing, accuracy.gained.missing, accuracy.missing) == (1, 1, 2)


def test_what_is_drawn_is_all_that_differs_and_a_sample_of_what_agrees() -> None:
    stakes = [
        find_stakes(parse_floor(expr, LABELS), ORIGINAL, CANDIDATE, LABELS) for expr in FLOORS
    ]
    draw = draw_rows(stakes, sample=10, most=None, rng=np.random.default_rng(1))
    changed = np.logical_or.reduce([part.changed for part in stakes])
    assert draw.changed == changed.sum()
    assert set(np.flatnonzero(changed)) <= set(draw.rows)
    assert len(set(draw.rows)) == len(draw.rows)
    assert list(draw.rows) != sorted(draw.rows)
    for part, sample in zip(stakes, draw.samples, strict=True):
        assert sample.sum() == 10
        assert part.agreed[draw.rows[sample]].all()
    again = draw_rows(stakes, sample=10, most=None, rng=np.random.default_rng(1))
    assert (again.rows == draw.rows).all()


def test_at_most_so_many_differing_rows_are_drawn_and_none_is_nothing() -> None:
    stakes = find_stakes(parse_floor(FLOORS[0], LABELS), ORIGINAL, CANDIDATE, LABELS)
    draw = draw_rows([stakes], sample=0, most=7, rng=np.random.default_rng(1))
    assert len(draw.rows) == 7
    assert stakes.changed[draw.rows].all()
    same = find_stakes(parse_floor(FLOORS[0], LABELS), ORIGINAL, ORIGINAL, LABELS)
    assert not len(draw_rows([same], sample=0, most=None, rng=np.random.default_rng(1)).rows)


def test_every_row_of_a_kind_is_drawn_equally_often() -> None:
    agreed = np.arange(40) % 2 == 0
    stakes = Stakes(may_lose=~agreed, may_gain=~ALL[:40], agreed=agreed)
    rng = np.random.default_rng(2)
    seen = np.zeros(40)
    for _ in range(2000):
        seen[draw_rows([stakes], sample=5, most=5, rng=rng).rows] += 1
    assert seen.min() > 400
    assert seen.max() < 600


@pytest.mark.parametrize(
    "expr",
    [
        "macro_f1>=99%",
        "recall>=99%",
        "precision[spam]>=99%",
        "accuracy>=0.9",
        "flagged_recall>=0.9",
    ],
)
def test_floors_that_need_the_truth_of_other_rows_are_refused(expr: str) -> None:
    with pytest.raises(UserError, match="cannot be audited"):
        check_auditable(parse_floor(expr, LABELS))


@pytest.mark.parametrize("expr", [*FLOORS, "flag_rate<=105%", "flag_rate<=0.2", "agreement>=0.99"])
def test_floors_that_can_be_audited_pass(expr: str) -> None:
    floor = parse_floor(expr, LABELS)
    check_auditable(floor)
    assert needs_no_labels(floor) == expr.startswith(("flag_rate", "agreement"))
