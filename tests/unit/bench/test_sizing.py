"""Arithmetic of a plan, and what it refuses."""

from __future__ import annotations

import math

import pytest

from thinfer.bench.sizing import Capacity, Demand, size
from thinfer.errors import QualityError, UserError


def one(cores: int, rate: float, **more: object) -> Capacity:
    return Capacity(cores=cores, requests_per_second=rate, p99_ms=40.0, **more)  # type: ignore[arg-type]


def test_processes_are_counted_with_the_headroom() -> None:
    demand = Demand(rate=1000.0, p99_ms=50.0, headroom=0.3, core_price=0.04)
    plan = size([one(1, 100.0)], demand)
    assert plan.processes == plan.cores == 15  # 1,000 / (0.7 × 100) = 14.3
    assert plan.capacity == pytest.approx(1500.0)
    assert plan.headroom == pytest.approx(1 / 3)
    assert plan.price_a_month == pytest.approx(15 * 0.04 * 730)
    assert plan.headroom >= demand.headroom


@pytest.mark.parametrize(("rate", "processes"), [(0.001, 1), (70.0, 1), (70.1, 2), (140.0, 2)])
def test_the_smallest_rate_needs_one_and_an_exact_fit_no_more(rate: float, processes: int) -> None:
    assert size([one(1, 100.0)], Demand(rate=rate, p99_ms=50.0)).processes == processes


def test_no_headroom_uses_all_that_was_measured() -> None:
    plan = size([one(2, 100.0)], Demand(rate=300.0, p99_ms=50.0, headroom=0.0))
    assert (plan.processes, plan.cores, plan.headroom) == (3, 6, 0.0)


def test_the_form_with_the_fewest_cores_is_chosen_and_of_equals_the_fewest_processes() -> None:
    demand = Demand(rate=100.0, p99_ms=50.0, headroom=0.0)
    assert size([one(1, 50.0), one(2, 90.0)], demand).measured.cores == 1
    assert size([one(1, 30.0), one(2, 100.0)], demand).measured.cores == 2
    assert size([one(1, 50.0), one(2, 100.0)], demand).processes == 1


def test_what_was_not_measured_is_said() -> None:
    demand = Demand(rate=100.0, p99_ms=50.0, core_price=1.0)
    said = " ".join(size([one(1, 100.0, is_lower_bound=True, note="N.")], demand).assumptions)
    assert "linear in cores" in said
    assert "lower bound" in said
    assert "730 hours" in said
    assert "N." in said
    alone = size([one(1, 1000.0)], Demand(rate=1.0, p99_ms=50.0)).assumptions
    assert len(alone) == 1
    assert "another processor" in alone[0]


def test_a_latency_that_nothing_holds_has_no_plan() -> None:
    demand = Demand(rate=1.0, p99_ms=5.0)
    for capacities in ([], [one(1, 0.0)]):
        with pytest.raises(QualityError, match="5 ms"):
            size(capacities, demand)


@pytest.mark.parametrize(
    "change",
    [
        {"rate": 0.0},
        {"rate": math.inf},
        {"p99_ms": 0.0},
        {"headroom": 1.0},
        {"headroom": -0.1},
        {"core_price": -1.0},
        {"core_price": math.nan},
    ],
)
def test_a_demand_that_makes_no_sense_is_refused(change: dict[str, float]) -> None:
    with pytest.raises(UserError, match="no sense"):
        Demand(**{"rate": 1.0, "p99_ms": 1.0, **change})
