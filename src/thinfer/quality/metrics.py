"""Quality of answers against the truth: counts per class, and every figure made from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from thinfer.errors import DataError
from thinfer.quality.labels import LabelSet

__all__ = ["Metrics", "Tally", "check_codes", "measure_quality"]

Classes = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Tally:
    """Counts per class; leading axes are free, so that many resamples are one tally.

    Attributes:
        hits: right answers of each class, float64 `[..., classes]`.
        truths: rows of each class, float64 `[..., classes]`.
        answers: answers of each class, float64 `[..., classes]`.
    """

    hits: NDArray[np.float64]
    truths: NDArray[np.float64]
    answers: NDArray[np.float64]

    @classmethod
    def count(cls, truth: Classes, predicted: Classes, labels: LabelSet) -> Tally:
        """Count answers.

        Args:
            truth: int64 `[rows]`, classes, or sets of labels of a multi-label model.
            predicted: int64 `[rows]`, likewise.
            labels: the classes.

        Returns:
            Arrays of shape `[classes]`; a set counts for each of its labels.

        Raises:
            DataError: the two differ in length, there is no row, or a class is out of range.
        """
        if truth.shape != predicted.shape or truth.ndim != 1 or not len(truth):
            what = "truth and answers do not fit together"
            raise DataError(
                what, expected="two [rows], rows ≥ 1", got=f"{truth.shape}, {predicted.shape}"
            )
        check_codes(labels, truth, predicted)
        is_true, is_answered = labels.members(truth), labels.members(predicted)
        hits, truths, answers = (
            rows.sum(axis=0).astype(np.float64)
            for rows in (is_true & is_answered, is_true, is_answered)
        )
        return cls(hits, truths, answers)

    @property
    def recall(self) -> NDArray[np.float64]:
        """Share of each class that was found, float64 `[..., classes]`; NaN without rows."""
        return _divide(self.hits, self.truths)

    @property
    def precision(self) -> NDArray[np.float64]:
        """Share of each class's answers that are right, float64 `[..., classes]`; NaN without."""
        return _divide(self.hits, self.answers)

    @property
    def macro_recall(self) -> NDArray[np.float64]:
        """Mean recall of the classes that occur in the truth, float64 `[...]`."""
        return _mean_of_defined(self.recall)

    @property
    def macro_f1(self) -> NDArray[np.float64]:
        """Mean F1 of the classes that occur in truth or answers, float64 `[...]`."""
        return _mean_of_defined(_divide(2.0 * self.hits, self.truths + self.answers))


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """Quality on one set.

    Attributes:
        accuracy: share of right answers, 0 … 1; of a multi-label model, of sets that are right
            as a whole.
        macro_f1: mean F1 of the classes that occur in truth or answers.
        recall: per label that occurs in the truth.
        precision: per label that was answered at least once.
        flagged_recall: share of rows that are not normal and were answered as not normal;
            absent without a normal label or without such rows.
        flag_rate: share of rows answered as not normal; absent without a normal label.
        n: rows.
    """

    KIND: ClassVar[str] = "thinfer.metrics"
    VERSION: ClassVar[int] = 1

    accuracy: float
    macro_f1: float
    recall: Mapping[str, float]
    precision: Mapping[str, float]
    flagged_recall: float | None
    flag_rate: float | None
    n: int


def measure_quality(truth: Classes, predicted: Classes, labels: LabelSet) -> Metrics:
    """Give every figure of quality.

    Args:
        truth: int64 `[rows]`, classes, or sets of labels of a multi-label model.
        predicted: int64 `[rows]`, likewise.
        labels: the classes.

    Returns:
        The figures; a figure that would divide by zero is absent.
    """
    tally = Tally.count(truth, predicted, labels)
    flagged_recall = flag_rate = None
    if labels.normal is not None:
        flagged = labels.is_flagged(predicted)
        flag_rate = float(flagged.mean())
        positives = labels.is_flagged(truth)
        if positives.any():
            flagged_recall = float(flagged[positives].mean())
    return Metrics(
        accuracy=float((truth == predicted).mean()),
        macro_f1=float(tally.macro_f1),
        recall=_by_name(labels, tally.recall),
        precision=_by_name(labels, tally.precision),
        flagged_recall=flagged_recall,
        flag_rate=flag_rate,
        n=len(truth),
    )


def check_codes(labels: LabelSet, *answers: Classes) -> None:
    """Refuse answers that these labels cannot give.

    Args:
        labels: the classes.
        answers: int64 `[rows]` each, not empty.

    Raises:
        DataError: a class, or a label of a set, is out of range.
    """
    end = 2 ** len(labels) if labels.is_multi_label else len(labels)
    low, high = min(int(each.min()) for each in answers), max(int(each.max()) for each in answers)
    if low < 0 or high >= end:
        what = "a class is out of range"
        raise DataError(what, expected=f"0 … {end - 1}", got=f"{low} … {high}")


def _by_name(labels: LabelSet, values: NDArray[np.float64]) -> dict[str, float]:
    pairs = zip(labels.names, values.tolist(), strict=True)
    return {name: value for name, value in pairs if not np.isnan(value)}


def _divide(above: NDArray[Any], below: NDArray[Any]) -> NDArray[np.float64]:
    ratio = np.full(np.shape(below), np.nan)
    np.divide(above, below, out=ratio, where=np.asarray(below) > 0)
    return ratio


def _mean_of_defined(values: NDArray[np.float64]) -> NDArray[np.float64]:
    defined = ~np.isnan(values)
    return _divide(np.where(defined, values, 0.0).sum(axis=-1), defined.sum(axis=-1))
