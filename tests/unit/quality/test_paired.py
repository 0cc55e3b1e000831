from __future__ import annotations

import math

import numpy as np
import pytest

from thinfer.quality import LabelSet, parse_floor
from thinfer.quality.paired import Z_ONE_SIDED, bound_growth, bound_loss, count_pairs

LABELS = LabelSet(("normal", "spam", "abuse"), "normal")
TRUTH = np.asarray([0, 0, 0, 1, 1, 1, 2, 2])
ORIGINAL = np.asarray([0, 0, 1, 1, 1, 0, 2, 1])
CANDIDATE = np.asarray([0, 1, 0, 1, 2, 1, 2, 0])


@pytest.mark.parametrize(
    ("expr", "rows", "trials", "losses", "gains"),
    [
        ("accuracy>=99%", 8, 5, 2, 2),
        ("macro_f1>=99%", 8, 5, 2, 2),
        ("recall[spam]>=99%", 3, 2, 1, 1),
        ("precision[spam]>=99%", 6, 3, 2, 2),
        ("precision[spam]>=0.9", 3, 2, 1, 1),
        ("flagged_recall>=99%", 5, 4, 1, 1),
        ("flag_rate<=105%", 8, 5, 2, 2),
        ("agreement>=99%", 8, 8, 5, 0),
    ],
)
def test_counts_by_hand(expr: str, rows: int, trials: int, losses: int, gains: int) -> None:
    counts = count_pairs(
        parse_floor(expr, LABELS),
        truth=TRUTH,
        original=ORIGINAL,
        candidate=CANDIDATE,
        labels=LABELS,
    )
    found = (counts.rows, counts.trials, counts.losses, counts.gains)
    assert found == (rows, trials, losses, gains)


@pytest.mark.parametrize(("b", "c", "trials"), [(20, 0, 5000), (60, 45, 9000), (12, 70, 400)])
def test_bound_loss_solves_its_formula(b: int, c: int, trials: int) -> None:
    lost = bound_loss(b, c, trials) * trials
    assert b - c + 0.5 + Z_ONE_SIDED * math.sqrt(lost + 2 * c) == pytest.approx(lost)
    # Never kinder than the same formula with the variance that is seen.
    assert lost >= b - c + Z_ONE_SIDED * math.sqrt(b + c)


@pytest.mark.parametrize(("added", "removed", "trials"), [(25, 3, 700), (300, 310, 9000)])
def test_bound_growth_solves_its_formula(added: int, removed: int, trials: int) -> None:
    growth = bound_growth(added, removed, trials)
    spread = math.sqrt((1 + growth) * (growth * trials + 2 * removed))
    assert added - removed + 0.5 + Z_ONE_SIDED * spread == pytest.approx(growth * trials)


def test_bounds_rise_with_losses_and_fall_with_rows() -> None:
    assert bound_loss(3, 1, 1000) < bound_loss(4, 1, 1000) < bound_loss(4, 1, 900)
    assert bound_growth(3, 1, 1000) < bound_growth(4, 1, 1000) < bound_growth(4, 1, 900)
    assert bound_growth(30, 0, 2) == math.inf


def test_gains_do_not_help_where_few_rows_change() -> None:
    assert bound_loss(3, 0, 1000) == bound_loss(3, 16, 1000)
