"""What smaller heads lose, in the ladder's unit.

For each query-key size on offer the block is run with the reduced scores, so what that loses is
seen and not estimated. With `x` the contexts of the whole block, `x̂` those of the reduced one on
the same inputs, K the heads kept and `L` the value maps, an option costs

    min over Ŵ, b̂ of  E ‖ M (W x + b − Ŵ L x̂_K − b̂) ‖² + λ ‖ M (W − Ŵ L) ‖²,

which is the surgeon's loss where nothing is reduced, damping included.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from thinfer.compress.attend import map_contexts, measure_scores
from thinfer.compress.calibrate import measure_moments
from thinfer.compress.headsize import HeadFit, HeadOption, ScoreForm, SizedHeads
from thinfer.compress.lowrank import factor_scores
from thinfer.compress.walk import Block, Packed
from thinfer.errors import InternalError
from thinfer.nn.encoder import Attention

__all__ = ["Dense", "measure_sizes"]

Matrix = NDArray[np.float64]


class Dense:
    """A whole attention block on calibration text.

    Args:
        block: an attention block with at least one head.
        states: what enters it, float32 `[tokens, hidden]`.
        packed: the texts the tokens belong to.
        weights: how much each token counts, float32 `[tokens]`.

    Raises:
        InternalError: the block has no heads.
    """

    def __init__(
        self, block: Block, states: torch.Tensor, packed: Packed, weights: torch.Tensor
    ) -> None:
        if block.is_empty or not isinstance(block.part, Attention):
            what = "a block without heads has no smaller ones"
            raise InternalError(what, do="skip it")
        self.part = block.part
        self.projection = block.projection.get_parameter("weight").double().numpy()
        self.contexts = block.read(states, packed)
        self._inputs = (states, packed)
        self._weights = weights

    def scores(self) -> tuple[Matrix, Matrix]:
        """Give the moments of queries and keys, each float64 `[heads, size, size]`."""
        return measure_scores(self.part, *self._inputs, self._weights)

    def reduce(self, maps: tuple[Matrix, Matrix], damping: float) -> ScoreForm:
        """Run the block with mapped queries and keys.

        Args:
            maps: of queries and keys, each float64 `[heads, rank, size]`.
            damping: λ, added to both covariances.
        """
        contexts = map_contexts(self.part, *self._inputs, maps)
        moments = measure_moments(contexts, self._weights, self.contexts)
        added = damping * np.eye(contexts.shape[1])
        return ScoreForm(
            maps=maps,
            matrix=(moments.cov_xx + added).astype(np.float32),
            cross=(moments.cov_xy + added).astype(np.float32),
            mean=moments.mean_x,
        )

    def keep(self, matrix: Matrix) -> ScoreForm:
        """Give the form of the block as it is.

        Args:
            matrix: its damped covariance, float64 `[n, n]`.
        """
        total = self._weights.sum()
        mean = ((self._weights @ self.contexts) / total).double().numpy()
        both = matrix.astype(np.float32)
        return ScoreForm(maps=None, matrix=both, cross=both, mean=mean)


def measure_sizes(
    dense: Dense,
    matrix: Matrix,
    metric: Matrix,
    options: Sequence[HeadOption],
    *,
    order: NDArray[np.int64],
    damping: float,
) -> SizedHeads:
    """Measure what smaller heads lose.

    Args:
        dense: the block.
        matrix: damped covariance of its contexts, float64 `[n, n]`.
        metric: `M`, float64 `[hidden, hidden]`.
        options: what to measure.
        order: heads in the order of removal, int64 `[heads]`.
        damping: of `matrix`, as a part of the covariance's mean diagonal.

    Returns:
        The options with their losses.
    """
    part = dense.part
    own = part.query.out_features // part.heads
    forms = {own: dense.keep(matrix)}
    smaller = sorted({option.qk_size for option in options} - {own})
    if smaller:
        queries, keys = dense.scores()
        # λ of `matrix`, whose diagonal holds it once beside the covariance's own.
        added = damping / (1.0 + damping) * float(matrix.diagonal().mean())
        for size in smaller:
            found = [factor_scores(q, k, size) for q, k in zip(queries, keys, strict=True)]
            maps = np.stack([f.query for f in found]), np.stack([f.key for f in found])
            forms[size] = dense.reduce(maps, added)
    weight = metric @ dense.projection
    # One fit serves all value sizes of so many heads of a form.
    ordered = sorted(options, key=_fit_of)
    errors: list[float] = []
    for (heads, qk_size), group in itertools.groupby(ordered, key=_fit_of):
        keep = np.isin(np.arange(part.heads), order[part.heads - heads :])
        errors += _measure_losses(
            forms[qk_size], keep, weight, matrix, [each.value_size for each in group]
        )
    return SizedHeads(
        options=tuple(ordered),
        errors=np.array(errors, dtype=np.float64),
        forms=forms,
        metric=metric.astype(np.float32),
        mean=forms[own].mean,
    )


def _fit_of(option: HeadOption) -> tuple[int, int]:
    return option.heads, option.qk_size


def _measure_losses(
    form: ScoreForm,
    keep: NDArray[np.bool_],
    weight: Matrix,
    matrix: Matrix,
    value_sizes: Sequence[int],
) -> list[float]:
    size = weight.shape[1] // len(keep)
    fit = HeadFit(form, np.repeat(keep, size))
    explained = fit.explain(weight)[1]
    lost = max(0.0, float(np.sum((weight @ matrix) * weight)) - explained)
    return [lost + fit.map_values(weight, size, rank)[1] for rank in value_sizes]
