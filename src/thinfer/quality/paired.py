"""Paired counts of two models on the same rows, and the bounds that follow from them.

Writing `m` for the share that may be lost, `T` for the rows that the original had, `b` for
those that the candidate lost and `c` for those it gained, the loss is proven to be at most
`m·T` when

    b − c + ½ + 1.645·√(m·T + 2c) ≤ m·T,        or, where b + c < 20,
    the Clopper–Pearson upper bound of b in T ≤ m.

`m·T + 2c` is the variance that `b − c` has at the floor itself. Taking `b + c`, which is seen,
in its place makes up to 8.7 % false proofs where few rows are gained: a candidate that was
lucky to lose few rows would be rewarded with a narrow interval too. The half row is the
correction for counts being whole numbers. tests/law/test_false_holds.py sums the exact
chances.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from thinfer.quality.floor import Floor
from thinfer.quality.intervals import clopper_pearson_upper
from thinfer.quality.labels import LabelSet

__all__ = ["PairedCounts", "bound_growth", "bound_loss", "count_pairs"]

Z_ONE_SIDED = 1.6448536269514722  # normal quantile at 95 %
FEW = 20  # below so many changed rows the normal approximation is not used


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedCounts:
    """How two models differ on the rows that a rate is about.

    Attributes:
        rows: rows that the rate is a share of.
        trials: T, those that the original had.
        losses: b, those that the original had and the candidate has not.
        gains: c, those that the candidate has and the original had not.
    """

    rows: int
    trials: int
    losses: int
    gains: int

    @property
    def kept(self) -> int:
        """Rows that the candidate has."""
        return self.trials - self.losses + self.gains

    @property
    def retention_se(self) -> float:
        """Standard error of the kept share of the original, 1 - (b - c)/T."""
        net, changed = self.losses - self.gains, self.losses + self.gains
        return math.sqrt(max(0.0, changed - net * net / self.trials)) / self.trials


def count_pairs(
    floor: Floor,
    *,
    truth: NDArray[np.int64],
    original: NDArray[np.int64],
    candidate: NDArray[np.int64],
    labels: LabelSet,
) -> PairedCounts:
    """Count what the candidate lost and gained on the metric of a floor.

    Metrics that are not one rate (macro metrics, relative precision) are counted as right
    answers: on all rows, or for precision on the rows where either model answers the label.
    Absolute precision is a rate of the rows where the candidate does.

    Args:
        floor: names the metric.
        truth: int64 `[rows]`, classes, or sets of labels of a multi-label model.
        original: int64 `[rows]`, its answers, likewise.
        candidate: int64 `[rows]`, its answers, likewise.
        labels: the classes.
    """
    rows = np.ones(len(truth), dtype=np.bool_)
    had, has = original == truth, candidate == truth
    if floor.metric == "agreement":
        had, has = rows, candidate == original
    elif floor.metric in ("flag_rate", "flagged_recall"):
        had, has = labels.is_flagged(original), labels.is_flagged(candidate)
        rows = labels.is_flagged(truth) if floor.metric == "flagged_recall" else rows
    elif floor.label is not None:
        place = labels.index(floor.label)
        is_true, was, now = (
            labels.members(each)[:, place] for each in (truth, original, candidate)
        )
        if labels.is_multi_label:  # of a set of labels only this one counts
            had, has = was == is_true, now == is_true
        rows = is_true if floor.metric == "recall" else now | (floor.relative & was)
    return PairedCounts(
        rows=int(rows.sum()),
        trials=int((rows & had).sum()),
        losses=int((rows & had & ~has).sum()),
        gains=int((rows & has & ~had).sum()),
    )


def bound_loss(losses: float, gains: float, trials: float, confidence: float = 0.95) -> float:
    """Give the upper bound (one-sided) of the share of T that is lost on balance.

    Args:
        losses: b; a fraction is allowed, for asking what a larger sample would show.
        gains: c.
        trials: T, above 0.
        confidence: chance that the bound is above the true share, at least.

    Returns:
        The smallest m that these counts prove. Note: solving the formula of this module for
        m·T with y = √(m·T + 2c) is y² − 1.645·y − (b + c + ½) = 0.
    """
    if losses + gains < FEW:
        return clopper_pearson_upper(losses, trials, confidence)
    z = _find_quantile(confidence)
    root = (z + math.sqrt(z * z + 4 * (losses + gains + 0.5))) / 2
    return (root * root - 2 * gains) / trials


def bound_growth(added: float, removed: float, trials: float, confidence: float = 0.95) -> float:
    """Give the upper bound (one-sided) of the growth of a count, as a share of T.

    The added rows are not among the T, so that T is chance as well: the variance at the floor
    is (1 + m)·(m·T + 2·removed), and few rows are judged given `added + T`, which is exact for
    the ratio of two counts.

    Args:
        added: rows that the candidate counts and the original does not.
        removed: rows that the original counts and the candidate does not.
        trials: T, rows that the original counts, above 0.
        confidence: chance that the bound is above the true share, at least.

    Returns:
        The smallest m that these counts prove; infinite where T is too small for any.
    """
    if added + removed < FEW:
        share = clopper_pearson_upper(added, added + trials, confidence)
        return share / (1 - share) if share < 1 else math.inf
    square, net = _find_quantile(confidence) ** 2, added - removed + 0.5
    first = 1 - square / trials
    if first <= 0:
        return math.inf
    second = 2 * net + square * (1 + 2 * removed / trials)
    third = net * net - 2 * removed * square
    return (second + math.sqrt(second * second - 4 * first * third)) / (2 * first * trials)


def _find_quantile(confidence: float) -> float:
    return Z_ONE_SIDED if confidence == 0.95 else NormalDist().inv_cdf(confidence)
