"""Interleaved timing: every contender meets the same host, round after round."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from thinfer.core.clock import Clock
from thinfer.errors import UserError
from thinfer.measure.probe import Probe

__all__ = ["Samples", "time_interleaved"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """Times of one contender.

    Attributes:
        seconds: of each call that was kept.
        rounds: the round of each kept call, for pairing with other contenders.
        dropped: calls left out because the probe beside them was disturbed.
        is_disturbed: no call was quiet; all are kept, and the figures show the host as much as
            the contender.
    """

    KIND: ClassVar[str] = "thinfer.samples"
    VERSION: ClassVar[int] = 1

    seconds: tuple[float, ...]
    rounds: tuple[int, ...]
    dropped: int
    is_disturbed: bool

    @property
    def median_s(self) -> float:
        """Median of the kept calls, seconds."""
        return float(np.median(self.seconds))

    @property
    def p95_s(self) -> float:
        """Time that 95 % of the kept calls stay within, seconds."""
        return float(np.quantile(self.seconds, 0.95, method="higher"))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Call:
    number: int
    seconds: float
    before: float
    after: float


def time_interleaved(
    contenders: Mapping[str, Callable[[], object]],
    *,
    rounds: int,
    clock: Clock,
    probe: Probe,
    warmups: int = 1,
    most_rounds: int | None = None,
    recall: Mapping[str, Callable[[], object]] | None = None,
) -> dict[str, Samples]:
    """Time several calls in turn: A B C, then B C A, then C A B, and so on.

    The probe runs before and after each call. A call beside a disturbed reading is dropped,
    and rounds go on until every contender has `rounds` quiet calls or `most_rounds` are done.

    Args:
        contenders: name → a call without arguments.
        rounds: quiet calls wanted of each, 1 or more.
        clock: what reads the seconds.
        probe: what tells whether the host was quiet.
        warmups: calls of each before the first round, not timed.
        most_rounds: rounds at most; twice `rounds` when absent.
        recall: name → a call that is made right before each timed one of that name, not timed. The
            others have pushed a contender's weights out of the caches meanwhile; where it will
            run alone, as in a service, this brings them back.

    Returns:
        name → its times, in the order of `contenders`.

    Raises:
        UserError: there is no contender, or fewer than one round is asked for.
    """
    if not contenders or rounds < 1:
        what = "there is nothing to time"
        raise UserError(what, expected="a contender and a round", got=f"{rounds} rounds")
    for _ in range(warmups):
        for call in contenders.values():
            call()
    calls: dict[str, list[_Call]] = {name: [] for name in contenders}
    names = list(contenders)
    before = probe.sample()
    for number in range(max(rounds, most_rounds or 2 * rounds)):
        first = number % len(names)  # rotated, so that nobody always follows the same neighbour
        for name in names[first:] + names[:first]:
            if recall is not None:
                recall[name]()
                before = probe.sample()
            start = clock.monotonic()
            contenders[name]()
            seconds = clock.monotonic() - start
            after = probe.sample()
            calls[name].append(_Call(number=number, seconds=seconds, before=before, after=after))
            before = after
        if number + 1 >= rounds and _has_enough(calls, probe, rounds):
            break
    return {name: _sift(found, probe) for name, found in calls.items()}


def _has_enough(calls: Mapping[str, list[_Call]], probe: Probe, rounds: int) -> bool:
    return all(sum(_is_quiet(call, probe) for call in found) >= rounds for found in calls.values())


def _is_quiet(call: _Call, probe: Probe) -> bool:
    return not (probe.is_disturbed(call.before) or probe.is_disturbed(call.after))


def _sift(calls: list[_Call], probe: Probe) -> Samples:
    quiet = [call for call in calls if _is_quiet(call, probe)]
    kept = quiet or calls
    return Samples(
        seconds=tuple(call.seconds for call in kept),
        rounds=tuple(call.number for call in kept),
        dropped=len(calls) - len(kept),
        is_disturbed=not quiet,
    )
