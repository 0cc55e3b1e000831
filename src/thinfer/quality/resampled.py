"""Bounds by resampling, for metrics that are not one rate: macro metrics and precision."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from thinfer.quality.floor import Floor
from thinfer.quality.intervals import paired_bootstrap
from thinfer.quality.labels import LabelSet
from thinfer.quality.metrics import Tally

__all__ = ["PairCells"]

Values = NDArray[np.float64]

_FEW_ROWS = 5  # of a class


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class PairCells:
    """Rows that are alike, counted: the same truth and the same two answers are one cell.

    Attributes:
        floor: names the metric.
        place: the class of precision; absent for macro metrics.
        triples: int64 `[cells, 3]`: truth, the original's answer, the candidate's.
        counts: int64 `[cells]`.
        labels: the classes.
    """

    floor: Floor
    place: int | None
    triples: NDArray[np.int64]
    counts: NDArray[np.int64]
    labels: LabelSet

    @classmethod
    def collect(
        cls,
        floor: Floor,
        *,
        truth: NDArray[np.int64],
        original: NDArray[np.int64],
        candidate: NDArray[np.int64],
        labels: LabelSet,
    ) -> PairCells:
        """Count alike rows.

        Args:
            floor: names the metric.
            truth: int64 `[rows]`, classes.
            original: int64 `[rows]`, its answers.
            candidate: int64 `[rows]`, its answers.
            labels: the classes.
        """
        triples, counts = np.unique(
            np.stack([truth, original, candidate], axis=1), axis=0, return_counts=True
        )
        return cls(
            floor=floor,
            place=None if floor.label is None else labels.index(floor.label),
            triples=triples,
            counts=counts.astype(np.int64),
            labels=labels,
        )

    def original_value(self, weights: Values | None = None) -> Values:
        """Give the metric of the original, as `candidate_value` does."""
        return self._value(1, weights)

    def candidate_value(self, weights: Values | None = None) -> Values:
        """Give the metric of the candidate.

        Args:
            weights: rows in each cell, float64 `[..., cells]`; the counts when absent.

        Returns:
            float64 `[...]`; 0 where the metric is not defined.
        """
        return self._value(2, weights)

    def ratio(self, weights: Values | None = None) -> Values:
        """Give what the floor is about: the candidate's value, over the original's if relative."""
        value = self.candidate_value(weights)
        if not self.floor.relative:
            return value
        return self._share(value, self.original_value(weights))

    def interval(self, rng: np.random.Generator) -> tuple[float, float]:
        """Give the two one-sided 95 % bounds of `ratio`.

        Args:
            rng: where chance comes from.
        """
        added = self._pretend_losses()
        wary, hopeful = self._with_rows(added), self._with_rows(added[:, [0, 2, 1]])
        low = np.quantile(paired_bootstrap(wary.ratio, wary.counts, rng=rng), 0.05)
        drawn = paired_bootstrap(hopeful.ratio, hopeful.counts, rng=rng)
        # Resamples lack rare classes that the data has, and lie below it: so the lower tail,
        # turned over, speaks too.
        turned = 2.0 * hopeful.ratio() - np.quantile(drawn, 0.05)
        return float(low), max(float(np.quantile(drawn, 0.95)), float(turned))

    def rare_room(self) -> float:
        """Give what classes of fewer than five rows could add to the candidate's macro metric.

        So few rows bound nothing: their part of the mean may be whole in truth. 0 for precision.
        """
        if self.place is not None:
            return 0.0
        rows = self.counts.astype(np.float64)
        hits, truths, answers = (rows @ part for part in self._cells(2))
        below = truths + answers if self.floor.metric == "macro_f1" else truths
        above = 2.0 * hits if self.floor.metric == "macro_f1" else hits
        each = np.divide(above, below, out=np.ones_like(below), where=below > 0)
        rare = (below > 0) & (truths < _FEW_ROWS)
        return float((1.0 - each[rare]).sum() / max(1, int((below > 0).sum())))

    def jackknife_se(self) -> float:
        """Give the standard error of `ratio`, by leaving out one row of each cell at a time."""
        rows = int(self.counts.sum())
        value, base = (self._left_out(side) for side in (2, 1))
        shift = (self._share(value, base) if self.floor.relative else value) - self.ratio()
        return float(np.sqrt((rows - 1) / rows * np.sum(self.counts * shift**2)))

    @staticmethod
    def _share(value: Values, base: Values) -> Values:
        return np.divide(value, base, out=np.zeros_like(value), where=base > 0)

    def _value(self, side: int, weights: Values | None) -> Values:
        rows = self.counts.astype(np.float64) if weights is None else weights
        hits, truths, answers = (rows @ part for part in self._cells(side))
        return self._read(Tally(hits=hits, truths=truths, answers=answers))

    def _left_out(self, side: int) -> Values:
        """The metric with one row of each cell left out, float64 `[cells]`."""
        rows = self.counts.astype(np.float64)
        hits, truths, answers = (rows @ part - part for part in self._cells(side))
        return self._read(Tally(hits=hits, truths=truths, answers=answers))

    def _cells(self, side: int) -> tuple[Values, Values, Values]:
        """Hits, truths and answers that one row of each cell adds, float64 `[cells, classes]`."""
        truth, answer = (
            self.labels.members(self.triples[:, part]).astype(np.float64) for part in (0, side)
        )
        return truth * answer, truth, answer

    def _read(self, tally: Tally) -> Values:
        if self.place is not None:
            value = tally.precision[..., self.place]
        else:
            value = tally.macro_f1 if self.floor.metric == "macro_f1" else tally.macro_recall
        return np.nan_to_num(value, nan=0.0)

    def _pretend_losses(self) -> NDArray[np.int64]:
        """Give one row a class that the original answers right and the candidate wrong.

        Resampling never draws what was not seen: where no row was lost, every resample says
        that nothing is lost. One pretended loss a class makes the 95 % quantile of no loss
        three rows, as it is exactly. Only classes that occur get one, so that no class enters
        a macro mean that was not in it. With the two answers changed about, they are gains.
        """
        return self._losses_of_sets() if self.labels.is_multi_label else self._losses_of_classes()

    def _with_rows(self, triples: NDArray[np.int64]) -> PairCells:
        return replace(
            self,
            triples=np.concatenate([self.triples, triples]),
            counts=np.concatenate([self.counts, np.ones(len(triples), dtype=np.int64)]),
        )

    def _losses_of_classes(self) -> NDArray[np.int64]:
        """One row a class, int64 `[classes, 3]`: truth, the original's answer, the candidate's."""
        occurring = np.unique(self.triples[:, 0])
        if self.place is None:
            return np.stack([occurring, occurring, np.roll(occurring, -1)], axis=1)
        others = occurring[occurring != self.place]
        truth = others[0] if len(others) else (self.place + 1) % len(self.labels)
        return np.asarray([[truth, truth, self.place]], dtype=np.int64)

    def _losses_of_sets(self) -> NDArray[np.int64]:
        """The same with sets: the label alone is lost, or for precision wrongly added."""
        if self.place is not None:
            return np.asarray([[0, 0, 1 << self.place]], dtype=np.int64)
        occurring = np.flatnonzero(self.labels.members(self.triples[:, 0]).any(axis=0))
        alone = np.left_shift(np.int64(1), occurring.astype(np.int64))
        return np.stack([alone, alone, np.zeros_like(alone)], axis=1)
