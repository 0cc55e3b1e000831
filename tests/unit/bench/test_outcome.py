"""Figures of a run: what is measured, what counts as endless, when the generator is to blame."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from thinfer.bench.outcome import LoadResult, describe_outcome

GOOD = LoadResult(
    latencies=tuple(number / 1000 for number in range(1, 101)),
    seconds=10.0,
    statuses={"200": 100},
    late=(0.0,) * 100,
    generator_share=0.1,
)


def test_quantiles_are_latencies_that_were_measured() -> None:
    assert GOOD.quantile_ms(0.5) == pytest.approx(51.0)
    assert GOOD.quantile_ms(0.99) == pytest.approx(100.0)
    assert GOOD.quantile_ms(0.0) == pytest.approx(1.0)
    assert GOOD.quantile_of_all_ms(0.99) == GOOD.quantile_ms(0.99)


def test_a_request_without_a_good_answer_took_for_ever() -> None:
    one = replace(GOOD, errors={"EOFError": 1})
    assert one.quantile_of_all_ms(0.99) == pytest.approx(100.0)
    assert math.isinf(one.quantile_of_all_ms(1.0))
    some = replace(GOOD, statuses={"200": 100, "429": 2})
    assert some.failed == 2
    assert math.isinf(some.quantile_of_all_ms(0.99))
    assert math.isinf(replace(GOOD, lost=2).quantile_of_all_ms(0.99))
    assert math.isnan(LoadResult(latencies=(), seconds=0.0).quantile_of_all_ms(0.99))


def test_goodput_counts_what_is_within_the_limit() -> None:
    body = describe_outcome(replace(GOOD, lost=3), batch=4, limit_ms=50.0)
    assert body["requests_per_second"] == pytest.approx(10.0)
    assert body["texts_per_second"] == pytest.approx(40.0)
    assert body["goodput"] == pytest.approx(5.0)
    assert (body["asked"], body["lost"]) == (103, 3)
    names = ["p50", "p90", "p95", "p99", "p99.9", "max"]
    assert list(body["latency_ms"]) == names
    assert list(body["latency_ms"].values()) == sorted(body["latency_ms"].values())


def test_a_run_without_answers_has_no_latency_and_no_rate() -> None:
    none = LoadResult(latencies=(), seconds=0.0, errors={"OSError": 5})
    body = describe_outcome(none, batch=1, limit_ms=50.0)
    assert body["latency_ms"] is None
    assert body["requests_per_second"] == body["goodput"] == 0.0
    assert body["generator"]["late_ms"] is None


def test_the_generator_is_blamed_when_it_is_busy_or_late_and_else_not() -> None:
    assert GOOD.generator_fault is None
    assert "core" in str(replace(GOOD, generator_share=0.95).generator_fault)
    assert "late" in str(replace(GOOD, late=(0.0,) * 90 + (0.03,) * 10).generator_fault)
    assert replace(GOOD, late=(0.0,) * 90 + (0.01,) * 10).generator_fault is None
    fast = replace(GOOD, latencies=(0.001,) * 100)
    assert replace(fast, late=(0.0009,) * 100).generator_fault is None  # as any timer is
