"""Importance by the first-order change of the loss when a gate closes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from thinfer.compress.score.gradient import mean_over_texts
from thinfer.compress.score.scores import Scores
from thinfer.nn.encoder import EncoderClassifier
from thinfer.text.batch import Batch

__all__ = ["score_taylor"]


def score_taylor(
    module: EncoderClassifier,
    batch: Batch,
    *,
    pad_id: int,
    labels: NDArray[np.int64] | None = None,
    is_multi_label: bool = False,
) -> Scores:
    """Give the mean absolute gradient of the loss at every head's and neuron's gate.

    Args:
        module: the model, in evaluation mode.
        batch: calibration texts; each is one pass, so a few hundred are plenty.
        pad_id: token id of the padding.
        labels: true classes, int64 `[sequences]`; the model's own answers when absent.
        is_multi_label: classes are sets of labels as bits.

    Returns:
        `E |∂L/∂gate|` over texts (Michel, Levy & Neubig 2019, equation 3).

    Raises:
        DataError: labels and texts differ in number.
    """
    return mean_over_texts(
        module, batch, np.abs, pad_id=pad_id, labels=labels, is_multi_label=is_multi_label
    )
