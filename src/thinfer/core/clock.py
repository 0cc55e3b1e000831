"""Time as an argument: a protocol, the system's clock, and one that a test moves by hand."""

from __future__ import annotations

import time
from typing import Protocol

__all__ = ["Clock", "ManualClock", "SystemClock"]


class Clock(Protocol):
    """What code that needs time asks for."""

    def monotonic(self) -> float:
        """Give seconds that never run backwards."""

    def now(self) -> float:
        """Give seconds since 1970 (UTC)."""


class SystemClock:
    """The machine's own clock."""

    def monotonic(self) -> float:
        """Give seconds that never run backwards."""
        return time.perf_counter()

    def now(self) -> float:
        """Give seconds since 1970 (UTC)."""
        return time.time()


class ManualClock:
    """A clock that stands still until `advance` is called.

    Args:
        start_s: the first reading of both faces, in seconds.
    """

    def __init__(self, start_s: float = 0.0) -> None:
        self._seconds = start_s

    def monotonic(self) -> float:
        """Give the seconds set so far."""
        return self._seconds

    def now(self) -> float:
        """Give the seconds set so far."""
        return self._seconds

    def advance(self, seconds: float) -> None:
        """Move the clock forward by `seconds`."""
        self._seconds += seconds
