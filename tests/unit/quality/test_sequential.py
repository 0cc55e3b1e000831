"""The watch: silent at the bound for as long as one looks, quick where the bound is broken."""

from __future__ import annotations

import numpy as np
import pytest

from thinfer.errors import UserError
from thinfer.quality.sequential import EVIDENCE, RateWatch


def first_alarm(rng: np.random.Generator, *, rate: float, bound: float, rows: int) -> int | None:
    """The row at which the watch, looked at after each, first speaks."""
    watch = RateWatch(bound)
    for row, event in enumerate(rng.random(rows) < rate):
        watch.add(int(event), 1)
        if watch.is_broken:
            return row + 1
    return None


def test_a_rate_at_its_bound_is_rarely_called_broken_however_often_one_looks() -> None:
    rng = np.random.default_rng(0)
    alarms = [first_alarm(rng, rate=0.05, bound=0.05, rows=1000) for _ in range(200)]
    # At most 5 % in the long run; more than 19 of 200 would come once in a thousand trials.
    assert sum(alarm is not None for alarm in alarms) <= 19


def test_a_rate_far_above_its_bound_is_found_early() -> None:
    rng = np.random.default_rng(1)
    alarms = [first_alarm(rng, rate=0.3, bound=0.05, rows=400) for _ in range(50)]
    assert all(alarm is not None for alarm in alarms)
    assert np.median([alarm for alarm in alarms if alarm is not None]) < 40


def test_evidence_does_not_depend_on_how_the_rows_were_grouped() -> None:
    one, many = RateWatch(0.1), RateWatch(0.1)
    one.add(3, 20)
    for event in [1, 1, 1, *([0] * 17)]:
        many.add(event, 1)
    assert one.evidence == pytest.approx(many.evidence)
    assert RateWatch(0.1).evidence == pytest.approx(1.0)


def test_much_evidence_does_not_overflow() -> None:
    watch = RateWatch(0.01)
    watch.add(100_000, 100_000)
    assert watch.evidence > EVIDENCE
    watch = RateWatch(0.01)
    watch.add(0, 10_000_000)
    assert 0 <= watch.evidence < 1


def test_watches_on_parts_of_the_rows_share_the_chance_of_a_false_alarm() -> None:
    one, four = RateWatch(0.05), RateWatch(0.05, parts=4)
    assert (one.needed, four.needed) == (EVIDENCE, 4 * EVIDENCE)
    while not one.is_broken:
        for watch in (one, four):
            watch.add(1, 1)
    assert not four.is_broken
    four.add(2, 2)
    assert four.is_broken
    with pytest.raises(UserError):
        RateWatch(0.05, parts=0)


@pytest.mark.parametrize("bound", [0.0, 1.0, -0.1, float("nan")])
def test_an_impossible_bound_is_refused(bound: float) -> None:
    with pytest.raises(UserError, match="bound"):
        RateWatch(bound)


@pytest.mark.parametrize(("events", "trials"), [(2, 1), (-1, 1)])
def test_impossible_counts_are_refused(events: int, trials: int) -> None:
    with pytest.raises(UserError, match="impossible counts"):
        RateWatch(0.1).add(events, trials)
