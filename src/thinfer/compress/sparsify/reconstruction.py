"""Layer-wise optimal brain surgeon: zeros that keep each matrix's own output, with exact updates.

For each row w of a matrix on inputs x with covariance C (the intercept is free and takes up the
mean), setting w_j to 0 costs w_j² / [C⁻¹]_jj and moves what stays by −w_j [C⁻¹]_j: / [C⁻¹]_jj.
Inputs are visited from first to last, so that one Cholesky factor of C⁻¹ serves every row
(Frantar and Alistarh 2023, "SparseGPT", sections 3.2 and 3.3).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from thinfer.compress.calibrate import Moments, measure_moments
from thinfer.compress.sparsify.pattern import Pattern, choose_stays
from thinfer.compress.surgeon import damp
from thinfer.compress.walk import Block, Packed, embed, list_blocks
from thinfer.errors import at
from thinfer.nn.encoder import Attention, EncoderClassifier, FeedForward

__all__ = ["Rebuilt", "rebuild_matrices", "zero_with_updates"]

_PANEL = 128  # inputs whose zeros are chosen together; a multiple of 4


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rebuilt:
    """One matrix after its zeros.

    Attributes:
        name: canonical name of the matrix.
        damping: as it was used, a part of the inputs' mean variance.
        is_raised: whether a stronger damping than asked was needed.
    """

    name: str
    damping: float
    is_raised: bool


def rebuild_matrices(
    module: EncoderClassifier,
    packed: Packed,
    *,
    pattern: Pattern,
    sparsity: float,
    damping: float,
    names: Mapping[str, NDArray[np.bool_]],
) -> Iterator[Rebuilt]:
    """Set weights of a module to zero in place, matrix after matrix, each on the inputs it now has.

    Args:
        module: the model, in evaluation mode; changed.
        packed: calibration texts.
        pattern: how zeros may lie.
        sparsity: share of zeros of each matrix, 0 … 1.
        damping: ridge as a part of the inputs' mean variance, > 0.
        names: of the matrices to change → which weights may stay, bool `[out, in]`.

    Yields:
        What was done, after each matrix. A key and a value count every token; what follows them in
        the last layer counts first tokens alone, for the head reads no other.
    """
    module.requires_grad_(False)
    states = embed(module, packed)
    last = len(module.layers) - 1
    everything = torch.ones(len(packed.ids))
    first = torch.zeros(len(packed.ids)).index_fill_(0, packed.first, 1.0)
    for block in list_blocks(module):
        read = first if block.layer == last else everything
        for name, linear, inputs, weights in _products(block, states, packed, (read, everything)):
            if name not in names:
                continue
            with at(matrix=name):
                moments = measure_moments(inputs, weights)
                damped = damp(moments.cov_xx, damping)
                wanted = linear.weight.double().numpy()
                found = zero_with_updates(
                    wanted, damped.inverse, names[name], pattern=pattern, sparsity=sparsity
                )
            _replace(linear, wanted, found, moments)
            yield Rebuilt(name=name, damping=damped.ratio, is_raised=damped.is_raised)
        states = block.finish(states, block.read(states, packed))


def _products(
    block: Block, states: Tensor, packed: Packed, weights: tuple[Tensor, Tensor]
) -> Iterator[tuple[str, nn.Linear, Tensor, Tensor]]:
    """Give name, layer, inputs and token weights of each matrix, inputs read when its turn is."""
    if block.is_empty or not isinstance(block.projection, nn.Linear):
        return
    read, everything = weights
    prefix = f"layers.{block.layer}"
    if isinstance(block.part, Attention):
        part = block.part
        yield f"{prefix}.attention.query.weight", part.query, states, read
        yield f"{prefix}.attention.key.weight", part.key, states, everything
        yield f"{prefix}.attention.value.weight", part.value, states, everything
        inputs = block.read(states, packed)
        yield f"{prefix}.attention.output.weight", block.projection, inputs, read
    elif isinstance(block.part, FeedForward):
        yield f"{prefix}.ffn.up.weight", block.part.up, states, read
        inputs = block.read(states, packed)
        yield f"{prefix}.ffn.down.weight", block.projection, inputs, read


def _replace(
    linear: nn.Linear, wanted: NDArray[np.float64], found: NDArray[np.float64], moments: Moments
) -> None:
    shift = (wanted - found) @ moments.mean_x  # what the mean input no longer gives
    with torch.no_grad():
        linear.weight.copy_(torch.from_numpy(found.astype(np.float32)))
        linear.bias.add_(torch.from_numpy(shift.astype(np.float32)))


def zero_with_updates(
    weight: NDArray[np.float64],
    inverse: NDArray[np.float64],
    may_stay: NDArray[np.bool_],
    *,
    pattern: Pattern,
    sparsity: float,
) -> NDArray[np.float64]:
    """Choose zeros and move what stays, inputs from first to last.

    Args:
        weight: float64 `[out, in]`, `in` a multiple of the pattern's step.
        inverse: `C⁻¹`, float64 `[in, in]`, positive definite.
        may_stay: bool `[out, in]`; what is False becomes 0 in any case.
        pattern: how zeros may lie.
        sparsity: share of zeros, 0 … 1.

    Returns:
        float64 `[out, in]`, exactly 0 where it was chosen or may not stay.
    """
    rest = torch.from_numpy(weight).clone()
    factor = torch.linalg.cholesky(torch.from_numpy(inverse), upper=True)
    width = rest.shape[1]
    panel = pattern.group if pattern.group > 1 else _PANEL - _PANEL % pattern.block
    zeros_left, allowed = sparsity * rest.numel(), torch.from_numpy(may_stay)
    for start in range(0, width, panel):
        stop = min(width, start + panel)
        part, own = rest[:, start:stop], factor[start:stop, start:stop]
        scores = (part.square() / own.diagonal().square()) * allowed[:, start:stop]
        share = min(1.0, max(0.0, zeros_left / (len(rest) * (width - start))))
        stays = choose_stays({"": scores}, pattern, share, is_global=False)[""]
        stays &= allowed[:, start:stop]
        zeros_left -= float((~stays).sum())
        errors = torch.zeros_like(part)
        for column in range(stop - start):
            gone = part[:, column] * ~stays[:, column]
            errors[:, column] = gone / own[column, column]
            part[:, column:] -= errors[:, column, None] * own[column, column:]
        part.masked_fill_(~stays, 0.0)
        rest[:, stop:] -= errors @ factor[start:stop, stop:]
    return rest.numpy()
