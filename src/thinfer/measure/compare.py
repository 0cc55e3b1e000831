"""How much slower one contender is than another, with an interval."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from thinfer.errors import UserError
from thinfer.measure.timing import Samples

__all__ = ["Ratio", "ratio_interval", "throughput_ratio"]

_FEWEST_PAIRS = 5  # fewer resampled pairs say nothing about the spread


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """Time of the first over time of the second.

    Attributes:
        ratio: median of the ratios of paired rounds.
        low: lower end of the interval.
        high: upper end.
        pairs: rounds in which both were quiet.
    """

    KIND: ClassVar[str] = "thinfer.ratio"
    VERSION: ClassVar[int] = 1

    ratio: float
    low: float
    high: float
    pairs: int

    @property
    def is_separable(self) -> bool:
        """Whether the interval leaves out 1; "not separable" is a valid result."""
        return not self.low <= 1.0 <= self.high


def ratio_interval(
    first: Samples,
    second: Samples,
    *,
    rng: np.random.Generator,
    confidence: float = 0.95,
    replicates: int = 2000,
) -> Ratio:
    """Compare two contenders of one interleaved timing, round by round.

    Args:
        first: times of the first, for example the original's: a ratio above 1 is a speedup.
        second: times of the second.
        rng: where chance comes from.
        confidence: of the two-sided interval.
        replicates: resamples of the rounds.

    Returns:
        The ratio; with fewer than five paired rounds its interval is the widest that the
        samples allow.

    Raises:
        UserError: one of them has no sample.
    """
    if not first.seconds or not second.seconds:
        what = "a contender without samples cannot be compared"
        raise UserError(what, expected="at least one round")
    ours = dict(zip(first.rounds, first.seconds, strict=True))
    theirs = dict(zip(second.rounds, second.seconds, strict=True))
    common = sorted(ours.keys() & theirs.keys())
    if len(common) < _FEWEST_PAIRS:
        return Ratio(
            ratio=first.median_s / second.median_s,
            low=min(first.seconds) / max(second.seconds),
            high=max(first.seconds) / min(second.seconds),
            pairs=len(common),
        )
    ratios = np.asarray([ours[number] / theirs[number] for number in common])
    drawn = rng.integers(0, len(ratios), size=(replicates, len(ratios)))
    medians = np.median(ratios[drawn], axis=1)  # [replicates]
    low, high = np.quantile(medians, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Ratio(
        ratio=float(np.median(ratios)), low=float(low), high=float(high), pairs=len(common)
    )


def throughput_ratio(
    first: Samples,
    second: Samples,
    *,
    rng: np.random.Generator,
    confidence: float = 0.95,
    replicates: int = 2000,
) -> Ratio:
    """Compare the whole time of two contenders that did the same rounds of unequal work.

    Rounds may hold batches of different length: their times are summed, not ranked.

    Args:
        first: times of the first, for example the original's: a ratio above 1 is a speedup.
        second: times of the second.
        rng: where chance comes from.
        confidence: of the two-sided interval.
        replicates: resamples of the rounds.

    Returns:
        Sum of the first over sum of the second, over the rounds in which both were quiet; with
        fewer than five of those, the comparison of `ratio_interval`.
    """
    ours = dict(zip(first.rounds, first.seconds, strict=True))
    theirs = dict(zip(second.rounds, second.seconds, strict=True))
    common = sorted(ours.keys() & theirs.keys())
    if len(common) < _FEWEST_PAIRS:
        return ratio_interval(first, second, rng=rng, confidence=confidence)
    pairs = np.asarray([(ours[number], theirs[number]) for number in common])  # [rounds, 2]
    drawn = pairs[rng.integers(0, len(pairs), size=(replicates, len(pairs)))].sum(axis=1)
    low, high = np.quantile(drawn[:, 0] / drawn[:, 1], [(1 - confidence) / 2, (1 + confidence) / 2])
    total = pairs.sum(axis=0)
    return Ratio(
        ratio=float(total[0] / total[1]), low=float(low), high=float(high), pairs=len(common)
    )
