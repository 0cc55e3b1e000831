"""What labels on a part of the traffic prove of retention, 1 - (lost - gained)/T.

How many rows the original had, T, is those it lost and a share of the rows on which
both agree; that share comes from a random sample of these. Half of the error of 5 % is spent on
what chance does to the traffic itself (`paired.bound_loss`), the other half, in equal parts, on
the samples; where nothing is sampled, all of it is spent on the first. The bound of the loss
grows with the lost rows and falls with the gained ones, so that each of them and T may stand at
its worst end, and the errors add up (Bonferroni).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from thinfer.quality.finite import count_at_least, count_at_most
from thinfer.quality.paired import bound_growth, bound_loss

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
    """

    lost: Stratum
    gained: Stratum
    kept: Stratum

    @property
    def missing(self) -> int:
        """Labels that are not there yet; one that decides of two kinds counts twice."""
        return self.lost.missing + self.gained.missing + self.kept.missing

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
        worst = self.at_worst()
        lost, gained = worst.lost.at_most(each), worst.gained.at_least(each)
        return min(
            1 - bound_loss(lost, gained, trials, own) if trials else 0.0
            for trials in self._trials_between(lost, each)
        )

    def retention_high(self) -> float:
        """Bound the retention from above (95 %, one-sided), missing labels at their best."""
        own, each = self._confidences()
        best = self.at_best()
        lost, gained = best.lost.at_least(each), best.gained.at_most(each)
        return max(
            1 + bound_growth(gained, lost, trials, own) if trials else math.inf
            for trials in self._trials_between(lost, each)
        )

    def _trials_between(self, lost: int, each: float) -> tuple[int, int]:
        """Give the ends of T: a loss is largest at the lower end, a gain at the upper one.

        Only one of the two can be the wrong one, for the true retention is either below 1 or not;
        so both ends together cost the error of one.
        """
        least, most = self.at_worst().kept.at_least(each), self.at_best().kept.at_most(each)
        return lost + least, lost + most

    def _confidences(self) -> tuple[float, float]:
        """Give the confidence in what the traffic shows, and that in each sample of it."""
        parts = (self.lost, self.gained, self.kept)
        sampled = sum(not part.is_whole for part in parts)
        if not sampled:
            return 1 - ERROR, 1 - ERROR
        return 1 - ERROR / 2, 1 - ERROR / 2 / sampled
