"""The highest rate that a service answers within a latency: a search in few steps."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

from thinfer.errors import UserError

__all__ = ["Saturation", "Step", "find_saturation"]

FEWEST_STEPS = 3  # one rate that passes, one that does not, and a confirmation
Stage = Literal["grow", "shrink", "narrow", "confirm"]
_MOST_HALVINGS = 5  # below a start that was itself below what one caller alone was answered
_FIRST_DROP, _MOST_DROP = 0.05, 0.4  # below a rate whose confirmation failed; doubled each time


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One rate that was tried.

    Attributes:
        rate: requests a second that were due.
        stage: why it was tried.
        p50_ms: of the answers with 200; null of none.
        p99_ms: of all requests, an unanswered one counted as endless; null where that is endless.
        requests_per_second: answered with 200.
        asked: requests.
        failed: of them not answered with 200.
        passed: the p99 is within the limit.
        fault: why the generator may be what limited this step; null if nothing says so.
        cores_used: processor seconds a second of the service; null where nobody can read them.
    """

    rate: float
    stage: Stage = "grow"
    p50_ms: float | None
    p99_ms: float | None
    requests_per_second: float
    asked: int
    failed: int
    passed: bool
    fault: str | None = None
    cores_used: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Saturation:
    """What the search found.

    Attributes:
        limit_ms: the p99 that was allowed.
        rate: the highest rate that stayed within it, confirmed; null where none did.
        steps: all that was tried, in order.
        stopped: why the search ended, as a sentence.
        is_lower_bound: the service may do more: the search ended early, or the lowest rate that
            was too high was one at which the generator itself was at its limit.
    """

    KIND: ClassVar[str] = "thinfer.saturation"
    VERSION: ClassVar[int] = 1

    limit_ms: float
    rate: float | None
    steps: tuple[Step, ...]
    stopped: str
    is_lower_bound: bool

    def best_within(self, limit_ms: float) -> Step | None:
        """Give the step of the highest rate within a limit and below all that broke it.

        Args:
            limit_ms: of the p99, in milliseconds.

        Returns:
            None where no step stayed within it.
        """
        broken = [step.rate for step in self.steps if not _is_within(step, limit_ms)]
        least = min(broken, default=math.inf)
        good = [step for step in self.steps if _is_within(step, limit_ms) and step.rate < least]
        return max(good, key=lambda step: step.rate, default=None)


def find_saturation(
    probe: Callable[[float, Stage], Step],
    *,
    start: float,
    limit_ms: float,
    most_steps: int = 14,
    tolerance: float = 0.05,
) -> Saturation:
    """Find the highest rate whose p99 stays within a limit.

    Doubles from the start until a rate is too high, halves the gap on a logarithmic scale until
    it is narrow, then tries the winner once more: a rate that fails its confirmation was luck, and
    the search goes on below it. No failed rate is tried again in the hope of a better day.

    Args:
        probe: tries a rate for a while.
        start: the first rate, requests a second; well below the capacity.
        limit_ms: what the probe judges by; stored.
        most_steps: tries at most, 3 or more.
        tolerance: the gap that is narrow enough, as a share of the rate.

    Returns:
        The rate with all steps.

    Raises:
        UserError: a number makes no sense.
    """
    if not (
        0 < start < math.inf and most_steps >= FEWEST_STEPS and 0 < tolerance < 1 and limit_ms > 0
    ):
        what = "the search for the saturation makes no sense"
        expected = "a start and a limit above 0, 3 or more steps, a tolerance between 0 and 1"
        raise UserError(what, expected=expected)
    search = _Search(probe, most_steps, tolerance)
    search.bracket(start)
    search.narrow()
    is_open = search.is_cut_short or (search.high is not None and search.high.fault is not None)
    return Saturation(
        limit_ms=limit_ms,
        rate=search.low if search.is_confirmed else None,
        steps=tuple(search.steps),
        stopped=search.describe_end(),
        is_lower_bound=search.is_confirmed and is_open,
    )


class _Search:
    """The gap between a rate that passed and one that did not."""

    def __init__(
        self, probe: Callable[[float, Stage], Step], most_steps: int, tolerance: float
    ) -> None:
        self._probe, self._most, self._tolerance = probe, most_steps, tolerance
        self.low: float | None = None
        self.high: Step | None = None
        self.steps: list[Step] = []
        self.is_confirmed = self.is_cut_short = False

    def bracket(self, start: float) -> None:
        """Find a rate that passes and, unless the steps end, one that does not."""
        rate = start
        for _ in range(_MOST_HALVINGS + 1):
            stage: Stage = "shrink" if self.high else "grow"
            if not self._has_room() or self._try(rate, stage):
                break
            rate /= 2
        while self.low is not None and self.high is None and self._has_room():
            self._try(2 * self.low, "grow")

    def narrow(self) -> None:
        """Halve the gap while there are steps, then confirm what is left, or less of it."""
        while self._is_wide() and self._has_room():
            self._try(math.sqrt((self.low or 0.0) * self._ceiling()), "narrow")
        self.is_cut_short = self.high is None or self._is_wide()
        drop = _FIRST_DROP
        while self.low is not None and not self.is_confirmed and len(self.steps) < self._most:
            self.is_confirmed = self._try(self.low, "confirm")
            if not self.is_confirmed:
                self.low *= 1 - drop
                drop = min(2 * drop, _MOST_DROP)

    def describe_end(self) -> str:
        """Say why the search ended."""
        if self.low is None:
            return "not even the lowest rate tried stayed within the limit"
        if not self.is_confirmed:
            return f"the {self._most} steps were used up before a rate was confirmed"
        if self.high is None:
            return f"the {self._most} steps were used up while every rate still passed"
        if self.is_cut_short:
            return f"the {self._most} steps were used up before the gap was narrow"
        if self.high.fault is not None:
            return f"the next higher rate failed, but there {self.high.fault}"
        return f"{self.high.rate:.4g} requests a second were too many"

    def _try(self, rate: float, stage: Stage) -> bool:
        step = self._probe(rate, stage)
        self.steps.append(step)
        if not step.passed:
            if self.high is None or rate <= self.high.rate:
                self.high = step
        elif self.low is None or rate > self.low:
            self.low = rate
        return step.passed

    def _ceiling(self) -> float:
        return math.inf if self.high is None else self.high.rate

    def _is_wide(self) -> bool:
        if self.low is None or self.high is None:
            return False
        return self._ceiling() > self.low * (1 + self._tolerance)

    def _has_room(self) -> bool:
        """One step is kept for the confirmation."""
        return len(self.steps) < self._most - 1


def _is_within(step: Step, limit_ms: float) -> bool:
    return step.p99_ms is not None and step.p99_ms <= limit_ms
