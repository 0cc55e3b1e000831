from __future__ import annotations

from thinfer.core.clock import Clock, ManualClock, SystemClock


def test_a_manual_clock_moves_only_by_hand() -> None:
    clock = ManualClock(5.0)
    assert (clock.monotonic(), clock.now()) == (5.0, 5.0)
    clock.advance(1.5)
    assert (clock.monotonic(), clock.now()) == (6.5, 6.5)


def test_the_system_clock_goes_on() -> None:
    clock: Clock = SystemClock()
    first = clock.monotonic()
    assert clock.monotonic() >= first
    assert clock.now() > 1.7e9
