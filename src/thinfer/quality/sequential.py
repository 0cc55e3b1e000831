"""A watch that may be looked at after every row: evidence that a rate is above its bound."""

from __future__ import annotations

import math

from thinfer.errors import UserError

__all__ = ["EVIDENCE", "RateWatch"]

EVIDENCE = 20.0  # at most one true null in twenty ever reaches it, however long it is watched
_FACTORS = (1.2, 1.5, 2.0, 3.0, 5.0, 10.0)  # how far above the bound the alternatives lie


class RateWatch:
    """An e-process against "the rate of events is at most `bound`".

    The mean of the likelihood ratios of a few rates above the bound. Under the null its
    expectation never exceeds 1, so by Ville's inequality it ever reaches 20 with a chance of at
    most 5 %, whenever one looks and stops (Ramdas et al., "Game-theoretic statistics and safe
    anytime-valid inference", Statistical Science 2023).

    Args:
        bound: the largest rate that is allowed, between 0 and 1, both excluded.
        parts: watches like this one that look at parts of the same rows, each for itself; the
            5 % are then divided among them.

    Raises:
        UserError: the bound is outside, or there are fewer parts than one.
    """

    def __init__(self, bound: float, *, parts: int = 1) -> None:
        if not 0 < bound < 1 or parts < 1:
            what = "the bound of a watched rate makes no sense"
            raise UserError(what, expected="above 0 and below 1", got=str(bound))
        self.bound, self.needed = bound, EVIDENCE * parts
        self.events = self.trials = 0
        rates = {min(factor * bound, (1 + bound) / 2) for factor in _FACTORS}
        self._steps = [
            (math.log(rate / bound), math.log((1 - rate) / (1 - bound))) for rate in sorted(rates)
        ]

    def add(self, events: int, trials: int) -> None:
        """Take note of more rows.

        Args:
            events: rows with the event, for example with another answer.
            trials: all rows.

        Raises:
            UserError: more events than trials, or fewer than none.
        """
        if not 0 <= events <= trials:
            what = "a watch was given impossible counts"
            raise UserError(what, expected="0 … trials events", got=f"{events} of {trials}")
        self.events += events
        self.trials += trials

    @property
    def evidence(self) -> float:
        """The e-value so far: 1 at the start, infinite where it exceeds what a float holds."""
        quiet = self.trials - self.events
        logs = [hit * self.events + miss * quiet for hit, miss in self._steps]
        top = max(logs)
        mean = sum(math.exp(value - top) for value in logs) / len(logs)
        return math.exp(min(700.0, top + math.log(mean)))

    @property
    def is_broken(self) -> bool:
        """Whether the bound is credibly exceeded."""
        return self.evidence >= self.needed
