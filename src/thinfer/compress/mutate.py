"""Search over widths: dynamic programming proposes, stitched models on calibration text decide.

Sums of single losses ignore how blocks lose together. So the errors of the blocks are given
factors, drawn around the best ones so far; each draw is solved exactly under the budget, stitched,
and judged (the search of SPDY, Frantar & Alistarh 2022, on the ladders of the surgeon). Where a
rough judge is given, it leads the search, and the exact one decides between the few best.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thinfer.compress.select import choose_widths
from thinfer.core.progress import Progress
from thinfer.errors import UserError

__all__ = ["SearchSettings", "Searched", "search_options"]

_FRONT = 1024  # of the dynamic programme of one draw: noise is added to the losses anyway
_FINALISTS = 4  # of a rough search, judged exactly beside the first choice

Judge = Callable[[tuple[int, ...]], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchSettings:
    """How long to search, and how far from the best so far.

    Attributes:
        evaluations: stitched models that are judged, ≥ 1; 1 takes what the sum of losses says.
        spread: standard deviation of a factor's logarithm, > 0.
        share: blocks whose factor changes in one draw, in (0, 1].
        pinned: share of the draws in which one block's option is drawn by lot, in 0 … 1.
        seed: of the draws.
        max_tokens: most tokens of calibration text that judge.
    """

    evaluations: int = 32
    spread: float = 0.7
    share: float = 0.3
    pinned: float = 0.3
    seed: int = 0
    max_tokens: int = 4096

    def __post_init__(self) -> None:
        if self.evaluations < 1 or not self.spread > 0 or not 0 < self.share <= 1:
            what = "the settings of the search are impossible"
            expected = "evaluations ≥ 1, spread > 0, share in 0 … 1"
            raise UserError(what, expected=expected, got=str(self))


@dataclass(frozen=True, slots=True, kw_only=True)
class Searched:
    """What a search chose.

    Attributes:
        options: index of the chosen option of each block.
        loss: of the chosen one.
        first_loss: of what the sum of losses alone would have chosen.
        judged: stitched models that were judged.
    """

    options: tuple[int, ...]
    loss: float
    first_loss: float
    judged: int


def search_options(
    errors: Sequence[NDArray[np.float64]],
    costs: Sequence[NDArray[np.float64]],
    budget: float,
    judge: Judge,
    *,
    settings: SearchSettings,
    progress: Progress,
    rough: Judge | None = None,
) -> Searched:
    """Choose one option per block under a budget.

    Args:
        errors: per block, loss of each option, float64 `[options]`.
        costs: per block, cost of each option, float64 `[options]`.
        budget: most total cost.
        judge: gives the loss of a choice; lower is better.
        settings: how long.
        progress: told of each choice judged.
        rough: a faster, less exact judge for all but the finalists.

    Returns:
        The best choice judged; never worse, by `judge`, than `choose_widths` alone.
    """
    first = choose_widths(errors, costs, budget)
    seen = _draw_choices(errors, costs, budget, rough or judge, first, settings, progress)
    judged = len(seen)
    if rough is not None:
        ranked = sorted(seen, key=seen.__getitem__)
        finalists = dict.fromkeys((first, *ranked[:_FINALISTS]))
        seen = {choice: judge(choice) for choice in finalists}
    best = min(seen, key=seen.__getitem__)  # of equals the first drawn
    return Searched(options=best, loss=seen[best], first_loss=seen[first], judged=judged)


def _draw_choices(
    errors: Sequence[NDArray[np.float64]],
    costs: Sequence[NDArray[np.float64]],
    budget: float,
    judge: Judge,
    first: tuple[int, ...],
    settings: SearchSettings,
    progress: Progress,
) -> dict[tuple[int, ...], float]:
    """Give the loss of every choice that was drawn, the first one's among them."""
    rng = np.random.default_rng(settings.seed)
    best, seen = first, {first: judge(first)}
    factors = np.zeros(len(errors))
    with progress.task("search over widths", settings.evaluations) as advance:
        advance(1)
        for _ in range(4 * settings.evaluations):  # a draw may repeat a choice: that costs nothing
            if len(seen) >= settings.evaluations:
                break
            step = rng.normal(0.0, settings.spread, len(errors))
            drawn = factors + step * (rng.random(len(errors)) < settings.share)
            weighed = [error * np.exp(each) for error, each in zip(errors, drawn, strict=True)]
            pinned = int(rng.integers(len(errors))) if rng.random() < settings.pinned else None
            choice = _solve(weighed, costs, budget, pinned, rng)
            if choice is None or choice in seen:
                continue
            seen[choice] = judge(choice)
            advance(1)
            if seen[choice] < seen[best]:
                best, factors = choice, drawn
    return seen


def _solve(
    errors: Sequence[NDArray[np.float64]],
    costs: Sequence[NDArray[np.float64]],
    budget: float,
    pinned: int | None,
    rng: np.random.Generator,
) -> tuple[int, ...] | None:
    """Solve one draw; a pinned block takes an option by lot, which no factor might reach."""
    errors, costs = list(errors), list(costs)
    option = 0
    if pinned is not None:
        option = int(rng.integers(len(errors[pinned])))
        errors[pinned] = errors[pinned][option : option + 1]
        costs[pinned] = costs[pinned][option : option + 1]
        if sum(float(cost.min()) for cost in costs) > budget:
            return None
    choice = list(choose_widths(errors, costs, budget, front=_FRONT))
    if pinned is not None:
        choice[pinned] = option
    return tuple(choice)
