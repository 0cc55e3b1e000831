from __future__ import annotations

import pytest

from thinfer.core.clock import ManualClock
from thinfer.errors import UserError
from thinfer.measure.timing import Samples, time_interleaved


class ScriptedProbe:
    """Readings from a list, then quiet for ever; 1 is quiet, 2 is disturbed."""

    def __init__(self, readings: list[float]) -> None:
        self._readings = list(readings)

    def sample(self) -> float:
        return self._readings.pop(0) if self._readings else 1.0

    def is_disturbed(self, seconds: float) -> bool:
        return seconds > 1.5


class Stage:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.log: list[str] = []

    def play(self, name: str, seconds: float) -> None:
        self.log.append(name)
        self.clock.advance(seconds)


def run(
    stage: Stage, probe: ScriptedProbe, rounds: int, most_rounds: int | None = None
) -> dict[str, Samples]:
    contenders = {
        "a": lambda: stage.play("a", 1.0),
        "b": lambda: stage.play("b", 2.0),
        "c": lambda: stage.play("c", 3.0),
    }
    return time_interleaved(
        contenders, rounds=rounds, clock=stage.clock, probe=probe, most_rounds=most_rounds
    )


def test_order_is_rotated_and_times_are_each_ones_own() -> None:
    stage = Stage()
    found = run(stage, ScriptedProbe([]), 3)
    assert "".join(stage.log) == "abc" + "abc" + "bca" + "cab"  # warm-up first
    assert {name: samples.seconds for name, samples in found.items()} == {
        "a": (1.0,) * 3,
        "b": (2.0,) * 3,
        "c": (3.0,) * 3,
    }
    assert all(s.rounds == (0, 1, 2) and s.dropped == 0 for s in found.values())


def test_a_recalling_call_goes_before_each_timed_one_and_is_not_timed() -> None:
    stage = Stage()
    found = time_interleaved(
        {name: lambda name=name: stage.play(name, 1.0) for name in "ab"},  # type: ignore[misc]  # default binds the loop's value
        rounds=2,
        clock=stage.clock,
        probe=ScriptedProbe([]),
        warmups=0,
        recall={name: lambda name=name: stage.play(name.upper(), 9.0) for name in "ab"},  # type: ignore[misc]  # as above
    )
    assert "".join(stage.log) == "AaBb" + "BbAa"
    assert {samples.seconds for samples in found.values()} == {(1.0, 1.0)}


def test_the_reading_before_a_call_comes_after_its_recall() -> None:
    stage = Stage()
    # Readings: at the start, then before and after each call; only the first is disturbed.
    found = time_interleaved(
        {"a": lambda: stage.play("a", 1.0)},
        rounds=1,
        clock=stage.clock,
        probe=ScriptedProbe([2.0]),
        recall={"a": lambda: stage.play("A", 1.0)},
    )
    assert found["a"].rounds == (0,)


def test_a_disturbed_reading_drops_the_calls_on_both_sides_alone() -> None:
    stage = Stage()
    # Readings: before a0, after a0, after b0, …; the second disturbs a0 (after) and b0 (before).
    found = run(stage, ScriptedProbe([1.0, 2.0]), 2, most_rounds=2)
    assert found["a"].rounds == (1,)
    assert found["b"].rounds == (1,)
    assert found["c"].rounds == (0, 1)
    assert [found[name].dropped for name in "abc"] == [1, 1, 0]


def test_rounds_go_on_until_there_are_enough_quiet_ones() -> None:
    stage = Stage()
    found = run(stage, ScriptedProbe([1.0, 2.0]), 2)
    assert found["a"].rounds == (1, 2)
    assert found["c"].rounds == (0, 1, 2)


def test_a_slow_call_beside_quiet_readings_is_kept() -> None:
    clock = ManualClock()
    times = iter([1.0, 50.0, 1.0])
    found = time_interleaved(
        {"a": lambda: clock.advance(next(times))},
        rounds=3,
        clock=clock,
        probe=ScriptedProbe([]),
        warmups=0,
    )
    assert found["a"].seconds == (1.0, 50.0, 1.0)
    assert found["a"].median_s == 1.0
    assert found["a"].p95_s == 50.0


def test_a_host_that_is_never_quiet_is_said() -> None:
    found = run(Stage(), ScriptedProbe([2.0] * 100), 2)
    assert found["a"].is_disturbed
    assert len(found["a"].seconds) == 4  # all of twice the rounds
    assert found["a"].dropped == 0
    assert not run(Stage(), ScriptedProbe([]), 1)["a"].is_disturbed


def test_nothing_to_time_is_refused() -> None:
    with pytest.raises(UserError):
        run(Stage(), ScriptedProbe([]), 0)
    with pytest.raises(UserError):
        time_interleaved({}, rounds=1, clock=ManualClock(), probe=ScriptedProbe([]))
