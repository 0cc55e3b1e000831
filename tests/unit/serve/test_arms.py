"""Arms: each promise that a version can break takes it off, and a good one stays."""

from __future__ import annotations

from thinfer.quality.sequential import RateWatch
from thinfer.serve.arms import ArmLimits, ArmRecord, judge_arm
from thinfer.serve.floors import FloorWatch, Sighting

LIMITS = ArmLimits(min_agreement=0.95, max_slowdown=3.0)


def record(*, requests: int = 100, seconds: float = 0.01, failures: int = 0) -> ArmRecord:
    made = ArmRecord(watch=RateWatch(1 - LIMITS.min_agreement))
    for number in range(requests):
        made.add(None if number < failures else seconds)
    return made


def test_a_version_like_the_other_stays() -> None:
    arm = record()
    arm.watch.add(30, 1000)
    assert judge_arm(arm, record(), LIMITS) is None
    assert judge_arm(record(requests=0), record(requests=0), LIMITS) is None


def test_failures_take_it_off_only_where_they_are_more_than_chance() -> None:
    assert "failed" in (judge_arm(record(failures=3), record(), LIMITS) or "")
    assert judge_arm(record(failures=2), record(), LIMITS) is None
    assert judge_arm(record(requests=1000, failures=3), record(), LIMITS) is None


def test_other_labels_take_it_off() -> None:
    arm = record()
    arm.watch.add(20, 100)
    assert "20 of 100 texts" in (judge_arm(arm, record(), LIMITS) or "")


def test_slowness_takes_it_off_once_both_sides_have_enough_requests() -> None:
    slow = record(seconds=0.05)
    assert "50.0 ms" in (judge_arm(slow, record(), LIMITS) or "")
    assert judge_arm(record(requests=40, seconds=0.05), record(), LIMITS) is None
    assert judge_arm(slow, record(requests=40), LIMITS) is None
    assert judge_arm(record(seconds=0.004), record(seconds=0.001), LIMITS) is None


def test_a_floor_that_is_credibly_broken_takes_it_off() -> None:
    floor = FloorWatch("flagged_recall>=99%", wanted=["spam"], kept=["spam"], allowed=0.01)
    arm = ArmRecord(watch=RateWatch(0.5), floors=(floor,))
    floor.add([Sighting(bytes([number]), ("spam",), ("spam",)) for number in range(90)])
    assert judge_arm(arm, record(), LIMITS) is None
    floor.add([Sighting(bytes([number]), ("spam",), ("normal",)) for number in range(90, 100)])
    assert "10 of 100 texts that the current version flags were lost" in (
        judge_arm(arm, record(), LIMITS) or ""
    )
