from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from thinfer.quality.intervals import (
    clopper_pearson_lower,
    clopper_pearson_upper,
    mcnemar,
    paired_bootstrap,
)


@pytest.mark.parametrize(("losses", "trials"), [(0, 1), (0, 598), (3, 40), (37, 90), (99, 100)])
def test_clopper_pearson_is_the_rate_that_gives_five_percent(losses: int, trials: int) -> None:
    bound = clopper_pearson_upper(losses, trials)
    tail = math.fsum(
        math.comb(trials, k) * bound**k * (1 - bound) ** (trials - k) for k in range(losses + 1)
    )
    assert tail == pytest.approx(0.05, rel=1e-6)


def test_clopper_pearson_at_the_ends() -> None:
    assert clopper_pearson_upper(5, 5) == 1.0
    assert clopper_pearson_upper(0, 0) == 1.0
    assert clopper_pearson_lower(0, 5) == 0.0
    assert clopper_pearson_lower(598, 598) == pytest.approx(0.995, abs=1e-5)
    assert clopper_pearson_upper(0, 10**9) == pytest.approx(-math.log(0.05) / 1e9, rel=1e-3)


@pytest.mark.parametrize(
    ("losses", "needed"), [(0, 598), (1, 947), (2, 1258), (5, 2100), (10, 3389)]
)
def test_rows_that_half_a_percent_needs(losses: int, needed: int) -> None:
    assert clopper_pearson_upper(losses, needed) <= 0.005
    assert clopper_pearson_upper(losses, needed - 1) > 0.005


def test_mcnemar() -> None:
    assert mcnemar(0, 0) == 1.0
    assert mcnemar(5, 5) == 1.0
    assert mcnemar(0, 6) == pytest.approx(2 / 64)
    assert mcnemar(6, 0) == mcnemar(0, 6)
    assert 0 < mcnemar(3000, 3300) < 1e-3


def test_bootstrap_gives_the_error_of_a_mean() -> None:
    def share(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(weights[:, 1] / weights.sum(axis=1))

    counts = np.asarray([300, 100])
    first = paired_bootstrap(share, counts, rng=np.random.default_rng(1))
    again = paired_bootstrap(share, counts, rng=np.random.default_rng(1))
    assert np.array_equal(first, again)
    assert bool(np.all(np.diff(first) >= 0))
    assert first.std() == pytest.approx(math.sqrt(0.25 * 0.75 / 400), rel=0.1)


def test_bootstrap_of_many_cells_is_drawn_in_parts() -> None:
    counts = np.ones(50_000, dtype=np.int64)
    drawn = paired_bootstrap(
        lambda rows: rows.sum(axis=1), counts, rng=np.random.default_rng(1), replicates=100
    )
    assert drawn.tolist() == [50_000.0] * 100
