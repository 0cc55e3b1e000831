"""Successive halving on numbers: who goes on, who is dropped and why, and when time is up."""

import math
from collections import Counter
from typing import Any

import pytest

from thinfer.core.clock import ManualClock
from thinfer.errors import UserError
from thinfer.pipeline.halving import Halved, Ladder, Score, halve


def score(speed: float, *, within: bool = True, quality: float = 1.0, size: float = 1.0) -> Score:
    return Score(is_within=within, speed=speed, quality=quality, size=size)


def run(
    count: int,
    ladder: Ladder | None = None,
    *,
    limit: float = 0.0,
    seconds: float = math.inf,
    cost: float = 1.0,
) -> tuple[Halved[int], Counter[int], ManualClock]:
    """Configuration n is 2^n fast and keeps the floor up to `limit`; a look costs 3^rung s."""
    clock, looks = ManualClock(), Counter[int]()

    def evaluate(configuration: int, rung: int) -> Score:
        looks[rung] += 1
        clock.advance(cost * 3**rung)
        is_within = not limit or configuration <= limit
        return score(2.0**configuration, within=is_within, quality=1 - configuration / 1000)

    found = halve(range(count), evaluate, ladder or Ladder(), deadline_s=seconds, clock=clock)
    return found, looks, clock


def test_one_in_eta_goes_on_and_the_fastest_win_beside_the_surest() -> None:
    found, looks, _ = run(27)
    assert found.finalists == (26, 25, 0)  # the slowest is the surest here
    assert looks == {0: 27, 1: 9, 2: 3}
    everyone = [*found.finalists, *(drop.configuration for drop in found.dropped)]
    assert sorted(everyone) == list(range(27))


def test_the_floor_comes_before_speed() -> None:
    found, _, _ = run(27, limit=10)
    assert found.finalists == (10, 9, 0)
    below = [drop for drop in found.dropped if drop.configuration > 10]
    assert all("further below the floor" in drop.reason for drop in below)
    assert not any(drop.is_for_speed for drop in below)
    above = [drop for drop in found.dropped if drop.configuration <= 8]
    assert all(drop.is_for_speed and "promised more speed" in drop.reason for drop in above)


def test_below_the_floor_the_nearest_go_on_but_nothing_leaves_the_last_rung() -> None:
    found, looks, _ = run(9, limit=-1)
    assert found.finalists == ()
    assert looks == {0: 9, 1: 3, 2: 1}
    last = found.dropped[-1]
    assert (last.configuration, last.rung) == (0, 2)  # the one of the highest quality
    assert last.reason == "dropped after rung 2: below the floor there"


def test_speeds_within_a_tie_are_ordered_by_size() -> None:
    near = {"big": score(1.055, size=9), "small": score(1.06, size=1), "slow": score(0.5)}
    ladder = Ladder(first=2, finalists=1)
    found = halve(
        list(near), lambda name, rung: near[name], ladder, deadline_s=1, clock=ManualClock()
    )
    assert found.finalists == ("small",)


def test_a_later_first_rung_looks_more_closely_at_once() -> None:
    found, looks, _ = run(9, Ladder(first=1))
    assert looks == {1: 9, 2: 3}
    assert found.finalists == (8, 7, 0)


@pytest.mark.parametrize("seconds", [0.0, 1.0, 10.0, 30.0, 60.0])
def test_it_ends_in_time_and_still_names_everyone(seconds: float) -> None:
    found, _, clock = run(27, seconds=seconds)
    # One look beyond on each rung, of 1, 3 and 9 s; and none at all where no time was given.
    assert clock.monotonic() <= (seconds + 13 if seconds else 0)
    assert len(found.finalists) + len(found.dropped) == 27
    late = [drop for drop in found.dropped if drop.score is None]
    assert all("no time was left" in drop.reason for drop in late)
    assert bool(late) == (seconds < 81)  # 27 looks of 1 s, 9 of 3 s and 3 of 9 s


def test_what_was_spent_on_is_looked_at_to_the_end_however_late() -> None:
    found, looks, _ = run(27, seconds=1.0)
    assert looks == {0: 1, 1: 1, 2: 1}
    assert found.finalists == (0,)


def test_the_parts_of_the_time_may_differ() -> None:
    _, equal, _ = run(27, Ladder(), seconds=30)
    _, early, _ = run(27, Ladder(parts=(8, 1, 1)), seconds=30)
    assert early[0] > equal[0]


def test_each_rung_has_its_part_of_the_time() -> None:
    _, looks, _ = run(27, seconds=60)
    assert looks[2] >= 1  # the first rung did not use up everything


@pytest.mark.parametrize("count", [0, 1])
def test_none_and_one_are_cases(count: int) -> None:
    found, _, _ = run(count)
    assert found.finalists == tuple(range(count))
    assert found.dropped == ()


@pytest.mark.parametrize(
    "change",
    [
        {"first": 3},
        {"eta": 1},
        {"finalists": 0},
        {"first": -1},
        {"parts": (1, 2)},
        {"parts": (1, 0, 1)},
    ],
)
def test_an_impossible_bracket_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="impossible"):
        Ladder(**change)


def test_where_the_fastest_miss_the_floor_on_more_rows_the_surest_is_left() -> None:
    def evaluate(configuration: int, rung: int) -> Score:
        is_within = configuration < 2 or rung == 0
        return score(2.0**configuration, within=is_within, quality=1 - configuration / 100)

    found = halve(range(27), evaluate, Ladder(), deadline_s=1, clock=ManualClock())
    assert found.finalists == (0,)
