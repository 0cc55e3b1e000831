"""Importance by the squared gradient of the loss at each gate (diagonal Fisher information)."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from thinfer.compress.score.scores import Scores
from thinfer.errors import DataError
from thinfer.nn.encoder import EncoderClassifier
from thinfer.text.batch import Batch

__all__ = ["score_fisher"]


def score_fisher(
    module: EncoderClassifier,
    batch: Batch,
    *,
    pad_id: int,
    labels: NDArray[np.int64] | None = None,
) -> Scores:
    """Give the mean squared gradient of the loss at every head's and neuron's gate.

    Args:
        module: the model, in evaluation mode.
        batch: calibration texts; each is one pass, so a few hundred are plenty.
        pad_id: token id of the padding.
        labels: true classes, int64 `[sequences]`; the model's own answers when absent.

    Returns:
        Per text the gate's gradient, squared, then the mean over texts.

    Raises:
        DataError: labels and texts differ in number.
    """
    if labels is not None and len(labels) != len(batch):
        what = "labels and calibration texts differ in number"
        raise DataError(what, expected=f"{len(batch)} labels", got=f"{len(labels)}")
    module.requires_grad_(False)
    shapes = module.architecture.layers
    sums = [
        *(torch.zeros(shape.heads, dtype=torch.float64) for shape in shapes),
        *(torch.zeros(shape.ffn, dtype=torch.float64) for shape in shapes),
    ]
    for row in range(len(batch)):
        inputs = [torch.from_numpy(part) for part in batch.select([row]).padded(pad_id)]
        gates = [torch.ones(len(total), requires_grad=True) for total in sums]
        heads, neurons = gates[: len(shapes)], gates[len(shapes) :]
        logits = module(*inputs, head_gates=heads, neuron_gates=neurons)
        answer = logits.argmax(1) if labels is None else torch.tensor([int(labels[row])])
        loss = functional.cross_entropy(logits, answer)
        # A dropped block has gates of width 0, or none that the loss reaches.
        gradients = torch.autograd.grad(loss, gates, allow_unused=True)
        for total, gradient in zip(sums, gradients, strict=True):
            if gradient is not None:
                total += gradient.double().square()
    scores = [(total / max(1, len(batch))).numpy() for total in sums]
    return Scores(heads=tuple(scores[: len(shapes)]), neurons=tuple(scores[len(shapes) :]))
