"""Importance by how much each structure writes into the residual on calibration text."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from thinfer.compress.score.scores import Scores
from thinfer.compress.walk import embed, list_blocks, pack
from thinfer.nn.encoder import EncoderClassifier
from thinfer.text.batch import Batch

__all__ = ["score_activation"]


def score_activation(module: EncoderClassifier, batch: Batch) -> Scores:
    """Give the mean squared size of what each head and neuron adds, as if it stood alone.

    Args:
        module: the model, in evaluation mode.
        batch: calibration texts.

    Returns:
        For a neuron `E a² ‖w‖²`, with `a` its activation and `w` its column; for a head the same of
        its whole context.
    """
    packed = pack(batch, np.argsort(batch.lengths, kind="stable"))
    scores: list[NDArray[np.float64]] = []
    with torch.no_grad():
        states = embed(module, packed)
        for block in list_blocks(module):
            inputs = block.read(states, packed)
            scores.append(np.zeros(0) if block.is_empty else _added(block.projection, inputs))
            states = block.finish(states, inputs)
    heads = [
        score.reshape(layer.heads, layer.value_size).sum(1) if layer.heads else score
        for score, layer in zip(scores[0::2], module.architecture.layers, strict=True)
    ]
    return Scores(heads=tuple(heads), neurons=tuple(scores[1::2]))


def _added(projection: torch.nn.Module, inputs: torch.Tensor) -> NDArray[np.float64]:
    columns = projection.get_parameter("weight").double().square().sum(0)
    power: NDArray[np.float64] = (inputs.double().square().mean(0) * columns).numpy()
    return power
