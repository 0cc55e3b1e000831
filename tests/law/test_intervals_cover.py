"""Law: each bound of a verdict's interval covers the truth in at least 94 of 100 test sets."""

from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks.proof_draws import LABELS, Population, draw_verdicts
from benchmarks.proof_power import count_rows, expect_proof, size_liu, size_nam
from benchmarks.proof_sums import (
    Change,
    chance_of_covering,
    chance_of_holding,
    sum_binomial,
    wilson,
)
from thinfer.quality import parse_floor
from thinfer.quality.intervals import (
    clopper_pearson_lower,
    clopper_pearson_upper,
    paired_bootstrap,
)
from thinfer.quality.resampled import PairCells

LEAST = 0.94


@pytest.mark.parametrize("trials", [100, 1000, 3000])
@pytest.mark.parametrize("net", [-0.01, 0.0, 0.005, 0.02])
@pytest.mark.parametrize("changed", [0.02, 0.05])
def test_both_bounds_of_retention_cover(trials: int, net: float, changed: float) -> None:
    change = Change.at(trials, net=net, changed=changed, others=trials // 4)
    low, high = chance_of_covering(change)
    assert min(low, high) >= LEAST


@pytest.mark.parametrize("rows", [20, 300])
@pytest.mark.parametrize("rate", [0.5, 0.9, 0.995])
def test_both_bounds_of_a_rate_cover(rows: int, rate: float) -> None:
    first, chances = sum_binomial(rows, 1 - rate)
    kept = [rows - first - place for place in range(len(chances))]
    assert chances @ [clopper_pearson_lower(count, rows) <= rate for count in kept] >= 0.95
    assert chances @ [clopper_pearson_upper(count, rows) >= rate for count in kept] >= 0.95


def test_the_interval_of_wilson_would_be_refused() -> None:
    """Why no verdict rests on it: 90 % where 95 % is said."""
    first, chances = sum_binomial(100, 0.001)
    ends = [wilson(100 - first - place, 100) for place in range(len(chances))]
    assert chances @ [low <= 0.999 <= high for low, high in ends] < 0.91


@pytest.mark.parametrize(
    ("metric", "is_relative"), [("macro_f1", False), ("macro_f1", True), ("precision[rare]", True)]
)
def test_bounds_by_resampling_cover(metric: str, is_relative: bool) -> None:
    draws = 120
    found = draw_verdicts(
        Population.of(accuracy=0.85, lost=0.03, gained=0.1),
        metric,
        is_relative=is_relative,
        rows=300,
        draws=draws,
        rng=np.random.default_rng(4),
    )
    slack = 2 * math.sqrt(0.06 * LEAST / draws)
    assert found["low_covers"]["share"] >= LEAST - slack
    assert found["high_covers"]["share"] >= LEAST - slack
    assert found["held"]["share"] <= 0.05 + slack


def test_an_upper_bound_by_percentiles_alone_is_refused() -> None:
    """Resamples lack rare classes: on 100 rows the 95 % quantile covers some 82 %."""
    population = Population.of(accuracy=0.85, lost=0.03, gained=0.1)
    true = population.value_of("macro_f1", is_relative=False)
    floor, rng, covered = parse_floor("macro_f1>=0.5", LABELS), np.random.default_rng(7), 0
    for drawn in rng.multinomial(100, population.chances, size=150):
        truth, first, second = np.repeat(population.triples, drawn, axis=0).T
        cells = PairCells.collect(
            floor, truth=truth, original=first, candidate=second, labels=LABELS
        )
        plain = paired_bootstrap(cells.ratio, cells.counts, rng=rng, replicates=500)
        covered += int(np.quantile(plain, 0.95) >= true)
        assert cells.interval(rng)[1] >= np.quantile(plain, 0.95) - 0.05
    assert covered / 150 < 0.9


def test_needed_rows_are_those_of_published_sizes_where_many_rows_change() -> None:
    many = {"lost": 0.0225, "gained": 0.0225, "margin": 0.0045, "power": 0.8}
    ours = count_rows(net=0.0, changed=0.05, allowed=0.005, share=0.9, power=0.8) / 0.9
    assert size_liu(**many) <= size_nam(**many)
    assert 1.0 <= ours / size_nam(**many) <= 1.05


def test_sizes_without_a_margin_are_the_published_ones() -> None:
    """Connor 1987: 45 % and 5 % discordant, 5 % two-sided, power 80 %: 23 pairs."""
    size = size_nam(lost=0.05, gained=0.45, margin=0.0, power=0.8, error=0.025)
    assert math.ceil(size) == 23


def test_rows_at_which_expected_counts_prove_are_an_even_chance() -> None:
    trials = expect_proof(net=0.001, changed=0.02, allowed=0.005)
    change = Change.at(trials, net=0.001, changed=0.02, others=trials // 9)
    assert 0.4 <= chance_of_holding(change, 0.005) <= 0.6
