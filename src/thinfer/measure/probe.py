"""`HostProbe`: a fixed piece of work that tells whether the host was quiet."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import numpy as np

from thinfer.core.clock import Clock

__all__ = ["HostProbe", "Probe"]

_WORDS = 4096  # int64: 32 KiB, which stay in the first cache and so do not measure memory
_PASSES = 400
_SLOWDOWN = 1.25


class Probe(Protocol):
    """What timing asks about the host."""

    def sample(self) -> float:
        """Do the fixed work once and give its seconds."""

    def is_disturbed(self, seconds: float) -> bool:
        """Say whether a reading shows a host that was busy with something else."""


class HostProbe:
    """Times the same integer multiplications on all threads, again and again.

    Another tenant, a lowered clock or a taken core slows them as it slows what is measured,
    and they know nothing of models: a sample is dropped for the probe's reading alone, never
    for its own.

    Args:
        threads: as many as the measured call uses, 1 or more.
        clock: what reads the seconds.
        work: the fixed work of one thread; integer multiplications when absent.
    """

    def __init__(
        self, *, threads: int, clock: Clock, work: Callable[[], None] | None = None
    ) -> None:
        self._threads = threads
        self._clock = clock
        self._work = work or _multiply
        self._readings: list[float] = []
        self._limit = (0, float("inf"))  # number of readings it was taken from, seconds

    def sample(self) -> float:
        """Do the fixed work once on every thread and give the seconds until the last is done."""
        if self._threads == 1:
            start = self._clock.monotonic()
            self._work()
            seconds = self._clock.monotonic() - start
        else:
            with ThreadPoolExecutor(self._threads) as pool:
                start = self._clock.monotonic()
                for done in [pool.submit(self._work) for _ in range(self._threads)]:
                    done.result()
                seconds = self._clock.monotonic() - start
        self._readings.append(seconds)
        return seconds

    @property
    def limit_s(self) -> float:
        """Seconds above which a reading is disturbed: 1.25 times the probe's own best.

        The best is the lowest tenth of the readings so far, so that one lucky reading does not
        make all others disturbed. Infinite before the first reading.
        """
        # Asked for once for every sample so far: taken anew only when there are new readings.
        if self._limit[0] != len(self._readings):
            limit = _SLOWDOWN * float(np.quantile(self._readings, 0.1))
            self._limit = (len(self._readings), limit)
        return self._limit[1]

    def is_disturbed(self, seconds: float) -> bool:
        """Say whether a reading is above `limit_s` as known now.

        Args:
            seconds: what `sample` gave.
        """
        return seconds > self.limit_s


def _multiply() -> None:
    # Odd numbers stay odd, so that the product never collapses to zero; overflow wraps.
    numbers = np.arange(1, 2 * _WORDS, 2, dtype=np.int64)
    factors = numbers.copy()
    for _ in range(_PASSES):
        np.multiply(numbers, factors, out=numbers)
