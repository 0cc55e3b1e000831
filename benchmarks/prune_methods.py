"""The ways of pruning that `benchmarks.prune` compares; each fills the same time budget."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks.prune_case import Case
from thinfer.compress.ladder import Ladder
from thinfer.compress.prune import PruneTarget, SearchSettings, prune_to
from thinfer.compress.score import (
    Scores,
    mask_from_scores,
    measure_fisher,
    rearrange_mask,
    score_activation,
    score_magnitude,
    score_taylor,
)
from thinfer.compress.state import State
from thinfer.compress.surgery import cut
from thinfer.text.batch import Batch

__all__ = ["METHODS", "SEEDED"]

_SCORED_TEXTS = 512  # for scores that want one pass a text


Method = Callable[[Case, float, int], State]


def ours(case: Case, speedup: float, seed: int, *, evaluations: int = 32) -> State:
    """The surgeon's ladders, the search, and the repair."""
    target = PruneTarget(budget=case.budget(speedup))
    search = SearchSettings(evaluations=evaluations, seed=seed) if evaluations > 1 else None
    small, _ = case.pruner.prune(target, search=search)
    return small


def without_search(case: Case, speedup: float, seed: int) -> State:
    """The same with the widths that the sum of losses gives."""
    return ours(case, speedup, seed, evaluations=1)


def uniform(case: Case, speedup: float, seed: int) -> State:
    """One share of heads and neurons in every layer, largest activations first, no repair."""
    del seed
    scores = score_activation(case.state.module(), _some(case))
    shares = np.linspace(1.0, 0.0, 201)
    budget = case.budget(speedup)
    for share in shares:
        widths = tuple(
            (round(share * layer.heads), round(share * layer.ffn))
            for layer in case.state.architecture.layers
        )
        if _price(case, widths) <= budget:
            return _cut(case, scores, PruneTarget(widths=widths, is_refitted=False))
    message = "no uniform width fits"
    raise ValueError(message)


def magnitude(case: Case, speedup: float, seed: int) -> State:
    """Smallest weights first, wherever they are; no repair."""
    del seed
    scores = score_magnitude(case.state.weights, case.state.architecture)
    return _globally(case, speedup, scores)


def activation(case: Case, speedup: float, seed: int) -> State:
    """Smallest contributions on calibration text first; no repair."""
    del seed
    return _globally(case, speedup, score_activation(case.state.module(), _some(case)))


def taylor(case: Case, speedup: float, seed: int) -> State:
    """Smallest absolute gradient of the gates first; no repair."""
    del seed
    state = case.state
    return _globally(case, speedup, score_taylor(state.module(), _some(case), pad_id=state.pad_id))


def fisher(case: Case, speedup: float, seed: int) -> State:
    """Smallest Fisher information of the gates first, then rearranged; no repair."""
    del seed
    state = case.state
    found = measure_fisher(state.module(), _some(case), pad_id=state.pad_id)
    small = _globally(case, speedup, found.scores)
    widths = [(layer.heads, layer.ffn) for layer in small.architecture.layers]
    heads, neurons = zip(*widths, strict=True)
    mask = mask_from_scores(found.scores, heads=heads, neurons=neurons)
    return cut(state, rearrange_mask(mask, found))


def at_random(case: Case, speedup: float, seed: int) -> State:
    """Heads and neurons by lot; no repair."""
    rng = np.random.default_rng(seed)
    layers = case.state.architecture.layers
    scores = Scores(
        heads=tuple(rng.random(layer.heads) for layer in layers),
        neurons=tuple(rng.random(layer.ffn) for layer in layers),
    )
    return _globally(case, speedup, scores)


METHODS: Mapping[str, Method] = {
    "thinfer": ours,
    "thinfer without search": without_search,
    "uniform width": uniform,
    "magnitude": magnitude,
    "activation": activation,
    "Taylor": taylor,
    "Fisher, rearranged": fisher,
    "random": at_random,
}
SEEDED = ("thinfer",)


def _some(case: Case) -> Batch:
    return case.calibration.select(list(range(min(_SCORED_TEXTS, len(case.calibration)))))


def _globally(case: Case, speedup: float, scores: Scores) -> State:
    """Fill the budget with what scores best: the same dynamic programme, other losses."""
    return _cut(case, scores, PruneTarget(budget=case.budget(speedup), is_refitted=False))


def _cut(case: Case, scores: Scores, target: PruneTarget) -> State:
    ladders = dataclasses.replace(
        case.ladders,
        heads=_climb(case.ladders.heads, scores.heads),
        neurons=_climb(case.ladders.neurons, scores.neurons),
    )
    small, _ = prune_to(case.state, ladders, case.calibration, target, costs=case.costs)
    return small


def _climb(ladders: Sequence[Ladder], scores: Sequence[NDArray[np.float64]]) -> tuple[Ladder, ...]:
    climbed = []
    for ladder, score in zip(ladders, scores, strict=True):
        order = np.argsort(score, kind="stable").astype(np.int64)
        lost = np.concatenate([[0.0], np.cumsum(score[order])])
        errors = lost[len(order) - ladder.widths]
        climbed.append(dataclasses.replace(ladder, order=order, errors=errors))
    return tuple(climbed)


def _price(case: Case, widths: Sequence[tuple[int, int]]) -> float:
    shape = case.state.architecture
    layers = tuple(
        dataclasses.replace(layer, heads=heads, ffn=ffn)
        for layer, (heads, ffn) in zip(shape.layers, widths, strict=True)
    )
    times = case.table.workloads["batch"]
    fixed = times.base + (len(layers) - 1) * times.layer
    return case.table.predict(dataclasses.replace(shape, layers=layers), "batch") - fixed
