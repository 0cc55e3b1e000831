"""Whether a model is as often right as it is sure: calibration error, surprise and temperature.

A classifier's scores are read as chances: by people, by thresholds, by a cascade. Compression
can leave every answer as it was and still make the model surer than it should be, so the figures
of both models stand side by side. The expected calibration error follows Guo et al. 2017 ("On
Calibration of Modern Neural Networks", arXiv 1706.04599), in bins that hold equally many rows
(Nguyen and O'Connor 2015, arXiv 1508.05154): bins of equal width leave most of them nearly empty.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thinfer.errors import DataError
from thinfer.quality.foresight import fit_temperature

__all__ = ["Calibration", "measure_calibration", "measure_label_calibration"]

_BINS = 15  # as in Guo et al.
_MEAN_DEVIATION = math.sqrt(2 / math.pi)  # mean of |N(0, 1)|


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """How far a model's confidence is from how often it is right.

    Attributes:
        label: whose scores, where each label has a score of its own; else absent: the scores of
            the answers.
        ece: expected calibration error: mean over bins, weighed by rows, of the distance between
            mean confidence and share of right answers; 0 … 1.
        ece_by_chance: what a model that is calibrated exactly, and as sure of each row as this
            one, would show on so many rows: an error below it says nothing.
        nll: mean negative logarithm of the score of the truth, in nats.
        temperature: the one that makes the truth likeliest; above 1 where the model is too sure.
        rows: rows that were measured.
    """

    label: str | None
    ece: float
    ece_by_chance: float
    nll: float
    temperature: float
    rows: int


def measure_calibration(logits: NDArray[np.float32], truth: NDArray[np.int64]) -> Calibration:
    """Measure a model whose scores are the softmax of its logits.

    Args:
        logits: float32 `[rows, classes]`, finite.
        truth: int64 `[rows]`, classes.

    Returns:
        The figures, of the scores of the answers.

    Raises:
        DataError: there is no row, or rows differ in number.
    """
    _check(logits, truth.shape[:1])
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    sums = np.exp(shifted).sum(axis=1)
    of_truth = shifted[np.arange(len(truth)), truth]
    error, chance = _compare(1.0 / sums, logits.argmax(axis=1) == truth)
    return Calibration(
        label=None,
        ece=error,
        ece_by_chance=chance,
        nll=float(np.mean(np.log(sums) - of_truth)),
        temperature=fit_temperature(logits, truth),
        rows=len(truth),
    )


def measure_label_calibration(
    logits: NDArray[np.float32], members: NDArray[np.bool_], names: Sequence[str]
) -> tuple[Calibration, ...]:
    """Measure a model whose labels each have a sigmoid of their own.

    Args:
        logits: float32 `[rows, classes]`, finite.
        members: bool `[rows, classes]`, which labels each row holds.
        names: `[classes]`.

    Returns:
        One a label: how sure the model is that a row holds it, against how often one does.

    Raises:
        DataError: there is no row, or the shapes differ.
    """
    _check(logits, members.shape[:1])
    if members.shape != logits.shape or len(names) != logits.shape[1]:
        what = "logits and labels do not fit together"
        raise DataError(what, expected=str(logits.shape), got=f"{members.shape}, {len(names)}")
    found = []
    for place, name in enumerate(names):
        # The sigmoid of z is the softmax of (0, z).
        pair = np.stack([np.zeros(len(logits), np.float32), logits[:, place]], axis=1)
        held = members[:, place]
        value = pair[:, 1].astype(np.float64)
        error, chance = _compare(np.exp(-np.logaddexp(0.0, -value)), held)
        surprise = np.logaddexp(0.0, np.where(held, -value, value))
        found.append(
            Calibration(
                label=name,
                ece=error,
                ece_by_chance=chance,
                nll=float(surprise.mean()),
                temperature=fit_temperature(pair, held.astype(np.int64)),
                rows=len(held),
            )
        )
    return tuple(found)


def _check(logits: NDArray[np.float32], rows: tuple[int, ...]) -> None:
    if logits.ndim != 2 or not len(logits) or logits.shape[:1] != rows:
        what = "logits and truth do not fit together"
        raise DataError(what, expected="[rows, classes] and [rows], rows ≥ 1", got=str(rows))


def _compare(sure: NDArray[np.float64], right: NDArray[np.bool_]) -> tuple[float, float]:
    """Give the calibration error, and the mean of what chance alone would show."""
    order = np.argsort(sure, kind="stable")
    sure, hits = sure[order], right[order].astype(np.float64)
    # Rows of one and the same score stay in one bin: which of them came first means nothing.
    cuts = [int(np.searchsorted(sure, sure[len(sure) * step // _BINS])) for step in range(_BINS)]
    starts = np.unique([0, *cuts])
    error = np.abs(np.add.reduceat(sure - hits, starts)).sum()
    spread = np.sqrt(np.add.reduceat(sure * (1.0 - sure), starts)).sum() * _MEAN_DEVIATION
    return float(error / len(sure)), float(spread / len(sure))
