"""Laws of the due times, a pattern each."""

from __future__ import annotations

import numpy as np
import pytest

from thinfer.bench.arrivals import PATTERNS, draw_arrivals, draw_due_times
from thinfer.errors import UserError


def draw(
    pattern: str, *, seed: int = 0, **changed: float
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    given = {"rate": 40.0, "seconds": 100.0, **changed}
    return draw_arrivals(pattern, rng=np.random.default_rng(seed), **given)  # type: ignore[arg-type]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_every_pattern_keeps_the_rate_and_the_time(pattern: str) -> None:
    times = draw(pattern)
    assert times.dtype == np.float64
    assert np.all(np.diff(times) >= 0)
    assert times[0] >= 0
    assert times[-1] < 100.0
    # Five standard deviations of the pattern that spreads most: bursts of ten.
    assert len(times) == pytest.approx(4000, abs=5 * np.sqrt(400) * 10)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_the_same_seed_gives_the_same_times(pattern: str) -> None:
    assert draw(pattern).tobytes() == draw(pattern).tobytes()
    assert (draw(pattern).tobytes() == draw(pattern, seed=1).tobytes()) == (pattern == "steady")


def test_steady_requests_are_equally_far_apart_from_the_start() -> None:
    times = draw("steady")
    assert times[0] == 0.0
    assert len(times) == 4000
    assert np.allclose(np.diff(times), 1 / 40)
    assert len(draw("steady", rate=0.5, seconds=1.0)) == 1


def test_poisson_gaps_are_those_of_independent_users() -> None:
    gaps = np.diff(draw("poisson"))
    assert gaps.mean() == pytest.approx(1 / 40, rel=0.1)
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.1)  # an exponential's
    assert np.mean(gaps > 1 / 40) == pytest.approx(np.exp(-1), abs=0.05)


def test_bursts_come_together_and_as_often_as_the_rate_asks() -> None:
    moments, counts = np.unique(draw("bursts", burst=8), return_counts=True)
    assert set(counts) == {8}
    gaps = np.diff(moments)
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.2)
    assert len(moments) == pytest.approx(4000 / 8, rel=0.25)
    assert np.array_equal(draw("bursts", burst=1), draw("poisson"))


def test_a_short_stretch_may_be_empty() -> None:
    assert len(draw("poisson", rate=1e-6, seconds=1e-3)) == 0
    assert len(draw("bursts", rate=1e-6, seconds=1e-3)) == 0


@pytest.mark.parametrize(
    "change",
    [{"rate": 0.0}, {"rate": np.inf}, {"seconds": 0.0}, {"seconds": np.inf}, {"burst": 0}],
)
def test_arrivals_without_bounds_are_refused(change: dict[str, float]) -> None:
    with pytest.raises(UserError, match="no sense"):
        draw("bursts", **change)  # type: ignore[arg-type]  # one wrong value a case


def test_an_unknown_pattern_is_refused() -> None:
    with pytest.raises(UserError, match="steady, poisson, bursts"):
        draw("tides")


def test_due_times_rise_at_the_rate_asked_for() -> None:
    times = draw_due_times(rate=50.0, requests=4000, rng=np.random.default_rng(0))
    assert np.all(np.diff(times) >= 0)
    assert times[-1] == pytest.approx(80.0, rel=0.1)
    with pytest.raises(UserError, match="rate"):
        draw_due_times(rate=0.0, requests=1, rng=np.random.default_rng(0))
