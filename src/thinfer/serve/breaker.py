"""`Breaker`: an upstream that fails again and again is left alone for a while."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from thinfer.core.clock import Clock

__all__ = ["Breaker", "BreakerState", "Pass"]


class BreakerState(IntEnum):
    """What the breaker lets through; the number is the value of the gauge."""

    CLOSED = 0  # everything
    HALF_OPEN = 1  # one call, which decides
    OPEN = 2  # nothing


@dataclass(frozen=True, slots=True)
class Pass:
    """Leave for one call; its outcome counts only while the state is still the one it met."""

    era: int


class Breaker:
    """Counts failures in a row (Nygard, "Release It!", 2nd edition 2018, chapter 5).

    Closed, so many failures in a row open it. Open, it lets nothing through until the cool-down
    is over. Then one call may try: its success closes the breaker, its failure opens it for
    another cool-down. What calls from before a change of state tell later is not counted.

    Args:
        failures: in a row that open it, at least 1.
        cooldown_s: seconds that it stays open.
        clock: measures the cool-down.
    """

    def __init__(self, *, failures: int, cooldown_s: float, clock: Clock) -> None:
        self._limit, self._cooldown_s, self._clock = failures, cooldown_s, clock
        self._state = BreakerState.CLOSED
        self._era = self._failed = 0
        self._opened_s = 0.0
        self._is_trying = False

    @property
    def state(self) -> BreakerState:
        """The state now; an open breaker becomes half-open by time alone."""
        is_over = self._clock.monotonic() - self._opened_s >= self._cooldown_s
        if self._state is BreakerState.OPEN and is_over:
            self._enter(BreakerState.HALF_OPEN)
        return self._state

    def ask(self) -> Pass | None:
        """Give leave for one call, or None; each `Pass` is returned by one of the three below."""
        state = self.state
        if state is BreakerState.OPEN or (state is BreakerState.HALF_OPEN and self._is_trying):
            return None
        self._is_trying = state is BreakerState.HALF_OPEN
        return Pass(self._era)

    def succeed(self, leave: Pass) -> None:
        """Count a call that worked."""
        if leave.era != self._era:
            return
        self._failed = 0
        if self._state is BreakerState.HALF_OPEN:
            self._enter(BreakerState.CLOSED)

    def fail(self, leave: Pass) -> None:
        """Count a call that failed or took too long."""
        if leave.era != self._era:
            return
        self._failed += 1
        if self._state is BreakerState.HALF_OPEN or self._failed >= self._limit:
            self._opened_s = self._clock.monotonic()
            self._enter(BreakerState.OPEN)

    def give_back(self, leave: Pass) -> None:
        """Return leave that was not used, or whose outcome nobody saw."""
        if leave.era == self._era:
            self._is_trying = False

    def _enter(self, state: BreakerState) -> None:
        self._state = state
        self._era += 1
        self._failed = 0
        self._is_trying = False
