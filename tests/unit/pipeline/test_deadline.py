from types import SimpleNamespace
from typing import Any

import pytest

from thinfer.core.clock import ManualClock
from thinfer.pipeline.deadline import estimate_closing, seconds_left


def job(deadline: float | None, rows: int = 100) -> Any:  # noqa: ANN401 - stands in for a run
    sets = SimpleNamespace(dev=range(rows), test=range(rows))
    return SimpleNamespace(
        sets=sets, deadline_s=deadline, original_rate=20.0, clock=ManualClock(10.0)
    )


def form(rate: float | None) -> Any:  # noqa: ANN401 - stands in for a candidate
    return SimpleNamespace(facts={"dev_texts_per_second": rate})


def test_without_minutes_there_is_always_time() -> None:
    assert seconds_left(job(None), [form(1.0)]) == float("inf")


def test_time_runs_out_before_the_deadline_so_that_the_end_fits_in() -> None:
    run, forms = job(100.0), [form(50.0)]
    assert seconds_left(run, forms) == pytest.approx(90 - estimate_closing(run, forms))
    run.clock.advance(90)
    assert seconds_left(run, forms) < 0


def test_more_and_slower_forms_need_a_longer_end_and_broken_ones_none() -> None:
    run = job(100.0)
    one = estimate_closing(run, [form(50.0)])
    assert estimate_closing(run, [form(50.0), form(50.0)]) > one
    assert estimate_closing(run, [form(25.0)]) > one
    assert estimate_closing(run, [form(50.0), form(None)]) == one
    assert 0 < estimate_closing(run, []) < one
    assert estimate_closing(job(100.0, rows=1000), [form(50.0)]) > one


def test_a_slow_original_makes_the_end_long_however_fast_the_forms_are() -> None:
    slow, fast = job(100.0), job(100.0)
    fast.original_rate = 2000.0
    assert estimate_closing(slow, [form(5000.0)]) > 3 * estimate_closing(fast, [form(5000.0)])
