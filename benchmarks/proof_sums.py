"""Exact chances of a verdict, summed over all outcomes of a test set; nothing is simulated.

A candidate loses each of the T rows that the original had with one chance, and gains each of the
other rows with another. Whether an outcome holds is asked of `quality.paired.bound_loss`, whether
`dev` would choose it of `quality.verdict.margin_cleared`: both for all losses of one number of
gains at once, by halving, for more losses never help.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from thinfer.quality import LabelSet, margin_cleared, parse_floor
from thinfer.quality.paired import FEW, bound_growth, bound_loss

__all__ = [
    "Change",
    "chance_of_clearing",
    "chance_of_covering",
    "chance_of_holding",
    "choose_and_judge",
    "make_rows",
    "sum_binomial",
]

Values = NDArray[np.float64]
Classes = NDArray[np.int64]
ROUNDING = 1e-9  # as verdicts forgive
_REACH = 9  # standard deviations; what lies beyond is less than 1e-15


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """How a candidate differs from its original on a test set.

    Attributes:
        trials: T, rows that the original had.
        others: rows of the metric that it had not.
        lost: share of T that is lost, on average.
        gained: rows gained, on average, as a share of T.
    """

    trials: int
    others: int
    lost: float
    gained: float

    @classmethod
    def at(cls, trials: int, *, net: float, changed: float, others: int) -> Change:
        """Give the candidate of a net loss and of a discordance, both as shares of T.

        Args:
            trials: T.
            net: losses less gains.
            changed: losses and gains, at least `net`.
            others: rows that the original had not.
        """
        gained = (changed - net) / 2
        return cls(trials=trials, others=others, lost=(changed + net) / 2, gained=gained)

    def losses(self) -> tuple[int, Values]:
        """Give the chances of each number of losses, from the first that matters."""
        return sum_binomial(self.trials, self.lost)

    def gains(self) -> tuple[int, Values]:
        """Give the chances of each number of gains, from the first that matters."""
        return sum_binomial(self.others, self.gained * self.trials / max(1, self.others))


def sum_binomial(trials: int, rate: float) -> tuple[int, Values]:
    """Give the chances of the counts that are not out of reach.

    Args:
        trials: rows.
        rate: 0 … 1.

    Returns:
        The first count, and float64 `[counts]`.
    """
    if trials == 0 or rate <= 0:
        return 0, np.ones(1)
    reach = _REACH * math.sqrt(trials * rate) + 20
    first, last = max(0, int(trials * rate - reach)), min(trials, int(trials * rate + reach))
    logs = [
        math.lgamma(trials + 1)
        - math.lgamma(count + 1)
        - math.lgamma(trials - count + 1)
        + count * math.log(rate)
        + (trials - count) * math.log1p(-rate)
        for count in range(first, last + 1)
    ]
    return first, np.exp(np.asarray(logs))


def chance_of_holding(change: Change, allowed: float) -> float:
    """Give the chance that the verdict is `holds`.

    Args:
        change: the candidate.
        allowed: m, the share of T that the floor lets go.
    """
    trials = change.trials

    def holds(losses: int, gains: int) -> bool:
        return bound_loss(losses, gains, trials) <= allowed + ROUNDING

    few = _count_true(lambda losses: holds(losses, 0), 0, FEW)  # gains play no part there

    def count(gains: int) -> tuple[int, int]:
        edge = max(0, FEW - gains)
        most = max(edge, min(trials, gains + int(allowed * trials) + 1))
        return min(few, edge), _count_true(lambda losses: holds(losses, gains), edge, most)

    return _sum_pairs(change, count)


def chance_of_covering(change: Change) -> tuple[float, float]:
    """Give the chances that the lower and the upper bound of retention cover what is true.

    Args:
        change: the candidate; its true retention is 1 - (lost - gained).
    """
    net, trials = change.lost - change.gained, change.trials

    def is_too_low(losses: int, gains: int) -> bool:
        return bound_growth(gains, losses, trials) < -net - ROUNDING

    first, chances = change.losses()
    start, weights = change.gains()
    sums = np.concatenate([[0.0], weights.cumsum()])
    few = _count_true(lambda gains: is_too_low(0, gains), 0, FEW)  # losses play no part there
    missed = 0.0
    for losses, chance in enumerate(chances, first):
        edge = max(0, FEW - losses)
        most = max(edge, start + len(weights))
        many = _count_true(partial(is_too_low, losses), edge, most)
        at = [min(max(gains - start, 0), len(weights)) for gains in (min(few, edge), edge, many)]
        missed += chance * float(sums[at[0]] + max(0.0, sums[at[2]] - sums[at[1]]))
    # The lower bound misses where it lies above the truth: where a floor there would "hold".
    return 1 - chance_of_holding(change, net - 2 * ROUNDING), 1 - missed


def chance_of_clearing(change: Change, allowed: float) -> float:
    """Give the chance that a candidate clears the floor on `dev` by one standard error.

    Args:
        change: the candidate, on the rows of `dev`.
        allowed: m.
    """

    def count(gains: int) -> tuple[int, int]:
        most = _count_clearing(change.trials, change.others, gains, allowed)
        return min(most, max(0, FEW - gains)), most

    return _sum_pairs(change, count)


@lru_cache(maxsize=100_000)
def _count_clearing(trials: int, others: int, gains: int, allowed: float) -> int:
    labels = LabelSet(("right", "wrong"))
    floor = parse_floor(f"accuracy>={100 * (1 - allowed):.10f}%", labels)

    def clears(losses: int) -> bool:
        truth, original, candidate = make_rows(trials, others, losses, gains)
        return margin_cleared(
            floor, truth=truth, original=original, candidate=candidate, labels=labels
        )

    most = min(trials, gains + int(allowed * trials) + 1)  # a value below the floor never clears
    return _count_true(clears, 0, most)


def make_rows(
    trials: int, others: int, losses: int, gains: int
) -> tuple[Classes, Classes, Classes]:
    """Give truth, the original's answers and the candidate's, int64 `[trials + others]` each.

    Args:
        trials: rows that the original has right; they come first.
        others: rows that it has wrong.
        losses: of the former, how many the candidate has wrong.
        gains: of the latter, how many it has right.
    """
    truth = np.zeros(trials + others, dtype=np.int64)
    original, candidate = truth.copy(), truth.copy()
    original[trials:] = 1
    candidate[trials + gains :] = 1
    candidate[:losses] = 1
    return truth, original, candidate


def choose_and_judge(
    clearing: Sequence[float], holding: Sequence[float], is_bad: Sequence[bool]
) -> tuple[float, float]:
    """Give the chance that a candidate at or below its floor is chosen and called `holds`.

    Candidates differ from the original independently of each other.

    Args:
        clearing: each one's chance to clear the floor on `dev`, the fastest first.
        holding: each one's chance to hold on `test`.
        is_bad: which truly lie at or below the floor.

    Returns:
        The chance where the fastest that clears on `dev` is chosen, else the last, and judged on
        `test`; and where the fastest that holds on `test` is taken, the set then having chosen
        as well as judged.
    """
    chosen = taken = 0.0
    left = free = 1.0
    for clears, holds, bad in zip(clearing, holding, is_bad, strict=True):
        chosen += left * clears * holds * bad
        taken += free * holds * bad
        left, free = left * (1 - clears), free * (1 - holds)
    return chosen + left * holding[-1] * is_bad[-1], taken


def _sum_pairs(change: Change, count: Callable[[int], tuple[int, int]]) -> float:
    """Sum the chances of all outcomes that will do.

    Args:
        change: the candidate.
        count: from gains to two numbers: losses below the first will do where fewer than `FEW`
            rows changed; from there on, losses below the second.
    """
    first, chances = change.losses()
    start, weights = change.gains()
    sums = np.concatenate([[0.0], chances.cumsum()])
    total = 0.0
    for gains, weight in enumerate(weights, start):
        few, many = count(gains)
        edge = max(0, FEW - gains)
        at = [min(max(losses - first, 0), len(chances)) for losses in (few, edge, many)]
        total += weight * float(sums[at[0]] + max(0.0, sums[at[2]] - sums[at[1]]))
    return total


def _count_true(is_true: Callable[[int], bool], first: int, last: int) -> int:
    """Give the smallest number in first … last that is false, all below it being true."""
    return bisect.bisect_left(range(first, last), True, key=lambda at: not is_true(at)) + first


def wilson(successes: float, trials: float, confidence: float = 0.95) -> tuple[float, float]:
    """Give the two-sided Wilson interval of a rate, for contrast: nothing of the product uses it.

    Note: Wilson 1927. Where a rate is near 0 or 1 it covers less than it says, down to 90 % for
    95 %.

    Args:
        successes: 0 … trials.
        trials: 0 gives the whole range.
        confidence: of the interval, 0 … 1.

    Returns:
        `(lower, upper)`, each 0 … 1.
    """
    if trials <= 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    rate, spread = successes / trials, z * z / trials
    middle = (rate + spread / 2) / (1 + spread)
    half = math.sqrt(spread * (rate * (1 - rate) + spread / 4)) / (1 + spread)
    return max(0.0, middle - half), min(1.0, middle + half)
