"""The watch on promised floors: rarely wrong at the floor, near the limit of any test beyond it."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.watch import ALLOWED, fewest_texts, texts_until_stop

# What no valid test can go below on average: ln 20 / KL.
TABLE = ((0.02, 233), (0.01, 1541))


@pytest.mark.parametrize(("loss", "fewest"), TABLE)
def test_the_limit_of_any_test_is_the_known_one(loss: float, fewest: int) -> None:
    assert fewest_texts(loss) == pytest.approx(fewest, abs=1)


@pytest.mark.parametrize(("loss", "fewest"), TABLE)
def test_a_bad_version_is_stopped_near_the_limit(loss: float, fewest: int) -> None:
    rng = np.random.default_rng(1)
    found = [texts_until_stop(rng, loss=loss) for _ in range(400)]
    stops = [item for item in found if item is not None]
    assert len(stops) == len(found)  # always, in the end
    assert np.median(stops) < 1.3 * fewest
    # A test told the loss beforehand would need the limit; not to know it costs less than half.
    assert fewest < np.mean(stops) < 1.6 * fewest


def test_a_version_at_the_floor_is_rarely_stopped_however_long_one_looks() -> None:
    rng = np.random.default_rng(2)
    found = [texts_until_stop(rng, loss=ALLOWED, horizon=100_000) for _ in range(400)]
    # At most 5 % in the long run; 29 of 400 or more would come once in thirty trials at 5 %.
    assert sum(item is not None for item in found) <= 28


def test_a_version_below_the_floor_is_left_alone() -> None:
    rng = np.random.default_rng(3)
    found = [texts_until_stop(rng, loss=ALLOWED / 2, horizon=100_000) for _ in range(200)]
    assert sum(item is not None for item in found) <= 2
