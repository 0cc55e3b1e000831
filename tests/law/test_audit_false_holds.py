"""Law: an audit calls a bundle that is at the floor `holds` at most once in twenty windows."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest

from tests.law.test_false_holds import FLOORS, GAINS, ROWS, binomial, poisson
from thinfer.quality.audit import AuditCounts, Stratum
from thinfer.quality.intervals import clopper_pearson_lower, clopper_pearson_upper
from thinfer.quality.paired import bound_loss

DRAWS = 300
SLACK = 3 * math.sqrt(0.05 * 0.95 / DRAWS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Traffic of which 20 % are flagged, 70 % of them rightly; exact shares of each kind."""

    loss: float
    gain: float

    @property
    def shares(self) -> list[float]:
        """Lost, falsely flagged and dropped, gained, falsely added, kept, falsely kept, others."""
        lost = 0.14 * self.loss + self.gain
        parts = [lost, 0.006, self.gain, 0.01, 0.14 - lost, 0.054]
        return [*parts, 1 - sum(parts)]


def draw_counts(
    window: Window, rows: int, *, sample: int, most: int, rng: np.random.Generator
) -> AuditCounts:
    """A window, the samples drawn from it, and their labels."""
    kinds = rng.multinomial(rows, window.shares)
    changed, agreed = kinds[:4], kinds[4:6]
    seen = rng.multivariate_hypergeometric(changed, min(most, int(changed.sum())))
    kept = rng.multivariate_hypergeometric(agreed, min(sample, int(agreed.sum())))
    strata = [
        Stratum(population=int(kind.sum()), asked=int(part.sum()), missing=0, found=int(part[0]))
        for kind, part in ((changed[:2], seen[:2]), (changed[2:], seen[2:]), (agreed, kept))
    ]
    return AuditCounts(lost=strata[0], gained=strata[1], kept=strata[2])


@pytest.mark.parametrize("gain", [0.0, 0.003])
@pytest.mark.parametrize(("sample", "most"), [(10**6, 10**6), (100, 10**6), (100, 60)])
@pytest.mark.parametrize(("rows", "loss"), [(2000, 0.02), (20_000, 0.005), (20_000, 0.05)])
def test_bounds_cover_the_true_retention(
    rows: int, loss: float, sample: int, most: int, gain: float
) -> None:
    rng = np.random.default_rng(17)
    window = Window(loss=loss, gain=gain)
    low = high = 0
    for _ in range(DRAWS):
        counts = draw_counts(window, rows, sample=sample, most=most, rng=rng)
        low += counts.retention_low() <= 1 - loss + 1e-12
        high += counts.retention_high() >= 1 - loss - 1e-12
    assert low / DRAWS >= 0.95 - SLACK
    assert high / DRAWS >= 0.95 - SLACK


def test_the_point_estimate_in_place_of_the_bound_of_the_precision_is_refused() -> None:
    """Guard: T taken as estimated and no error kept for it makes too many false holds."""
    rng, held, window = np.random.default_rng(5), 0, Window(loss=0.05, gain=0.0)
    for _ in range(DRAWS):
        counts = draw_counts(window, 20_000, sample=20, most=10**6, rng=rng)
        held += bound_loss(counts.lost.found, 0, max(1.0, counts.trials)) <= 0.05
    assert held / DRAWS > 0.05 + SLACK


@pytest.mark.parametrize("rows", [1000, 10_000])
def test_the_bound_without_labels_covers_even_where_every_change_is_a_loss(rows: int) -> None:
    """No falsely flagged row is dropped: the worst case, for which the bound is made."""
    rng, draws, loss, precision = np.random.default_rng(3), 500, 0.03, 0.7
    held = 0
    for _ in range(draws):
        flagged = rng.binomial(rows, 0.2)
        changed = rng.binomial(flagged, precision * loss)
        right = rng.binomial(500, precision)  # of another labelled file
        bound = clopper_pearson_upper(changed, flagged, 0.975)
        held += 1 - bound / clopper_pearson_lower(right, 500, 0.975) <= 1 - loss
    assert held / draws >= 0.95 - 3 * math.sqrt(0.05 * 0.95 / draws)


@pytest.mark.parametrize("trials", ROWS)
def test_the_paired_rule_keeps_its_word_at_half_of_the_error(trials: int) -> None:
    """Exact sums, as in test_false_holds: at most 2.5 % at 97.5 % confidence."""
    wide, gains = int(0.05 * trials + 20 + 3 * math.sqrt(0.05 * trials + 20)), 45
    few = [bound_loss(lost, 0, trials, 0.975) for lost in range(min(20, wide))]
    bounds = np.asarray(
        [
            [few[b] if b + c < 20 else bound_loss(b, c, trials, 0.975) for c in range(gains)]
            for b in range(wide)
        ]
    )
    for floor in FLOORS:
        for gained in GAINS:
            lost = binomial(trials, floor + gained / trials, wide)
            chance = float(lost @ (bounds <= floor + 1e-9) @ poisson(gained, gains))
            assert chance <= 0.025, (trials, floor, gained, chance)


@pytest.mark.parametrize("gained", [0, 4, 12, 19, 30])
@pytest.mark.parametrize("found", [0, 3, 8, 15])
def test_the_bound_is_the_worst_of_all_that_the_samples_allow(found: int, gained: int) -> None:
    """The change of rules at 20 changed rows included, where the bound jumps."""
    counts = AuditCounts(
        lost=Stratum(population=40, asked=30, missing=0, found=found),
        gained=Stratum(population=30, asked=30, missing=0, found=gained),
        kept=Stratum(population=600, asked=100, missing=0, found=70),
    )
    each = 1 - 0.025 / 2
    low = counts.retention_low()
    for lost in range(counts.lost.at_least(each), counts.lost.at_most(each) + 1):
        for kept in range(counts.kept.at_least(each), counts.kept.at_most(each) + 1, 7):
            assert low <= 1 - bound_loss(lost, gained, lost + kept, 0.975) + 1e-12


@pytest.mark.parametrize("confidence", [0.95, 0.975])
def test_the_bound_never_grows_with_gains(confidence: float) -> None:
    for lost in range(40):
        bounds = [bound_loss(lost, gained, 5000, confidence) for gained in range(60)]
        assert (np.diff(bounds) <= 1e-12).all()
