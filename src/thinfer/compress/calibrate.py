"""Moments of what enters a projection, measured on calibration tokens."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from thinfer.errors import UserError
from thinfer.text.batch import Batch

__all__ = ["Moments", "measure_moments", "merge_moments", "sample_rows"]

# Tokens whose products are summed in float32 before they join the float64 sum.
_CHUNK = 4096
# Columns of a square that are multiplied at once: what lies above the diagonal is mirrored.
_COLUMNS = 768


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Moments:
    """Weighted moments of pairs (x, y), one pair a token; real tokens only, padding never counts.

    Attributes:
        total: sum of the token weights.
        mean_x: float64 `[n]`.
        mean_y: float64 `[m]`; m may be 0.
        cov_xx: float64 `[n, n]`; with a free intercept this is all that a fit needs.
        cov_xy: float64 `[n, m]`.
        var_y: summed variance of y, ≥ 0.
    """

    total: float
    mean_x: NDArray[np.float64]
    mean_y: NDArray[np.float64]
    cov_xx: NDArray[np.float64]
    cov_xy: NDArray[np.float64]
    var_y: float


def measure_moments(
    inputs: torch.Tensor, weights: torch.Tensor, targets: torch.Tensor | None = None
) -> Moments:
    """Measure the moments of inputs, and of targets beside them.

    Args:
        inputs: float32 `[tokens, n]`.
        weights: float32 `[tokens]`, ≥ 0, how much each token counts.
        targets: float32 `[tokens, m]`; none gives m = 0.

    Returns:
        The moments. Products are float32 over 4,096 centred tokens, sums float64; beside the
        inputs this takes `12 n²` bytes.

    Raises:
        UserError: there are no tokens, or none has weight.
    """
    total = float(weights.double().sum())
    if not total > 0.0:
        what = "there is no calibration token to measure"
        raise UserError(what, expected="at least one text", do="give calibration texts")
    outputs = inputs.new_zeros(len(inputs), 0) if targets is None else targets
    mean_x, mean_y = (weights @ inputs) / total, (weights @ outputs) / total
    cov_xx = torch.zeros(inputs.shape[1], inputs.shape[1], dtype=torch.float64)
    cov_xy = torch.zeros(inputs.shape[1], outputs.shape[1], dtype=torch.float64)
    var_y = 0.0
    for start in range(0, len(inputs), _CHUNK):
        rows = slice(start, start + _CHUNK)
        scale = weights[rows].sqrt().unsqueeze(1)
        x = (inputs[rows] - mean_x) * scale
        y = (outputs[rows] - mean_y) * scale
        cov_xx += _square(x)
        cov_xy += (x.T @ y).double()
        var_y += float(y.double().square().sum())
    return Moments(
        total=total,
        mean_x=mean_x.double().numpy(),
        mean_y=mean_y.double().numpy(),
        cov_xx=(cov_xx / total).numpy(),
        cov_xy=(cov_xy / total).numpy(),
        var_y=var_y / total,
    )


def _square(x: torch.Tensor) -> torch.Tensor:
    """Give `xᵀ x` in float64, summed in float32: float32 `[tokens, n]` to `[n, n]`."""
    square = x.new_empty(x.shape[1], x.shape[1])
    for start in range(0, x.shape[1], _COLUMNS):
        columns = slice(start, start + _COLUMNS)
        square[start:, columns] = x[:, start:].T @ x[:, columns]
        square[columns, start + _COLUMNS :] = square[start + _COLUMNS :, columns].T
    return square.double()


def merge_moments(first: Moments, second: Moments) -> Moments:
    """Give the moments of the two sets of tokens together.

    Args:
        first: moments of some tokens.
        second: moments of other tokens, of the same widths.
    """
    total = first.total + second.total
    a, b = first.total / total, second.total / total
    shift_x, shift_y = first.mean_x - second.mean_x, first.mean_y - second.mean_y
    cross = a * b  # between-set part of a pooled covariance
    return Moments(
        total=total,
        mean_x=a * first.mean_x + b * second.mean_x,
        mean_y=a * first.mean_y + b * second.mean_y,
        cov_xx=a * first.cov_xx + b * second.cov_xx + cross * np.outer(shift_x, shift_x),
        cov_xy=a * first.cov_xy + b * second.cov_xy + cross * np.outer(shift_x, shift_y),
        var_y=a * first.var_y + b * second.var_y + cross * float(shift_y @ shift_y),
    )


def sample_rows(batch: Batch, max_tokens: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Choose texts at random up to a number of tokens.

    Args:
        batch: all calibration texts.
        max_tokens: most tokens to take; at least one text is taken.
        rng: decides which.

    Returns:
        Indices of texts, int64 `[texts]`, shortest text first (equal lengths in file order).

    Raises:
        UserError: the batch is empty.
    """
    lengths = batch.lengths
    if len(lengths) == 0 or int(lengths.min()) < 1:
        what = "the calibration batch has no text, or one without tokens"
        raise UserError(what, expected="texts of at least one token", got=f"{len(lengths)} texts")
    shuffled = rng.permutation(len(lengths))
    fits = np.cumsum(lengths[shuffled]) <= max_tokens
    fits[0] = True
    chosen = np.sort(shuffled[fits])
    order: NDArray[np.int64] = chosen[np.argsort(lengths[chosen], kind="stable")]
    return order
