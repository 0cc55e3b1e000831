"""The optimal-brain surgeon on structures: which columns of a projection to take out first.

A block ends in `y = W x + b`. Taking out columns `S` and updating the others exactly costs

    min over Ŵ, b̂ of  E ‖ M (W x + b − Ŵ x_K − b̂) ‖²
        = tr( M W (C − C_:K C_KK⁻¹ C_K:) Wᵀ Mᵀ ),      C = cov(x) + λ I,  K = the columns kept,

where `M` weighs the directions of the output (`M = I`: plain reconstruction). The free intercept is
what turns the second moment into a covariance. With the inverse `P = C⁻¹` of the columns still
there, taking out column j costs `‖M w_j‖² / P_jj`, and the exact update of everything left is
`W ← W − w_j P_j: / P_jj`, `P ← P − P_:j P_j: / P_jj`.

All arithmetic here is float64 and knows nothing of models.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from thinfer.errors import DataError

__all__ = ["Damped", "Elimination", "damp", "eliminate_columns", "eliminate_groups", "fit_columns"]

Matrix = NDArray[np.float64]

# Each further try of a failed factorisation multiplies the damping by this; two tries, then refuse.
_STRONGER = 100.0
_TRIES = 3
# Columns taken out between two products with the whole inverse: large enough for fast products,
# small enough that the pending part stays in cache.
_PANEL = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Damped:
    """A covariance that can be factorised.

    Attributes:
        matrix: `C = cov + λ I`, float64 `[n, n]`.
        inverse: `C⁻¹`, float64 `[n, n]`.
        ratio: λ as a part of the covariance's mean diagonal, as it was used.
        is_raised: whether the asked ratio failed and a stronger one was taken.
    """

    matrix: Matrix
    inverse: Matrix
    ratio: float
    is_raised: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Elimination:
    """The order in which structures go, and what is lost on the way.

    Attributes:
        order: structures in the order of removal, int64 `[n]`.
        errors: loss after the first `i` removals, float64 `[n + 1]`, rising from 0.
    """

    order: NDArray[np.int64]
    errors: Matrix


def damp(covariance: Matrix, ratio: float) -> Damped:
    """Damp and invert a covariance.

    Args:
        covariance: float64 `[n, n]`, symmetric.
        ratio: λ as a part of the mean diagonal, > 0.

    Returns:
        The damped matrix with its inverse; `is_raised` says when the damping had to be stronger.

    Raises:
        DataError: an entry is not finite, or no damping tried makes the matrix positive definite.
    """
    if not np.isfinite(covariance).all():
        what = "the calibration moments hold values that are not finite"
        raise DataError(what, expected="finite activations", do="check the model's weights")
    scale = float(np.trace(covariance)) / max(1, len(covariance))
    eye = torch.eye(len(covariance), dtype=torch.float64)
    used = ratio
    for attempt in range(_TRIES):
        matrix = torch.from_numpy(covariance) + eye * (used * scale if scale > 0 else used)
        factor, info = torch.linalg.cholesky_ex(matrix)
        if int(info) == 0:
            inverse = torch.cholesky_inverse(factor).numpy()
            return Damped(matrix=matrix.numpy(), inverse=inverse, ratio=used, is_raised=attempt > 0)
        used *= _STRONGER
    what = "the calibration moments cannot be factorised"
    raise DataError(
        what,
        expected=f"a positive definite matrix with damping up to {used / _STRONGER:g}",
        got=f"failure at row {int(info)} of {len(covariance)}",
        do="give more, and more varied, calibration texts",
    )


def eliminate_columns(weight: Matrix, inverse: Matrix) -> Elimination:
    """Take out columns one after another, always the one that costs least after exact updates.

    Args:
        weight: `M W`, float64 `[rows, n]`.
        inverse: `C⁻¹`, float64 `[n, n]`.

    Returns:
        The order of all `n` columns and the loss after each.

    Raises:
        DataError: rounding made a pivot non-positive.

    Note:
        Updates are kept as a panel of rank-one terms and multiplied out every 64 columns, so the
        work is matrix products although the order is the exact one-by-one greedy order.
    """
    scaled, rest = torch.from_numpy(weight).clone(), torch.from_numpy(inverse).clone()
    alive = torch.arange(weight.shape[1])
    order: list[int] = []
    losses: list[float] = []
    while len(alive):
        with _one_thread():
            picked, costs, left, right = _eliminate_panel(scaled, rest, min(_PANEL, len(alive)))
        order += alive[picked].tolist()
        losses += costs
        stays = torch.ones(len(alive), dtype=torch.bool)
        stays[picked] = False
        places = stays.nonzero().squeeze(1)
        right = right[places]
        # In place: the whole inverse is too large to be written once more than it must.
        scaled = scaled.index_select(1, places).addmm_(left, right.T, alpha=-1.0)
        rest = rest.index_select(0, places).index_select(1, places)
        rest.addmm_(right, right.T, alpha=-1.0)
        alive = alive[places]
    return Elimination(order=np.array(order, dtype=np.int64), errors=_accumulate(losses))


@contextmanager
def _one_thread() -> Iterator[None]:
    # Thousands of products too small to share: on a busy machine waiting for a second thread in
    # each of them can cost far more than the work itself.
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _eliminate_panel(
    scaled: torch.Tensor, rest: torch.Tensor, count: int
) -> tuple[list[int], list[float], torch.Tensor, torch.Tensor]:
    width = rest.shape[0]
    right = torch.zeros(width, count, dtype=torch.float64)  # the u of  P ← P − u uᵀ
    left = torch.zeros(scaled.shape[0], count, dtype=torch.float64)  # the v of  W ← W − v uᵀ
    norms, pivots = scaled.square().sum(0), rest.diagonal().clone()
    gone = torch.zeros(width, dtype=torch.bool)
    picked: list[int] = []
    costs: list[float] = []
    for step in range(count):
        cost = (norms / pivots).masked_fill(gone, torch.inf)
        column = int(cost.argmin())
        pivot = float(pivots[column])
        if not pivot > 0.0:
            what = "a pivot of the surgeon's elimination is not positive"
            raise DataError(what, got=f"{pivot:g}", do="raise the damping")
        done = right[column, :step]
        u = (rest[:, column] - right[:, :step] @ done) / pivot**0.5
        v = (scaled[:, column] - left[:, :step] @ done) / pivot**0.5
        cross = scaled.T @ v - right[:, :step] @ (left[:, :step].T @ v)  # [width]
        norms = (norms - 2.0 * u * cross + u.square() * v.square().sum()).clamp_min(0.0)
        pivots = pivots - u.square()
        gone[column] = True
        right[:, step], left[:, step] = u, v
        picked.append(column)
        costs.append(max(0.0, float(cost[column])))
    return picked, costs, left, right


def eliminate_groups(weight: Matrix, inverse: Matrix, size: int) -> Elimination:
    """Take out groups of `size` neighbouring columns, always the group that costs least.

    Args:
        weight: `M W`, float64 `[rows, groups * size]`.
        inverse: `C⁻¹`, float64 `[groups * size, groups * size]`.
        size: columns of a group (the value size of a head).

    Returns:
        The order of all groups and the loss after each.
    """
    scaled, rest = weight.copy(), inverse.copy()
    alive = list(range(weight.shape[1] // size))
    order: list[int] = []
    losses: list[float] = []
    while alive:
        trials = [_remove_group(scaled, rest, place, size) for place in range(len(alive))]
        best = int(np.argmin([cost for cost, _ in trials]))
        cost, gain = trials[best]
        chosen = slice(best * size, (best + 1) * size)
        stays = np.ones(len(alive) * size, dtype=np.bool_)
        stays[chosen] = False
        # gain = P_SS⁻¹ P_S: of the chosen group S
        scaled = (scaled - scaled[:, chosen] @ gain)[:, stays]
        rest = (rest - rest[:, chosen] @ gain)[np.ix_(stays, stays)]
        order.append(alive.pop(best))
        losses.append(cost)
    return Elimination(order=np.array(order, dtype=np.int64), errors=_accumulate(losses))


def _remove_group(scaled: Matrix, rest: Matrix, place: int, size: int) -> tuple[float, Matrix]:
    chosen = slice(place * size, (place + 1) * size)
    gain = np.linalg.solve(rest[chosen, chosen], rest[chosen]).astype(
        np.float64, copy=False
    )  # [size, n]
    part = scaled[:, chosen]
    solved = np.linalg.solve(rest[chosen, chosen], part.T)  # [size, rows]
    return max(0.0, float(np.sum(part.T * solved))), gain


def fit_columns(weight: Matrix, matrix: Matrix, keep: NDArray[np.bool_]) -> Matrix:
    """Give the best weights on the kept columns, `W C_:K C_KK⁻¹`.

    Args:
        weight: float64 `[rows, n]`.
        matrix: the damped covariance `C`, float64 `[n, n]`.
        keep: bool `[n]`.

    Returns:
        float64 `[rows, kept]`; equal to the surgeon's sequential updates in any order.

    Raises:
        DataError: the kept part is not positive definite.
    """
    target = torch.from_numpy(matrix[keep] @ weight.T)  # [kept, rows]
    factor, info = torch.linalg.cholesky_ex(torch.from_numpy(matrix[np.ix_(keep, keep)]))
    if int(info) != 0:
        what = "the moments of the kept columns cannot be factorised"
        raise DataError(what, got=f"failure at row {int(info)}", do="raise the damping")
    if not keep.any():
        return np.zeros((len(weight), 0))
    solved: Matrix = torch.cholesky_solve(target, factor).numpy().T
    return solved


def _accumulate(losses: list[float]) -> Matrix:
    return np.concatenate([np.zeros(1), np.cumsum(np.array(losses, dtype=np.float64))])
