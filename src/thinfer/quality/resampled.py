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


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class PairCells:
    """Rows that are alike, counted: the same truth and the same two answers are one cell.

    Attributes:
        floor: names the metric.
        place: the class of precision; absent for macro metrics.
        triples: int64 `[cells, 3]`: truth, the original's answer, the candidate's.
        counts: int64 `[cells]`.
        classes: how many classes there are.
    """

    floor: Floor
    place: int | None
    triples: NDArray[np.int64]
    counts: NDArray[np.int64]
    classes: int

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
        classes = len(labels)
        codes = (truth * classes + original) * classes + candidate
        unique, counts = np.unique(codes, return_counts=True)
        parts = (unique // classes**2, unique // classes % classes, unique % classes)
        return cls(
            floor=floor,
            place=None if floor.label is None else labels.index(floor.label),
            triples=np.stack(parts, axis=1),
            counts=counts.astype(np.int64),
            classes=classes,
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
        base = self.original_value(weights)
        return np.divide(value, base, out=np.zeros_like(value), where=base > 0)

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
        return float(low), float(max(np.quantile(drawn, 0.95), turned))

    def jackknife_se(self) -> float:
        """Give the standard error of `ratio`, by leaving out one row of each cell at a time."""
        rows = int(self.counts.sum())
        left_out = self.counts[None, :] - np.eye(len(self.counts))  # [cells, cells]
        shift = self.ratio(left_out) - self.ratio()
        return float(np.sqrt((rows - 1) / rows * np.sum(self.counts * shift**2)))

    def _value(self, side: int, weights: Values | None) -> Values:
        rows = self.counts.astype(np.float64) if weights is None else weights
        truth, answer = self.triples[:, 0], self.triples[:, side]
        each = np.eye(self.classes)
        tally = Tally(
            hits=rows @ (each[truth] * (truth == answer)[:, None]),
            truths=rows @ each[truth],
            answers=rows @ each[answer],
        )
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
        occurring = np.unique(self.triples[:, 0])
        if self.place is None:
            return np.stack([occurring, occurring, np.roll(occurring, -1)], axis=1)
        others = occurring[occurring != self.place]
        truth = others[0] if len(others) else (self.place + 1) % self.classes
        return np.asarray([[truth, truth, self.place]], dtype=np.int64)

    def _with_rows(self, triples: NDArray[np.int64]) -> PairCells:
        return replace(
            self,
            triples=np.concatenate([self.triples, triples]),
            counts=np.concatenate([self.counts, np.ones(len(triples), dtype=np.int64)]),
        )
