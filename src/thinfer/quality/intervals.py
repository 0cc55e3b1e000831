"""Intervals for rates and for paired comparisons; one-sided unless the name says otherwise."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "clopper_pearson_lower",
    "clopper_pearson_upper",
    "mcnemar",
    "paired_bootstrap",
]

_TINY = 1e-300


def clopper_pearson_upper(losses: float, trials: float, confidence: float = 0.95) -> float:
    """Give the exact one-sided upper bound of a rate.

    Args:
        losses: 0 … trials; a fraction is allowed, for asking what a larger sample would show.
        trials: rows; 0 gives 1.
        confidence: chance that the bound is above the true rate, at least.

    Returns:
        The rate at which `losses` or fewer would be seen with chance `1 - confidence`.
    """
    if losses >= trials:
        return 1.0
    if losses == 0:
        return -math.expm1(math.log1p(-confidence) / trials)
    low, high = losses / trials, 1.0
    # A hundred halvings reach the last bit of a double from any start; most need fewer.
    for _ in range(100):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        if _incomplete_beta(losses + 1, trials - losses, middle) < confidence:
            low = middle
        else:
            high = middle
    return high


def clopper_pearson_lower(successes: float, trials: float, confidence: float = 0.95) -> float:
    """Give the exact one-sided lower bound of a rate.

    Args:
        successes: 0 … trials.
        trials: rows; 0 gives 0.
        confidence: chance that the bound is below the true rate, at least.
    """
    return 1.0 - clopper_pearson_upper(trials - successes, trials, confidence)


def mcnemar(losses: int, gains: int) -> float:
    """Give the exact two-sided p value of "losses and gains are equally likely".

    Args:
        losses: rows that only the first answered right.
        gains: rows that only the second answered right.

    Returns:
        0 … 1; 1 where the two never differ.
    """
    total, fewer = losses + gains, min(losses, gains)
    logs = [
        math.lgamma(total + 1) - math.lgamma(k + 1) - math.lgamma(total - k + 1)
        for k in range(fewer + 1)
    ]
    tail = math.fsum(math.exp(value - total * math.log(2)) for value in logs)
    return min(1.0, 2 * tail)


def paired_bootstrap(
    statistic: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    counts: NDArray[np.int64],
    *,
    rng: np.random.Generator,
    replicates: int = 2000,
) -> NDArray[np.float64]:
    """Resample rows in pairs and give the statistic of each resample, sorted.

    Rows that are alike (same truth, same two answers) are one cell, and drawing rows with
    replacement is drawing the counts of the cells.

    Args:
        statistic: from weights float64 `[replicates, cells]` to values float64 `[replicates]`.
        counts: rows in each cell, int64 `[cells]`.
        rng: where chance comes from.
        replicates: resamples.

    Returns:
        float64 `[replicates]`, rising.
    """
    rows = int(counts.sum())
    step = max(1, 4_000_000 // max(1, len(counts)))  # bounds the memory of one draw
    parts = []
    for start in range(0, replicates, step):
        size = min(step, replicates - start)
        drawn = rng.multinomial(rows, counts / rows, size=size)
        parts.append(statistic(drawn.astype(np.float64)))
    return np.sort(np.concatenate(parts))


def _incomplete_beta(first: float, second: float, x: float) -> float:
    """Give the regularised incomplete beta function, by its continued fraction."""
    if x <= 0 or x >= 1:
        return 0.0 if x <= 0 else 1.0
    # The fraction converges fast only left of the mean; right of it the mirror image does.
    if x > (first + 1) / (first + second + 2):
        return 1.0 - _incomplete_beta(second, first, 1 - x)
    front = (
        math.lgamma(first + second)
        - math.lgamma(first)
        - math.lgamma(second)
        + first * math.log(x)
        + second * math.log1p(-x)
    )
    return math.exp(front) / (first * _beta_fraction(first, second, x))


def _beta_fraction(first: float, second: float, x: float) -> float:
    """Evaluate 1 + d1/(1 + d2/(1 + …)) with the modified Lentz method."""
    value, above, below = 1.0, 1.0, 0.0
    for step in range(1, 10_000):
        half = step // 2
        base = first + step
        if step % 2 == 0:
            term = half * (second - half) * x / ((base - 1) * base)
        else:
            term = -(first + half) * (first + second + half) * x / ((base - 1) * base)
        below = 1 / (1 + term * below or _TINY)
        above = 1 + term / above or _TINY
        value *= above * below
        if abs(above * below - 1) < 1e-15:
            break
    return value
