"""Importance by the Fisher information of the gates: its diagonal, and its blocks by layer.

The diagonal ignores that structures stand in for each other. `rearrange_mask` keeps the widths that
it chose and swaps structures within a block, using the block's whole Fisher matrix (Kwon et al.
2022, "A fast post-training pruning framework for transformers", sections 4.1 and 4.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from thinfer.architecture import PruningMask
from thinfer.compress.score.gradient import gate_gradients, mean_over_texts
from thinfer.compress.score.scores import Scores
from thinfer.nn.encoder import EncoderClassifier
from thinfer.text.batch import Batch

__all__ = ["Fisher", "measure_fisher", "rearrange_mask", "score_fisher"]

Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fisher:
    """Second moments of the gates' gradients, block by block.

    Attributes:
        heads: per layer, float64 `[heads, heads]`.
        neurons: per layer, float64 `[ffn, ffn]`.
    """

    heads: tuple[Matrix, ...]
    neurons: tuple[Matrix, ...]

    @property
    def scores(self) -> Scores:
        """The diagonals."""
        return Scores(
            heads=tuple(np.diag(matrix).copy() for matrix in self.heads),
            neurons=tuple(np.diag(matrix).copy() for matrix in self.neurons),
        )


def measure_fisher(
    module: EncoderClassifier,
    batch: Batch,
    *,
    pad_id: int,
    labels: NDArray[np.int64] | None = None,
    is_multi_label: bool = False,
) -> Fisher:
    """Give the mean outer product of each block's gate gradients.

    Args:
        module: the model, in evaluation mode.
        batch: calibration texts; each is one pass, so a few hundred are plenty. Beside the result
            this takes 8 bytes for each gate and text.
        pad_id: token id of the padding.
        labels: true classes, int64 `[sequences]`; the model's own answers when absent.
        is_multi_label: classes are sets of labels as bits.

    Raises:
        DataError: labels and texts differ in number.
    """
    found = gate_gradients(
        module, batch, pad_id=pad_id, labels=labels, is_multi_label=is_multi_label
    )
    rows = list(found)
    depth = len(module.architecture.layers)

    def gather(kind: int) -> tuple[Matrix, ...]:
        stacks = [np.stack([row[kind][layer] for row in rows]) for layer in range(depth)]
        return tuple(stack.T @ stack / len(rows) for stack in stacks)

    return Fisher(heads=gather(0), neurons=gather(1))


def score_fisher(
    module: EncoderClassifier,
    batch: Batch,
    *,
    pad_id: int,
    labels: NDArray[np.int64] | None = None,
    is_multi_label: bool = False,
) -> Scores:
    """Give the mean squared gradient of the loss at every head's and neuron's gate.

    Args:
        module: the model, in evaluation mode.
        batch: calibration texts; each is one pass, so a few hundred are plenty.
        pad_id: token id of the padding.
        labels: true classes, int64 `[sequences]`; the model's own answers when absent.
        is_multi_label: classes are sets of labels as bits.

    Returns:
        Per text the gate's gradient, squared, then the mean over texts.

    Raises:
        DataError: labels and texts differ in number.
    """
    return mean_over_texts(
        module, batch, np.square, pad_id=pad_id, labels=labels, is_multi_label=is_multi_label
    )


def rearrange_mask(mask: PruningMask, fisher: Fisher) -> PruningMask:
    """Swap structures within each block until no swap lowers the quadratic loss.

    Args:
        mask: what stays; the number that stays in each block does not change.
        fisher: of the unpruned model.

    Returns:
        A mask whose `rᵀ F r`, with r = 1 for what is removed, is no higher in any block.
    """
    return replace(
        mask,
        heads=_rearrange(mask.heads, fisher.heads),
        neurons=_rearrange(mask.neurons, fisher.neurons),
    )


def _rearrange(
    parts: Sequence[NDArray[np.bool_]], matrices: Sequence[Matrix]
) -> tuple[NDArray[np.bool_], ...]:
    return tuple(_swap(part, matrix) for part, matrix in zip(parts, matrices, strict=True))


def _swap(stays: NDArray[np.bool_], matrix: Matrix) -> NDArray[np.bool_]:
    stays = stays.copy()
    diagonal = np.diag(matrix)
    while True:
        gone, kept = np.flatnonzero(~stays), np.flatnonzero(stays)
        if not len(gone) or not len(kept):
            return stays
        load = 2.0 * matrix[:, gone].sum(axis=1)  # 2 F r
        # Taking i back and removing j instead changes rᵀ F r by
        #   F_ii − 2 (F r)_i  +  F_jj + 2 (F r)_j − 2 F_ij.
        change = (diagonal - load)[gone, None] + (diagonal + load)[None, kept]
        change -= 2.0 * matrix[np.ix_(gone, kept)]
        place = int(change.argmin())
        back, out = gone[place // len(kept)], kept[place % len(kept)]
        if change.flat[place] >= -1e-12 * max(1.0, float(np.abs(diagonal).max())):
            return stays
        stays[back], stays[out] = True, False
