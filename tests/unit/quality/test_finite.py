from __future__ import annotations

from math import comb

import pytest

from thinfer.quality.finite import count_at_least, count_at_most
from thinfer.quality.intervals import clopper_pearson_lower


def chance(found: int, sample: int, marked: int, population: int) -> float:
    ways = comb(marked, found) * comb(population - marked, sample - found)
    return ways / comb(population, sample)


@pytest.mark.parametrize("population", [1, 5, 8])
def test_in_every_small_set_the_bounds_cover_as_often_as_they_say(population: int) -> None:
    """Exact sums over all outcomes of all samples of all sets."""
    for sample in range(population + 1):
        for marked in range(population + 1):
            low = high = 0.0
            for found in range(max(0, sample - population + marked), min(sample, marked) + 1):
                p = chance(found, sample, marked, population)
                low += p * (count_at_least(found, sample, population, 0.9) <= marked)
                high += p * (count_at_most(found, sample, population, 0.9) >= marked)
            assert min(low, high) >= 0.9 - 1e-12


@pytest.mark.parametrize(("found", "sample"), [(3, 20), (19, 20), (150, 200)])
def test_the_bound_is_the_tightest_one(found: int, sample: int) -> None:
    population = 500
    low = count_at_least(found, sample, population, 0.975)

    def tail(marked: int) -> float:
        most = min(sample, marked)
        return sum(chance(k, sample, marked, population) for k in range(found, most + 1))

    assert tail(low) > 0.025 >= tail(low - 1)


def test_a_sample_of_all_rows_says_everything() -> None:
    for found in (0, 3, 7):
        assert count_at_least(found, 7, 7) == found == count_at_most(found, 7, 7)


def test_a_sample_of_no_row_says_nothing() -> None:
    assert count_at_least(0, 0, 50) == 0
    assert count_at_most(0, 0, 50) == 50
    assert count_at_least(0, 0, 0) == 0 == count_at_most(0, 0, 0)


def test_an_endless_set_gives_clopper_and_pearson() -> None:
    share = count_at_least(170, 200, 10**8, 0.975) / 10**8
    assert share == pytest.approx(clopper_pearson_lower(170, 200, 0.975), abs=1e-4)
