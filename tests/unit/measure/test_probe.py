from __future__ import annotations

import pytest

from thinfer.core.clock import ManualClock, SystemClock
from thinfer.measure.probe import HostProbe


def test_a_reading_well_above_the_best_is_disturbed() -> None:
    clock = ManualClock()
    times = iter([1.0, 1.02, 2.0, 1.3, 0.99])
    probe = HostProbe(threads=1, clock=clock, work=lambda: clock.advance(next(times)))
    assert not probe.is_disturbed(100.0)  # nothing known yet
    readings = [probe.sample() for _ in range(5)]
    assert readings == pytest.approx([1.0, 1.02, 2.0, 1.3, 0.99])
    assert [probe.is_disturbed(seconds) for seconds in readings] == [
        False,
        False,
        True,
        True,
        False,
    ]


def test_one_lucky_reading_does_not_disturb_all_others() -> None:
    clock = ManualClock()
    times = iter([0.1] + [1.0] * 30)
    probe = HostProbe(threads=1, clock=clock, work=lambda: clock.advance(next(times)))
    readings = [probe.sample() for _ in range(31)]
    assert not any(probe.is_disturbed(seconds) for seconds in readings)


def test_work_runs_on_every_thread() -> None:
    done: list[int] = []
    probe = HostProbe(threads=3, clock=SystemClock(), work=lambda: done.append(1))
    assert probe.sample() > 0
    assert len(done) == 3


def test_the_real_work_takes_time() -> None:
    assert HostProbe(threads=2, clock=SystemClock()).sample() > 0
