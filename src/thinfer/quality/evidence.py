"""`Evidence`: how far the data bounds what a floor is about, by the rule that suits the metric."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from thinfer.quality.floor import Floor
from thinfer.quality.intervals import clopper_pearson_lower, clopper_pearson_upper
from thinfer.quality.paired import PairedCounts, bound_growth, bound_loss
from thinfer.quality.resampled import PairCells

__all__ = [
    "ROUNDING",
    "Answer",
    "Evidence",
    "count_rows_needed",
    "count_trials_needed",
    "explain_missing",
    "is_rate",
    "settle",
    "weigh_rate",
    "weigh_resampled",
    "weigh_share",
]

Answer = Literal["holds", "unproven", "broken"]

ROUNDING = 1e-9  # 1 - 0.995 is not 0.005 to the last bit; no count is so near a floor
_MOST_ROWS = 10**9
_ONE_SIDED = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What the data shows, on the scale of the floor's bound.

    Attributes:
        original: the original's value of the metric.
        value: the candidate's.
        ratio: what the bound is compared with: the value, or its share of the original's.
        low: lower bound of the ratio, 95 % one-sided.
        high: upper bound, likewise.
        scale: brings the ratio to the scale of the metric.
        counts: what was lost and gained.
        bound_at: the bound that matters for the floor, for a sample so many times larger with
            the same rates.
    """

    original: float
    value: float
    ratio: float
    low: float
    high: float
    scale: float
    counts: PairedCounts
    bound_at: Callable[[float], float]


def is_rate(floor: Floor) -> bool:
    """Say whether the metric is a share of rows, judged without resampling."""
    if floor.metric == "precision":
        return not floor.relative  # the rows are the candidate's answers: a plain rate of them
    return floor.metric != "macro_f1" and (floor.metric != "recall" or floor.label is not None)


def explain_missing(floor: Floor, counts: PairedCounts) -> str | None:
    """Give the reason why these rows cannot show the metric; absent where they can."""
    if counts.rows == 0:
        return "no row of this data shows the metric"
    if floor.relative and counts.trials == 0:
        return "the original's value is 0, and a share of 0 says nothing; use an absolute floor"
    return None


def settle(floor: Floor, evidence: Evidence) -> Answer:
    """Give what the data says: the floor is proven, not proven, or the value lies below it.

    Args:
        floor: the demand.
        evidence: weighed for this floor.
    """
    sign = 1 if floor.direction == ">=" else -1
    nearest = evidence.low if sign > 0 else evidence.high
    if sign * (evidence.ratio - floor.bound) < -ROUNDING:
        return "broken"
    return "holds" if sign * (nearest - floor.bound) >= -ROUNDING else "unproven"


def count_rows_needed(floor: Floor, evidence: Evidence, rows: int) -> int | None:
    """Find the smallest larger test set, of the same rates, whose bound clears the floor.

    Args:
        floor: the demand.
        evidence: weighed for this floor; it does not prove it.
        rows: of the whole test set, at least 1.

    Returns:
        Rows of a whole test set; None where a thousand million would not do.
    """
    sign = 1 if floor.direction == ">=" else -1

    def is_enough(total: int) -> bool:
        return sign * (evidence.bound_at(total / rows) - floor.bound) >= -ROUNDING

    low, high = rows, rows + 1
    while not is_enough(high):
        # A small step, because the bound is not monotone where the exact rule hands over.
        low, high = high, high + max(1, high // 50)
        if high > _MOST_ROWS:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if is_enough(middle) else (middle, high)
    return high


def count_trials_needed(share: float) -> int | None:
    """Give the least T that proves a share without one loss: 598 for 99.5 %.

    Args:
        share: above 0.

    Returns:
        None where no number does, from 1 on. Note: (1 - m)^T ≤ 0.05 with m = 1 - share.
    """
    allowed = 1.0 - share
    if allowed <= ROUNDING:
        return None
    if allowed >= 1.0:
        return 1
    count = max(1, math.ceil(math.log(_ONE_SIDED) / math.log1p(-allowed) - ROUNDING))
    return count if bound_loss(0, 0, count) <= allowed + ROUNDING else count + 1


def weigh_share(floor: Floor, counts: PairedCounts) -> Evidence:
    """Weigh a rate against the original's, row by row.

    Args:
        floor: relative.
        counts: at least one trial.
    """
    lost, gained, trials = counts.losses, counts.gains, counts.trials

    def bound_low(size: float) -> float:
        return 1 - bound_loss(lost * size, gained * size, _whole(trials * size))

    def bound_high(size: float) -> float:
        return 1 + bound_growth(gained * size, lost * size, _whole(trials * size))

    original = trials / counts.rows
    return Evidence(
        original=original,
        value=counts.kept / counts.rows,
        ratio=counts.kept / trials,
        low=bound_low(1.0),
        high=bound_high(1.0),
        scale=original,
        counts=counts,
        bound_at=bound_low if floor.direction == ">=" else bound_high,
    )


def weigh_rate(floor: Floor, counts: PairedCounts) -> Evidence:
    """Weigh a rate against a fixed bound; the original plays no part.

    Args:
        floor: absolute.
        counts: at least one row.
    """
    kept, rows = counts.kept, counts.rows

    def bound_low(size: float) -> float:
        return 1 - clopper_pearson_upper((rows - kept) * size, _whole(rows * size))

    def bound_high(size: float) -> float:
        return clopper_pearson_upper(kept * size, _whole(rows * size))

    return Evidence(
        original=counts.trials / rows,
        value=kept / rows,
        ratio=kept / rows,
        low=bound_low(1.0),
        high=bound_high(1.0),
        scale=1.0,
        counts=counts,
        bound_at=bound_low if floor.direction == ">=" else bound_high,
    )


def weigh_resampled(
    floor: Floor, cells: PairCells, counts: PairedCounts, rng: np.random.Generator
) -> Evidence:
    """Weigh a metric that is not one rate, by resampling rows in pairs.

    Args:
        floor: on a macro metric or relative precision.
        cells: the rows.
        counts: right answers on the rows that matter; neither bound is ever nearer to the ratio
            than theirs.
        rng: where chance comes from.
    """
    low, high = cells.interval(rng)
    original, ratio = float(cells.original_value()), float(cells.ratio())
    if floor.relative:
        lost, gained, trials = counts.losses, counts.gains, counts.trials
        below = bound_loss(lost, gained, trials) - (lost - gained) / trials
        above = bound_growth(gained, lost, trials) - (gained - lost) / trials
    else:
        rate = counts.kept / counts.rows
        below = rate - clopper_pearson_lower(counts.kept, counts.rows)
        above = clopper_pearson_upper(counts.kept, counts.rows) - rate
    low = min(low, ratio - below)
    # Of a class with a handful of rows resampling says too little upwards.
    room = cells.rare_room() / (original if floor.relative and original > 0 else 1.0)
    high = max(high, ratio + above, 2 * ratio - low) + room

    def bound_low(size: float) -> float:
        return ratio - (ratio - low) / math.sqrt(size)

    return Evidence(
        original=original,
        value=float(cells.candidate_value()),
        ratio=ratio,
        low=low,
        high=high,
        scale=original if floor.relative else 1.0,
        counts=counts,
        bound_at=bound_low,
    )


def _whole(count: float) -> int:
    """Round down to rows that are surely there; the last bits of a product are forgiven."""
    return math.floor(count + 1e-6)
