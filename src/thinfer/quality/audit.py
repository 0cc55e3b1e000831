"""What labels on a part of the traffic prove of retention, 1 - (lost - gained)/T.

How many rows the original had, T, is those that were lost and a share of those on which both
agree, which comes from a random sample of these. Half of the error of 5 % is spent on
what chance does to the traffic itself (`paired.bound_loss`), the other half, in equal parts, on
the samples; where nothing is sampled, all of it is spent on the first. The bound of the loss
is taken at the worst of what these allow, so that the errors add up (Bonferroni).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from thinfer.quality.finite import count_at_least, count_at_most
from thinfer.quality.paired import FEW, bound_growth, bound_loss

__all__ = ["ERROR", "AuditCounts", "Stratum"]

ERROR = 0.05  # chance that a verdict `holds` is wrong, at most


@dataclass(frozen=True, slots=True, kw_only=True)
class Stratum:
    """One kind of rows, of which a random sample was to be labelled.

    Attributes:
        population: rows of this kind in the traffic.
        asked: rows of the sample, 0 … `population`.
        missing: rows of the sample that have no label yet.
        found: labelled rows that count.
    """

    population: int
    asked: int
    missing: int
    found: int

    @property
    def is_whole(self) -> bool:
        """Whether every row of this kind was to be labelled."""
        return self.asked == self.population

    @property
    def estimate(self) -> float:
        """Rows of the traffic that count; 0 where no row was to be labelled."""
        return self.population * self.found / self.asked if self.asked else 0.0

    def settled(self, *, counts: bool) -> Stratum:
        """Give the stratum, were all labels there and the missing ones did, or did not, count.

        Args:
            counts: whether they count.
        """
        return replace(self, missing=0, found=self.found + (self.missing if counts else 0))

    def at_least(self, confidence: float) -> int:
        """Bound the rows of the traffic that count from below."""
        return count_at_least(self.found, self.asked, self.population, confidence)

    def at_most(self, confidence: float) -> int:
        """Bound the rows of the traffic that count from above."""
        return count_at_most(self.found, self.asked, self.population, confidence)

    def scaled(self, size: float, to_whole: Callable[[float], int]) -> Stratum:
        """Give what traffic so many times larger would show; a sample does not grow with it.

        Args:
            size: 1 or more.
            to_whole: how parts of a found row are rounded.
        """
        population = round(self.population * size)
        if not self.is_whole:
            return replace(self, population=population)
        return replace(
            self,
            population=population,
            asked=population,
            found=min(population, to_whole(self.found * size)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditCounts:
    """What the labels say about one floor.

    Attributes:
        lost: of the rows that may be lost, those that are.
        gained: of the rows that may be gained, those that are.
        kept: of the rows on which both agree, those that both have.
        missing: rows without a label; for accuracy, one row can be missing in two kinds.
    """

    lost: Stratum
    gained: Stratum
    kept: Stratum
    missing: int = 0

    @property
    def trials(self) -> float:
        """T: rows that the original had, estimated."""
        return self.lost.estimate + self.kept.estimate

    @property
    def retention(self) -> float | None:
        """1 - (lost - gained)/T, estimated; absent where the original had no row."""
        net = self.lost.estimate - self.gained.estimate
        return 1 - net / self.trials if self.trials else None

    def at_worst(self) -> AuditCounts:
        """Give the counts, were every missing label against the candidate."""
        return AuditCounts(
            lost=self.lost.settled(counts=True),
            gained=self.gained.settled(counts=False),
            kept=self.kept.settled(counts=False),
        )

    def at_best(self) -> AuditCounts:
        """Give the counts, were every missing label for the candidate."""
        return AuditCounts(
            lost=self.lost.settled(counts=False),
            gained=self.gained.settled(counts=True),
            kept=self.kept.settled(counts=True),
        )

    def scaled(self, size: float) -> AuditCounts:
        """Give what traffic so many times larger would show, rounded against the candidate."""
        return AuditCounts(
            lost=self.lost.scaled(size, math.ceil),
            gained=self.gained.scaled(size, math.floor),
            kept=self.kept.scaled(size, math.floor),
        )

    def retention_low(self) -> float:
        """Bound the retention from below (95 %, one-sided), missing labels at their worst."""
        own, each = self._confidences()
        worst, best = self.at_worst(), self.at_best()
        gained = worst.gained.at_least(each)
        return min(
            1 - bound_loss(lost, gained, lost + kept, own) if lost + kept else 0.0
            for lost in _corners(best.lost.at_least(each), worst.lost.at_most(each), gained)
            for kept in (worst.kept.at_least(each), best.kept.at_most(each))
        )

    def retention_high(self) -> float:
        """Bound the retention from above (95 %, one-sided), missing labels at their best."""
        own, each = self._confidences()
        worst, best = self.at_worst(), self.at_best()
        lost = best.lost.at_least(each)
        return max(
            1 + bound_growth(gained, lost, lost + kept, own) if lost + kept else math.inf
            for gained in _corners(worst.gained.at_least(each), best.gained.at_most(each), lost)
            for kept in (worst.kept.at_least(each), best.kept.at_most(each))
        )

    def _confidences(self) -> tuple[float, float]:
        """Give the confidence in what the traffic shows, and that in each sample of it."""
        parts = (self.lost, self.gained, self.kept)
        sampled = sum(not part.is_whole for part in parts)
        if not sampled:
            return 1 - ERROR, 1 - ERROR
        return 1 - ERROR / 2, 1 - ERROR / 2 / sampled


def _corners(least: int, most: int, other: int) -> tuple[int, int]:
    """Give the counts among which the worst one is.

    The bound grows with the count but for one place: where few rows changed, the exact rule takes
    no account of the other count, and may say more than the normal one does of a row more. Both
    ends of T are tried as well, for a loss is largest at the lower and a gain at the upper one;
    only one of the two can be wrong, so that this costs the error of one.
    """
    return most, min(most, max(least, FEW - 1 - other))
