"""Which width each block gets: the least total loss within a cost budget."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from thinfer.errors import UserError

__all__ = ["choose_widths"]

# Partial choices kept between two blocks. Below it the answer is exact; above it the cost axis is
# cut into that many cells and the best of each cell goes on (the budget is still never exceeded).
_FRONT = 8192


def choose_widths(
    errors: Sequence[NDArray[np.float64]],
    costs: Sequence[NDArray[np.float64]],
    budget: float,
    *,
    front: int = _FRONT,
) -> tuple[int, ...]:
    """Choose one option per block with the least sum of errors whose sum of costs fits the budget.

    Args:
        errors: per block, loss of each option, float64 `[options]`.
        costs: per block, cost of each option, float64 `[options]`, in any unit (seconds, MACs).
        budget: most total cost, in that unit.
        front: partial choices kept between two blocks, ≥ 2; fewer are faster and less exact.

    Returns:
        The index of the chosen option of each block. Of equal errors the cheaper wins.

    Raises:
        UserError: even the cheapest options together exceed the budget, or shapes differ.

    Note:
        Dynamic programming over blocks on the front of undominated (cost, error) pairs.
    """
    _check(errors, costs)
    least = np.array([float(cost.min()) for cost in costs])
    # Room for rounding in the sums, so that a budget equal to a sum of costs is reachable.
    room = budget + 1e-9 * abs(budget)
    if float(least.sum()) > room:
        what = "no choice of widths fits the cost budget"
        raise UserError(
            what,
            expected=f"a budget of at least {float(least.sum()):g}",
            got=f"{budget:g}",
            do="ask for a higher ratio, or drop layers",
        )
    needed = np.append(np.cumsum(least[::-1])[::-1][1:], 0.0)  # least cost of the blocks after
    total_cost, total_error = np.zeros(1), np.zeros(1)
    trail: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
    for error, cost, after in zip(errors, costs, needed, strict=True):
        new_cost = (total_cost[:, None] + cost[None, :]).ravel()
        new_error = (total_error[:, None] + error[None, :]).ravel()
        best = _undominated(new_cost, new_error, room - after, front)
        trail.append((best // len(cost), best % len(cost)))
        total_cost, total_error = new_cost[best], new_error[best]
    place = len(total_cost) - 1  # the front falls in error as cost rises
    chosen: list[int] = []
    for parents, options in reversed(trail):
        chosen.append(int(options[place]))
        place = int(parents[place])
    return tuple(reversed(chosen))


def _check(errors: Sequence[NDArray[np.float64]], costs: Sequence[NDArray[np.float64]]) -> None:
    shapes = [len(error) for error in errors], [len(cost) for cost in costs]
    if shapes[0] != shapes[1] or 0 in shapes[0]:
        what = "the cost table does not fit the ladders"
        raise UserError(what, expected=f"options per block {shapes[0]}", got=str(shapes[1]))


def _undominated(
    cost: NDArray[np.float64], error: NDArray[np.float64], limit: float, most: int
) -> NDArray[np.int64]:
    fits = np.flatnonzero(cost <= limit)
    ranked = fits[np.lexsort((error[fits], cost[fits]))]
    best_before = np.concatenate([[np.inf], np.minimum.accumulate(error[ranked])[:-1]])
    front: NDArray[np.int64] = ranked[error[ranked] < best_before]
    if len(front) <= most:
        return front
    low, high = float(cost[front[0]]), float(cost[front[-1]])
    cell = np.floor((cost[front] - low) / (high - low) * (most - 1))
    # Within a cell the last is the dearest and the best; the very cheapest must stay reachable.
    last = np.append(np.flatnonzero(np.diff(cell)), len(front) - 1)
    thinned: NDArray[np.int64] = front[np.unique(np.append(last, 0))]
    return thinned
