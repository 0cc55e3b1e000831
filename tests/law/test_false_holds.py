"""Law: a candidate exactly at the floor is called `holds` at most once in twenty test sets."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from thinfer.quality import LabelSet, judge, parse_floor
from thinfer.quality.paired import bound_growth, bound_loss
from thinfer.quality.resampled import PairCells

Values = NDArray[np.float64]
ROWS = (100, 300, 598, 947, 1430, 2100, 3090, 3389, 6000, 6939, 10_000)
FLOORS = (0.001, 0.005, 0.01, 0.02, 0.05)
GAINS = (0.0, 0.3, 1.0, 3.0, 8.0, 20.0)  # rows gained, on average


def binomial(trials: int, rate: float, size: int) -> Values:
    """Give the chances of 0 … size - 1."""
    counts = range(min(size, trials + 1))
    logs = [
        math.lgamma(trials + 1)
        - math.lgamma(k + 1)
        - math.lgamma(trials - k + 1)
        + k * math.log(rate)
        + (trials - k) * math.log1p(-rate)
        for k in counts
    ]
    return np.asarray([math.exp(log) for log in logs] + [0.0] * (size - len(counts)))


def poisson(mean: float, size: int) -> Values:
    if mean == 0:
        return np.asarray([1.0] + [0.0] * (size - 1))
    logs = [k * math.log(mean) - mean - math.lgamma(k + 1) for k in range(size)]
    return np.asarray([math.exp(log) for log in logs])


def collect_bounds(trials: int, losses: int, gains: int) -> Values:
    """Give what `bound_loss` says of every count, `[losses, gains]`."""
    few = [bound_loss(lost, 0, trials) for lost in range(min(20, losses))]
    rows = [
        [few[b] if b + c < 20 else bound_loss(b, c, trials) for c in range(gains)]
        for b in range(losses)
    ]
    return np.asarray(rows)


@pytest.mark.parametrize("trials", ROWS)
def test_paired_rule_makes_few_false_holds(trials: int) -> None:
    """Exact sums over all outcomes, no simulation: losses binomial in T, gains Poisson."""
    wide, gains = int(0.05 * trials + 20 + 3 * math.sqrt(0.05 * trials + 20)), 45
    bounds = collect_bounds(trials, wide, gains)
    for floor in FLOORS:
        holds = bounds <= floor + 1e-9
        for gained in GAINS:
            rate = floor + gained / trials
            lost = binomial(trials, rate, wide)
            chance = float(lost @ holds @ poisson(gained, gains))
            assert chance <= 0.05, (trials, floor, gained, chance)


def test_the_rule_without_the_variance_at_the_floor_is_refused() -> None:
    """The same sum catches `b − c + 1.645·√(b + c) ≤ m·T`: 8.7 % false holds."""
    trials, floor = 1428, 0.02
    holds = [b + 1.645 * math.sqrt(b) <= floor * trials for b in range(20, 80)]
    chance = float(binomial(trials, floor, 80)[20:] @ np.asarray(holds))
    few = [b for b in range(20) if bound_loss(b, 0, trials) <= floor]
    chance += float(binomial(trials, floor, 20)[few].sum())
    assert chance > 0.08


@pytest.mark.parametrize(("rows", "flagged", "removed"), [(800, 0.1, 2.0), (6000, 0.3, 12.0)])
def test_growth_rule_makes_few_false_holds(rows: int, flagged: float, removed: float) -> None:
    """The flag rate: the rows added are not among the T, and T is chance as well."""
    rng, growth, draws = np.random.default_rng(11), 0.05, 1500
    lost = removed / rows
    added = growth * flagged + lost
    chances = [added, lost, flagged - lost, 1 - added - flagged]
    drawn = rng.multinomial(rows, chances, size=draws)
    held = [bound_growth(b, c, c + both) <= growth for b, c, both, _ in drawn.tolist()]
    assert np.mean(held) <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / draws)


def draw_population(loss: float, gain: float) -> tuple[NDArray[np.int64], Values]:
    """Give all (truth, original, candidate) `[cells, 3]` of three uneven classes, with chances."""
    cells, chances = [], []
    for truth, share in enumerate((0.8, 0.15, 0.05)):
        for first in range(3):
            right = first == truth
            for second in range(3):
                if right:
                    step = 1 - loss if second == truth else loss / 2
                else:
                    step = gain if second == truth else (1 - gain) * (second == first)
                cells.append((truth, first, second))
                chances.append(share * (0.9 if right else 0.05) * step)
    return np.asarray(cells), np.asarray(chances)


@pytest.mark.parametrize("metric", ["macro_f1", "recall", "precision[a]"])
@pytest.mark.parametrize(("rows", "loss", "gain"), [(100, 0.005, 0.0), (2000, 0.02, 0.1)])
def test_resampled_metrics_make_few_false_holds(
    metric: str, rows: int, loss: float, gain: float
) -> None:
    labels, draws, rng = LabelSet(("n", "a", "b")), 100, np.random.default_rng(5)
    cells, chances = draw_population(loss, gain)
    exact = PairCells(
        floor=parse_floor(f"{metric}>=99%", labels),
        place=1 if "[" in metric else None,
        triples=cells,
        counts=np.round(chances * 1e9).astype(np.int64),
        labels=labels,
    )
    floor = parse_floor(f"{metric}>={float(exact.ratio()) * 100:.9f}%", labels)
    held = 0
    for drawn in rng.multinomial(rows, chances / chances.sum(), size=draws):
        truth, first, second = np.repeat(cells, drawn, axis=0).T
        verdict = judge(
            floor, truth=truth, original=first, candidate=second, labels=labels, rng=rng
        )
        held += verdict.verdict == "holds"
    assert held / draws <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / draws)
