"""The threshold of a cascade: as few texts as possible go on, and the floors are proven to hold.

Thresholds are walked from the safe end, where every text goes on, towards the end where none
does, and the walk ends at the first one under which a floor is not proven. Testing hypotheses in
an order that was fixed beforehand, and stopping at the first that cannot be rejected, keeps the
error of the whole walk at that of a single test (fixed sequence testing; Angelopoulos et al.
2021, "Learn then Test", arXiv 2110.01052, section 3.2). The best of all thresholds that look good
would be the luckiest one instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thinfer.errors import DataError
from thinfer.quality.floor import Floor
from thinfer.quality.labels import LabelSet
from thinfer.quality.verdict import Verdict, judge, overall

__all__ = [
    "EVERYTHING_GOES_ON",
    "CascadeRows",
    "ThresholdChoice",
    "choose_threshold",
    "judge_threshold",
    "list_steps",
]

Classes = NDArray[np.int64]
Scores = NDArray[np.float64]

STEPS = 100  # of one percent of the rows each
EVERYTHING_GOES_ON = 2.0  # above every score


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CascadeRows:
    """What two models answer on the same labelled rows.

    Attributes:
        truth: int64 `[rows]`, classes.
        small: int64 `[rows]`, the small model's answers.
        big: int64 `[rows]`, the big model's answers.
        scores: float64 `[rows]`, how sure the small model is, 0 … 1; below 0 where it gives no
            answer at all.
    """

    truth: Classes
    small: Classes
    big: Classes
    scores: Scores

    def __post_init__(self) -> None:
        shapes = {self.truth.shape, self.small.shape, self.big.shape, self.scores.shape}
        if len(shapes) != 1 or self.truth.ndim != 1 or not len(self.truth):
            what = "truth, answers and scores do not fit together"
            raise DataError(what, expected="four [rows], rows ≥ 1", got=str(sorted(shapes)))
        if not np.isfinite(self.scores).all():
            what = "a score is not finite"
            raise DataError(what, got=f"row {int(np.argmin(np.isfinite(self.scores)))}")

    def goes_on(self, threshold: float) -> NDArray[np.bool_]:
        """Say which rows the big model answers, bool `[rows]`."""
        return ~(self.scores >= threshold)

    def answers(self, threshold: float) -> Classes:
        """Give the answers of the cascade, int64 `[rows]`."""
        return np.where(self.goes_on(threshold), self.big, self.small)


@dataclass(frozen=True, slots=True, kw_only=True)
class ThresholdChoice:
    """Where the walk ended.

    Attributes:
        threshold: the last under which every floor holds; absent where none but "every text goes
            on" does, or not even that.
        cloud_share: share of the rows that go on under it; 1 where it is absent.
        verdicts: of the floors under it.
        stopped: the threshold at which the walk ended; absent where it came to its end.
        stopped_share: share of the rows that go on there; absent with it.
        stopped_verdicts: of the floors there; empty with it.
    """

    threshold: float | None
    cloud_share: float
    verdicts: tuple[Verdict, ...]
    stopped: float | None = None
    stopped_share: float | None = None
    stopped_verdicts: tuple[Verdict, ...] = ()


def list_steps(scores: Scores) -> list[float]:
    """Give the thresholds of the walk, falling: each keeps about one percent of the rows more.

    A threshold lies halfway between two scores, so that rounding in another batch moves no text
    across it; the last one is 0, under which no text goes on.

    Args:
        scores: float64 `[rows]`; a row below 0 goes on under every threshold.
    """
    levels, counts = np.unique(scores[scores >= 0.0], return_counts=True)
    levels, kept = levels[::-1], np.cumsum(counts[::-1])  # rows at or above each level
    steps: list[float] = []
    for step in range(1, STEPS):
        place = int(np.searchsorted(kept, step * len(scores) / STEPS))
        if place + 1 < len(levels):
            steps.append(float(levels[place] + levels[place + 1]) / 2)
    return [*dict.fromkeys(steps), 0.0]


def judge_threshold(
    floors: Sequence[Floor], rows: CascadeRows, threshold: float, *, labels: LabelSet, seed: int
) -> tuple[Verdict, ...]:
    """Judge the cascade against the big model alone.

    Args:
        floors: the demands; relative ones are shares of the big model's value.
        rows: answers and scores.
        threshold: of the score.
        labels: the classes.
        seed: of floors that are judged by resampling.

    Returns:
        One verdict a floor.
    """
    answers = rows.answers(threshold)
    return tuple(
        judge(
            floor,
            truth=rows.truth,
            original=rows.big,
            candidate=answers,
            labels=labels,
            rng=np.random.default_rng(seed),
        )
        for floor in floors
    )


def choose_threshold(
    floors: Sequence[Floor], rows: CascadeRows, *, labels: LabelSet, seed: int
) -> ThresholdChoice:
    """Walk the thresholds from the safe end and give the last one under which the floors hold.

    Args:
        floors: at least one.
        rows: labelled rows for choosing.
        labels: the classes.
        seed: of floors that are judged by resampling.

    Returns:
        The choice; its threshold is absent where the floors are proven under none.
    """
    start = EVERYTHING_GOES_ON
    verdicts = judge_threshold(floors, rows, start, labels=labels, seed=seed)
    if overall(verdicts) != "holds":
        return ThresholdChoice(
            threshold=None,
            cloud_share=1.0,
            verdicts=verdicts,
            stopped=start,
            stopped_share=1.0,
            stopped_verdicts=verdicts,
        )
    best = ThresholdChoice(threshold=None, cloud_share=1.0, verdicts=verdicts)
    for threshold in list_steps(rows.scores):
        share = float(rows.goes_on(threshold).mean())
        verdicts = judge_threshold(floors, rows, threshold, labels=labels, seed=seed)
        if overall(verdicts) != "holds":
            return ThresholdChoice(
                threshold=best.threshold,
                cloud_share=best.cloud_share,
                verdicts=best.verdicts,
                stopped=threshold,
                stopped_share=share,
                stopped_verdicts=verdicts,
            )
        best = ThresholdChoice(threshold=threshold, cloud_share=share, verdicts=verdicts)
    return best
