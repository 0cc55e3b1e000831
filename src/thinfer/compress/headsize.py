"""Smaller heads: what is on offer for an attention block, and the weights of an option."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thinfer.architecture import LayerShape
from thinfer.compress.lowrank import factor_values
from thinfer.compress.state import Weights
from thinfer.errors import DataError

__all__ = [
    "HeadFit",
    "HeadOption",
    "ScoreForm",
    "SizedHeads",
    "list_sizes",
    "offer_options",
    "resize_attention",
]

Matrix = NDArray[np.float64]

_SMALLEST = 8  # below it products are too narrow for any engine here to gain
_WIDTHS = 4  # numbers of heads that come with smaller sizes: quarters of all


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadOption:
    """A number of heads with their sizes.

    Attributes:
        heads: heads kept, ≥ 1.
        qk_size: query and key size of one head.
        value_size: value size of one head.
    """

    heads: int
    qk_size: int
    value_size: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ScoreForm:
    """A block whose queries and keys have one size; moments in single precision.

    Attributes:
        maps: of each head's queries and keys, each float64 `[heads, qk size, old size]`; None
            where they keep their size.
        matrix: damped covariance of its contexts, float32 `[n, n]`.
        cross: damped covariance of its contexts with the whole block's, float32 `[n, n]`.
        mean: mean of its contexts, float64 `[n]`.
    """

    maps: tuple[Matrix, Matrix] | None
    matrix: NDArray[np.float32]
    cross: NDArray[np.float32]
    mean: Matrix


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SizedHeads:
    """The options of smaller heads of one attention block.

    Attributes:
        options: what is on offer; none where the heads are small already, or absent.
        errors: predicted loss of each, float64 `[options]`, in the ladder's unit.
        forms: the block by query-key size.
        metric: `M`, float32 `[hidden, hidden]`.
        mean: mean of the whole block's contexts, float64 `[n]`.
    """

    options: tuple[HeadOption, ...]
    errors: Matrix
    forms: Mapping[int, ScoreForm]
    metric: NDArray[np.float32]
    mean: Matrix

    @classmethod
    def none(cls) -> SizedHeads:
        """Give the empty offer of a block that has nothing to reduce."""
        nothing = np.zeros(0)
        metric = np.zeros((0, 0), dtype=np.float32)
        return cls(options=(), errors=nothing, forms={}, metric=metric, mean=nothing)

    def __post_init__(self) -> None:
        if len(self.options) != len(self.errors) or not np.all(self.errors >= 0.0):
            what = "the options of smaller heads do not fit together"
            expected = f"{len(self.options)} losses, none below 0"
            raise DataError(what, expected=expected, got=str(self.errors))


def offer_options(shape: LayerShape) -> tuple[HeadOption, ...]:
    """Give the options of smaller heads: quarters of the heads by halves and quarters of sizes.

    Args:
        shape: of the layer.

    Returns:
        Every pair of sizes but the layer's own, sizes of 64 and more with three quarters too.
    """
    own = (shape.qk_size, shape.value_size)
    step = max(1, shape.heads // _WIDTHS)
    counts = sorted({*range(step, shape.heads + 1, step), shape.heads} - {0})
    return tuple(
        HeadOption(heads=heads, qk_size=qk_size, value_size=value_size)
        for heads in counts
        for qk_size in _sizes(own[0])
        for value_size in _sizes(own[1])
        if (qk_size, value_size) != own
    )


def list_sizes(shape: LayerShape) -> tuple[int, ...]:
    """Give the smaller sizes that any option of a layer may have, rising.

    Args:
        shape: of the layer.
    """
    smaller = {*_sizes(shape.qk_size)[1:], *_sizes(shape.value_size)[1:]}
    return tuple(sorted(smaller))


def _sizes(size: int) -> tuple[int, ...]:
    parts = (size * 3 // 4,) if size >= 64 else ()
    return (size, *(part for part in (*parts, size // 2, size // 4) if part >= _SMALLEST))


class HeadFit:
    """The least-squares fit of a block's output on some heads of one of its score forms.

    Args:
        form: the block with its queries and keys.
        keep: entries of the contexts that stay, bool `[n]`.

    Raises:
        DataError: the moments of what stays cannot be factorised.
    """

    def __init__(self, form: ScoreForm, keep: NDArray[np.bool_]) -> None:
        self._matrix = form.matrix[np.ix_(keep, keep)].astype(np.float64)
        self._cross = form.cross[keep].astype(np.float64)  # [kept, n]
        try:
            # Positive definite by its damping; singular only by rounding or a broken model.
            np.linalg.cholesky(self._matrix)
            self._inverse = np.linalg.inv(self._matrix).astype(np.float64, copy=False)
        except np.linalg.LinAlgError as error:
            what = "the moments of smaller heads cannot be factorised"
            raise DataError(what, got=str(error), do="raise the damping") from error

    def explain(self, weight: Matrix) -> tuple[Matrix, float]:
        """Give the fitted weight, float64 `[rows, kept]`, and how much of the output it explains.

        Args:
            weight: on the whole block's contexts, float64 `[rows, n]`.
        """
        wanted = weight @ self._cross.T
        fitted = wanted @ self._inverse
        return fitted, float(np.sum(fitted * wanted))

    def map_values(self, weight: Matrix, size: int, rank: int) -> tuple[Matrix, float]:
        """Give the value maps, float64 `[heads, rank, size]`, and what they lose beyond the fit.

        Args:
            weight: weighed by the metric, on the whole block's contexts, float64 `[rows, n]`.
            size: value size of a head now.
            rank: value size to keep.
        """
        found = factor_values(self.explain(weight)[0], self._inverse, size, rank)
        return found.maps, found.loss

    def project(self, weight: Matrix, maps: Matrix) -> Matrix:
        """Give the projection of the mapped contexts, float64 `[rows, heads * rank]`.

        Args:
            weight: on the whole block's contexts, float64 `[rows, n]`.
            maps: of the values.
        """
        spread = _spread(maps)
        inner = spread @ self._matrix @ spread.T
        solved = np.linalg.solve(inner, spread @ self._cross @ weight.T).T
        return np.asarray(solved, dtype=np.float64)


def resize_attention(
    weights: Weights,
    shape: LayerShape,
    sized: SizedHeads,
    option: HeadOption,
    keep: NDArray[np.bool_],
) -> dict[str, NDArray[np.float32]]:
    """Give the attention weights of an option.

    Args:
        weights: `query.weight`, … `output.bias` of the whole block, float32.
        shape: of the layer before.
        sized: what was measured of it.
        option: one of its options.
        keep: heads that stay, bool `[heads]`.

    Returns:
        The same names; the output projection is fitted on the whole block's inputs.

    Raises:
        DataError: the option was not measured, or does not fit the heads that stay.
    """
    form = sized.forms.get(option.qk_size)
    if form is None or int(keep.sum()) != option.heads or option.value_size > shape.value_size:
        what = "an option of smaller heads does not fit its block"
        expected = f"{int(keep.sum())} heads, query-key sizes {sorted(sized.forms)}"
        raise DataError(what, expected=expected, got=str(option))
    fit = HeadFit(form, np.repeat(keep, shape.value_size))
    output = weights["output.weight"].astype(np.float64)
    metric = sized.metric.astype(np.float64)
    maps, _ = fit.map_values(metric @ output, shape.value_size, option.value_size)
    small = fit.project(output, maps)
    mean = _spread(maps) @ form.mean[np.repeat(keep, shape.value_size)]
    bias = weights["output.bias"] + output @ sized.mean - small @ mean
    query, key = form.maps or (None, None)
    result = {"output.weight": small, "output.bias": bias}
    for name, per_head in (("query", query), ("key", key), ("value", maps)):
        for part in ("weight", "bias"):
            array = weights[f"{name}.{part}"].astype(np.float64)
            heads = array.reshape(len(keep), -1, *array.shape[1:])[keep]
            if per_head is not None:
                chosen = per_head if name == "value" else per_head[keep]
                heads = np.einsum("hrd,hd...->hr...", chosen, heads)
            result[f"{name}.{part}"] = heads.reshape(-1, *array.shape[1:])
    return {name: array.astype(np.float32) for name, array in result.items()}


def _spread(maps: Matrix) -> Matrix:
    """Give the maps of all heads as one block-diagonal matrix, `[heads * rank, heads * size]`."""
    heads, rank, size = maps.shape
    whole = np.zeros((heads, rank, heads, size))
    whole[np.arange(heads), :, np.arange(heads)] = maps
    return whole.reshape(heads * rank, heads * size)
