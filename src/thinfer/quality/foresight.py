"""What changed answers can be expected to cost, and what is known once it was counted as well.

Counting right answers on a few hundred labelled rows says little: where a dozen answers changed,
how many of them were right before is mostly chance. How *sure* the original was of each answer
that changed says more, and with far less chance in it. `foresee` puts that on the scale of a floor:
what would be kept if the truth of each row were drawn from the original's own probabilities,
calibrated on the same rows (Guo et al. 2017, arXiv 1706.04599: one temperature). A model that
answers other than the original only at random would keep that much. Real compressed models keep
somewhat more, and `shrink` weighs the two by their errors, as an empirical Bayes estimate does
(Efron and Morris 1973): on few rows what was foreseen leads, on many rows what was counted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thinfer.quality.floor import Floor
from thinfer.quality.labels import LabelSet

__all__ = [
    "Estimate",
    "calibrate",
    "draw_likely_truths",
    "draw_truths",
    "fit_temperature",
    "is_foreseeable",
    "shrink",
]

Classes = NDArray[np.int64]
Probabilities = NDArray[np.float64]

# Of what is foreseen to be lost, the upper end of what compressed states of three teachers really
# lost, for a broken floor costs more than a slower form; and how far they lie from it
# (docs/why/22-foresee-and-count.md).
_LOST_SHARE = 0.75
_LOST_SPREAD = 0.4

_TEMPERATURES = np.exp(np.linspace(np.log(0.2), np.log(20.0), 93))
_DRAWS = 32  # truths a row; in equal steps through its probabilities, so that few are enough
_MOST = 2_000_000  # truths of all rows: of so many rows counting says enough
_GOLDEN = 0.6180339887498949


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a floor asks about.

    Attributes:
        ratio: the value; for a relative floor the share of the original's that is kept.
        error: its paired standard error.
    """

    ratio: float
    error: float


def fit_temperature(logits: NDArray[np.float32], truth: Classes) -> float:
    """Give the temperature, in 0.2 … 20, that makes the truth likeliest.

    Args:
        logits: float32 `[rows, classes]`.
        truth: int64 `[rows]`, classes.
    """
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    of_truth = shifted[np.arange(len(truth)), truth]

    def surprise(temperature: float) -> float:
        sums = np.log(np.exp(shifted / temperature).sum(axis=1))
        return float(np.mean(sums - of_truth / temperature))

    return float(min(_TEMPERATURES.tolist(), key=surprise))


def calibrate(logits: NDArray[np.float32], truth: Classes) -> Probabilities:
    """Give probabilities of the classes at the temperature that makes the truth likeliest.

    Args:
        logits: float32 `[rows, classes]`.
        truth: int64 `[rows]`, classes.

    Returns:
        float64 `[rows, classes]`; a temperature lies in 0.2 … 20.
    """
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    powers = np.exp(shifted / fit_temperature(logits, truth))
    chances: Probabilities = powers / powers.sum(axis=1, keepdims=True)
    return chances


def draw_likely_truths(logits: NDArray[np.float32], truth: Classes, labels: LabelSet) -> Classes:
    """Draw truths from a model's calibrated probabilities.

    Args:
        logits: float32 `[rows, classes]`.
        truth: int64 `[rows]`, classes, or sets of labels of a multi-label model.
        labels: the classes.

    Returns:
        int64 `[draws, rows]`; the labels of a set are drawn each for itself.
    """
    if not labels.is_multi_label:
        return draw_truths(calibrate(logits, truth))
    held = labels.members(truth)
    drawn = []
    for place in range(len(labels)):
        # A sigmoid is the softmax of the logit and 0; each label gets its own temperature.
        pair = np.stack([np.zeros(len(logits), dtype=np.float32), logits[:, place]], axis=1)
        chances = calibrate(pair, held[:, place].astype(np.int64))
        # Steps of one label must not coincide with another's, or labels would come together.
        drawn.append(draw_truths(chances, shift=place * _GOLDEN / 7) == 1)
    return labels.encode_members(np.stack(drawn, axis=-1))


def is_foreseeable(floor: Floor) -> bool:
    """Say whether the original's probabilities bear on a floor: the truth plays a part in it."""
    return floor.relative and floor.metric not in ("agreement", "flag_rate")


def draw_truths(probabilities: Probabilities, *, shift: float = 0.0) -> Classes:
    """Give truths for each row in the proportion of its probabilities.

    Args:
        probabilities: float64 `[rows, classes]`.
        shift: turns the draws, in parts of all of them, so that other draws do not go alongside.

    Returns:
        int64 `[draws, rows]`, 32 draws or, of more than 62,500 rows, fewer; the same for the same
        probabilities: nothing is left to chance.
    """
    rows = len(probabilities)
    draws = max(1, min(_DRAWS, _MOST // max(1, rows)))
    shifts = np.arange(rows) * _GOLDEN % 1.0  # steps of different rows do not coincide
    turned = (np.arange(draws)[:, None] + round(shift * draws) * np.arange(1, rows + 1)) % draws
    places = (turned + shifts) / draws
    edges = probabilities.cumsum(axis=1)
    edges[:, -1] = 1.0
    return np.stack([(row[:, None] >= edges).sum(axis=1) for row in places]).astype(np.int64)


def shrink(counted: Estimate, foreseen: float, *, trials: int) -> Estimate:
    """Weigh what was counted with what was foreseen.

    Args:
        counted: of a relative floor; its answers are not all those of the original.
        foreseen: ratio where the truth is drawn from the original's probabilities.
        trials: rows that the original had; what was counted on them is never taken to be known
            better than to one row.

    Returns:
        The estimate, with its standard error.
    """
    spread = _LOST_SPREAD * abs(1.0 - foreseen)
    if spread == 0.0:
        return counted
    prior = 1.0 - _LOST_SHARE * (1.0 - foreseen)
    weights = np.array([max(counted.error, 1.0 / trials) ** -2, spread**-2])
    ratio = float(weights @ [counted.ratio, prior] / weights.sum())
    return Estimate(ratio, float(weights.sum() ** -0.5))
