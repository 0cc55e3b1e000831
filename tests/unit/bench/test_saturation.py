"""The search on services of known capacity: one server with a queue, in time only counted."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from thinfer.bench.arrivals import draw_arrivals
from thinfer.bench.saturation import Saturation, Stage, Step, find_saturation
from thinfer.errors import UserError

LIMIT_MS = 50.0


def make_step(rate: float, stage: Stage, p99_ms: float, *, fault: str | None = None) -> Step:
    return Step(
        rate=rate,
        stage=stage,
        p50_ms=1.0,
        p99_ms=p99_ms if math.isfinite(p99_ms) else None,
        requests_per_second=rate,
        asked=100,
        failed=0,
        passed=p99_ms <= LIMIT_MS,
        fault=fault,
    )


def queue_p99_ms(rate: float, service_ms: float, *, seed: int = 0, seconds: float = 20.0) -> float:
    """One server that takes the same time for each: when does each of the arrivals leave?"""
    due = draw_arrivals("poisson", rate=rate, seconds=seconds, rng=np.random.default_rng(seed))
    left, latencies = 0.0, []
    for moment in due:
        left = max(left, moment) + service_ms / 1e3
        latencies.append(1e3 * (left - moment))
    return float(np.quantile(latencies, 0.99, method="higher")) if latencies else math.nan


def queue_of(service_ms: float) -> Callable[[float, Stage], Step]:
    return lambda rate, stage: make_step(rate, stage, queue_p99_ms(rate, service_ms))


@pytest.mark.parametrize("service_ms", [0.5, 4.0, 20.0])
@pytest.mark.parametrize("start_share", [0.01, 0.3, 5.0])
def test_the_rate_found_is_the_highest_that_the_queue_holds(
    service_ms: float, start_share: float
) -> None:
    probe = queue_of(service_ms)
    found = find_saturation(probe, start=start_share * 1e3 / service_ms, limit_ms=LIMIT_MS)
    assert found.rate is not None
    assert found.rate < 1e3 / service_ms  # no server does more than its service time allows
    assert queue_p99_ms(found.rate, service_ms) <= LIMIT_MS
    assert not found.is_lower_bound
    assert queue_p99_ms(found.rate * 1.06, service_ms) > LIMIT_MS
    assert len(found.steps) <= 14
    assert found.steps[-1].stage == "confirm"


def test_a_service_that_is_too_slow_at_any_rate_has_none() -> None:
    found = find_saturation(queue_of(80.0), start=6.0, limit_ms=LIMIT_MS)
    assert found.rate is None
    assert not found.is_lower_bound
    assert "not even the lowest" in found.stopped
    assert len(found.steps) == 6
    assert found.steps[-1].rate == pytest.approx(6.0 / 32)


def test_a_service_without_a_limit_ends_the_search_by_its_steps() -> None:
    found = find_saturation(
        lambda rate, stage: make_step(rate, stage, 1.0), start=1.0, limit_ms=LIMIT_MS, most_steps=6
    )
    assert found.rate == 16.0
    assert found.is_lower_bound
    assert "used up" in found.stopped
    assert [step.stage for step in found.steps] == ["grow"] * 5 + ["confirm"]


def test_a_rate_that_passed_by_luck_is_not_confirmed() -> None:
    def probe(rate: float, stage: Stage) -> Step:
        is_good = rate < (90 if stage == "confirm" else 150)
        return make_step(rate, stage, 1.0 if is_good else 500.0)

    found = find_saturation(probe, start=10.0, limit_ms=LIMIT_MS, most_steps=20)
    assert found.rate is not None
    assert found.rate < 90
    assert [step.stage for step in found.steps if not step.passed][-1] == "confirm"
    assert found.steps[-1].passed


def test_a_rate_that_never_is_confirmed_is_not_given() -> None:
    def probe(rate: float, stage: Stage) -> Step:
        return make_step(rate, stage, 500.0 if stage == "confirm" or rate > 20 else 1.0)

    found = find_saturation(probe, start=10.0, limit_ms=LIMIT_MS, most_steps=12)
    assert found.rate is None
    assert "before a rate was confirmed" in found.stopped
    assert len(found.steps) == 12


def test_a_generator_at_its_limit_makes_it_a_lower_bound() -> None:
    def probe(rate: float, stage: Stage) -> Step:
        is_good = rate < 100
        return make_step(
            rate, stage, 1.0 if is_good else 500.0, fault=None if is_good else "the generator slept"
        )

    found = find_saturation(probe, start=10.0, limit_ms=LIMIT_MS)
    assert found.rate is not None
    assert found.is_lower_bound
    assert "the generator slept" in found.stopped


def test_too_few_steps_for_a_narrow_gap_are_said() -> None:
    found = find_saturation(queue_of(4.0), start=100.0, limit_ms=LIMIT_MS, most_steps=4)
    assert found.rate is not None
    assert found.is_lower_bound
    assert len(found.steps) <= 4


@pytest.mark.parametrize(
    "change",
    [{"start": 0.0}, {"start": math.inf}, {"limit_ms": 0.0}, {"most_steps": 2}, {"tolerance": 0.0}],
)
def test_a_search_without_bounds_is_refused(change: dict[str, float]) -> None:
    given = {"start": 1.0, "limit_ms": LIMIT_MS, **change}
    with pytest.raises(UserError, match="no sense"):
        find_saturation(queue_of(1.0), **given)  # type: ignore[arg-type]  # one wrong value a case


def test_steps_can_be_read_again_for_another_latency() -> None:
    latencies = {10.0: 5.0, 20.0: 9.0, 40.0: 45.0, 80.0: 300.0, 60.0: math.inf, 5.0: 8.0}
    steps = tuple(make_step(rate, "grow", p99) for rate, p99 in latencies.items())
    found = Saturation(limit_ms=50.0, rate=40.0, steps=steps, stopped="", is_lower_bound=False)
    best = found.best_within(10.0)
    assert best is not None
    assert best.rate == 20.0
    below = found.best_within(7.0)  # 5 a second broke it, so 10 a second was luck
    assert below is None
    assert found.best_within(1.0) is None
