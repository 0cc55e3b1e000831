"""Bounds of a count in a finite set of rows of which a random sample was looked at; exact.

A sample without replacement says more than the same sample of an endless stream, and a sample
of all rows says everything: Clopper and Pearson's construction with the hypergeometric
distribution in place of the binomial one.
"""

from __future__ import annotations

import math

import numpy as np

__all__ = ["count_at_least", "count_at_most"]


def count_at_least(found: int, sample: int, population: int, confidence: float = 0.95) -> int:
    """Give the lower bound (one-sided) of how many rows of the set are marked.

    Args:
        found: marked rows in the sample.
        sample: rows that were looked at, drawn at random without replacement.
        population: rows of the set, at least `sample`.
        confidence: chance that the bound is not above the true count, at least.

    Returns:
        The smallest count under which `found` or more would be seen with a chance above
        `1 - confidence`.
    """
    low, high = found, population - (sample - found)
    while low < high:
        middle = (low + high) // 2
        if _chance_of_more(found, sample, middle, population) > 1 - confidence:
            high = middle
        else:
            low = middle + 1
    return low


def count_at_most(found: int, sample: int, population: int, confidence: float = 0.95) -> int:
    """Give the upper bound (one-sided) of how many rows of the set are marked.

    Args:
        found: marked rows in the sample.
        sample: rows that were looked at, drawn at random without replacement.
        population: rows of the set, at least `sample`.
        confidence: chance that the bound is not below the true count, at least.
    """
    return population - count_at_least(sample - found, sample, population, confidence)


def _chance_of_more(found: int, sample: int, marked: int, population: int) -> float:
    """Give the chance of `found` or more in the sample: one term, and ratios from there on."""
    if found <= max(0, sample - (population - marked)):
        return 1.0
    most = min(sample, marked)
    if found > most:
        return 0.0
    first = (
        _log_choices(marked, found)
        + _log_choices(population - marked, sample - found)
        - _log_choices(population, sample)
    )
    counts = np.arange(found, most, dtype=np.float64)
    steps = np.log((marked - counts) * (sample - counts)) - np.log(
        (counts + 1) * (population - marked - sample + counts + 1)
    )
    return float(np.exp(first + np.concatenate([[0.0], np.cumsum(steps)])).sum())


def _log_choices(total: int, chosen: int) -> float:
    return math.lgamma(total + 1) - math.lgamma(chosen + 1) - math.lgamma(total - chosen + 1)
