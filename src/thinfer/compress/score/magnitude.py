"""Importance by the size of the weights alone; needs no data."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from thinfer.architecture import Architecture
from thinfer.compress.score.scores import Scores

__all__ = ["score_magnitude"]


def score_magnitude(
    weights: Mapping[str, NDArray[np.float32]], architecture: Architecture
) -> Scores:
    """Give the squared size of what leaves each head and neuron.

    Args:
        weights: canonical name → float32 array.
        architecture: their shape.

    Returns:
        Squared norm of the structure's columns of the output projection.
    """
    heads, neurons = [], []
    for index, layer in enumerate(architecture.layers):
        output = weights.get(f"layers.{index}.attention.output.weight")
        down = weights.get(f"layers.{index}.ffn.down.weight")
        per_head = _square_columns(output).reshape(layer.heads, -1 if layer.heads else 0)
        heads.append(per_head.sum(1))
        neurons.append(_square_columns(down))
    return Scores(heads=tuple(heads), neurons=tuple(neurons))


_NONE: NDArray[np.float64] = np.zeros(0)


def _square_columns(weight: NDArray[np.float32] | None) -> NDArray[np.float64]:
    if weight is None:
        return _NONE
    columns: NDArray[np.float64] = np.square(weight.astype(np.float64)).sum(0)
    return columns
