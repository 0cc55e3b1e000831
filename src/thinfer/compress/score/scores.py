"""`Scores`: how much each head and neuron matters, whatever measured it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thinfer.architecture import Architecture, PruningMask
from thinfer.errors import DataError

__all__ = ["Scores", "mask_from_scores"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scores:
    """Importance of each structure; higher stays.

    Attributes:
        heads: per layer, float64 `[heads]`, ≥ 0.
        neurons: per layer, float64 `[ffn]`, ≥ 0.
    """

    heads: tuple[NDArray[np.float64], ...]
    neurons: tuple[NDArray[np.float64], ...]

    def check_fits(self, architecture: Architecture) -> None:
        """Check that every layer has a finite score for each of its structures.

        Raises:
            DataError: a width differs, or a score is not finite.
        """
        expected = [(layer.heads, layer.ffn) for layer in architecture.layers]
        pairs = zip(self.heads, self.neurons, strict=False)
        got = [(len(heads), len(neurons)) for heads, neurons in pairs]
        finite = all(np.isfinite(part).all() for part in (*self.heads, *self.neurons))
        if got != expected or not finite:
            what = "the scores do not fit the architecture"
            found = f"{got}, all finite: {finite}"
            raise DataError(what, expected=f"finite scores for (heads, ffn) {expected}", got=found)


def mask_from_scores(
    scores: Scores, *, heads: Sequence[int], neurons: Sequence[int]
) -> PruningMask:
    """Give the mask that keeps the highest scores of each layer; of equal ones the first.

    Args:
        scores: importance of each structure.
        heads: heads to keep per layer.
        neurons: neurons to keep per layer.
    """
    return PruningMask(
        heads=tuple(_keep_best(s, k) for s, k in zip(scores.heads, heads, strict=True)),
        neurons=tuple(_keep_best(s, k) for s, k in zip(scores.neurons, neurons, strict=True)),
        layers=(True,) * len(scores.heads),
    )


def _keep_best(values: NDArray[np.float64], count: int) -> NDArray[np.bool_]:
    stays = np.zeros(len(values), dtype=np.bool_)
    stays[np.argsort(-values, kind="stable")[:count]] = True  # 0 keeps none, all keeps all
    return stays
