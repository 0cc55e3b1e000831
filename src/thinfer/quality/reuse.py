"""`Reuse`: how much a test set still proves after it has judged more than one candidate.

One judgement at 95 % calls a candidate below its floor `holds` in at most 5 % of test sets. Where k
candidates were judged on the same rows and the one that holds is kept, Bonferroni's bound on that
is k × 5 %: chance has k tries. It needs no independence between the candidates. It does need that
they were not made by looking at earlier figures on these rows; then a test set can wear out faster
(Dwork et al., "The reusable holdout: Preserving validity in adaptive data analysis", Science 349,
2015).
"""

from __future__ import annotations

from dataclasses import dataclass

from thinfer.errors import UserError

__all__ = ["Reuse"]

_ERROR = 0.05  # of one judgement
_WORN = 0.20  # a wrong `holds` in more than one of five is no proof any more
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Reuse:
    """A test set after some judgements.

    Attributes:
        judged: different candidates that it has judged, the present one included; 1 or more.

    Raises:
        UserError: fewer than one.
    """

    judged: int

    def __post_init__(self) -> None:
        if self.judged < 1:
            what = "a test set that has judged nothing says nothing"
            raise UserError(what, expected="1 or more judgements", got=str(self.judged))

    @property
    def error(self) -> float:
        """Bound on the chance that any of them is called `holds` wrongly, 0.05 … 1."""
        return min(1.0, self.judged * _ERROR)

    @property
    def confidence(self) -> float:
        """What may still be said honestly of the one that is kept, 0 … 0.95."""
        return 1.0 - self.error

    @property
    def is_worn(self) -> bool:
        """Whether the set proves too little to be asked again."""
        return self.error > _WORN + _ROUNDING

    def explain(self) -> str | None:
        """Give the warning; None while the set is not worn out."""
        if not self.is_worn:
            return None
        left = "no confidence is left"
        if self.confidence > _ROUNDING:
            left = f"{self.confidence:.0%} confidence is left of 95 %"
        return (
            f"This test set is worn out: it has judged {self.judged} different candidates. Each "
            f"verdict `holds` alone is wrong at most 5 % of the time, the one that is kept of "
            f"{self.judged} up to {self.error:.0%}: {left}, and less where settings were changed "
            "after looking at figures on it. Bring fresh test rows."
        )
