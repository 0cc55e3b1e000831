"""Successive halving: many configurations judged cheaply, the better part judged more closely.

Jamieson & Talwalkar 2016 ("Non-stochastic best arm identification"); several starting points with
different numbers of rungs are Hyperband's idea (Li et al. 2018). Nothing here knows of models:
configurations are opaque, `evaluate` and the clock are arguments.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from thinfer.core.clock import Clock
from thinfer.errors import UserError

__all__ = ["Drop", "Halved", "Ladder", "Score", "halve"]

C = TypeVar("C")

# Speeds this close count as one (as in the choice itself): then the smaller model goes first.
_TIE = 0.05
_LATE = "no time was left to look at it"


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """What one look at a configuration said.

    Attributes:
        is_within: on the rows seen, the floors may still hold.
        speed: predicted throughput, any unit, > 0.
        quality: share of the original's answers kept, 0 … 1.
        size: bytes or parameters, any unit.
    """

    is_within: bool
    speed: float
    quality: float
    size: float

    @property
    def order(self) -> tuple[float, ...]:
        """Sorts the more promising first: within the floor, then fast; below it, the nearest."""
        step = math.floor(math.log(self.speed) / math.log1p(_TIE))
        if self.is_within:
            return (0, -step, self.size, -self.quality)
        return (1, -self.quality, -step, self.size)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ladder:
    """How a bracket runs.

    Attributes:
        first: number of its first rung; a later one looks more closely at fewer from the start.
        rungs: rungs in all, from 0; the last one decides who is made.
        eta: one in so many goes on to the next rung, ≥ 2.
        finalists: most configurations that leave the last rung.
        parts: of the time, one a rung, in any unit, each over 0; equal ones when empty.
    """

    first: int = 0
    rungs: int = 3
    eta: int = 3
    finalists: int = 3
    parts: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        is_split = not self.parts or (len(self.parts) == self.rungs and min(self.parts) > 0)
        is_sane = 0 <= self.first < self.rungs and self.eta >= 2 and self.finalists >= 1
        if not is_sane or not is_split:
            what = "a bracket of successive halving is impossible"
            expected = "first < rungs, eta ≥ 2, finalists ≥ 1, a part a rung"
            raise UserError(what, expected=expected, got=str(self))

    def share(self, rung: int) -> float:
        """Give a rung's part of the time that is left when it begins, 0 … 1.

        Args:
            rung: from `first` on.
        """
        parts = self.parts or (1.0,) * self.rungs
        return parts[rung] / sum(parts[rung:])


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop(Generic[C]):
    """A configuration that did not go on.

    Attributes:
        configuration: which one.
        rung: the last rung that it was entered in.
        score: what was seen there; None where no time was left to look.
        reason: one clause, `dropped after rung 1: …`.
    """

    configuration: C
    rung: int
    score: Score | None
    reason: str

    @property
    def is_for_speed(self) -> bool:
        """Whether it was within the floor, and only others promised more."""
        return self.score is not None and self.score.is_within


@dataclass(frozen=True, slots=True, kw_only=True)
class Halved(Generic[C]):
    """What a bracket found.

    Attributes:
        finalists: within the floor on the last rung, the most promising first.
        dropped: all others, in the order in which they went.
    """

    finalists: tuple[C, ...]
    dropped: tuple[Drop[C], ...]


def halve(
    configurations: Sequence[C],
    evaluate: Callable[[C, int], Score],
    ladder: Ladder,
    *,
    deadline_s: float,
    clock: Clock,
) -> Halved[C]:
    """Run one bracket.

    A rung whose part of the time is used up stops looking; what it has not looked at is dropped,
    the least promising first, for each rung looks in the order of the one before. At the first
    of them it looks in any case, so that what was spent on earlier rungs is not lost.

    Args:
        configurations: in the order of what to look at first.
        evaluate: looks at one on a rung; each rung is some `eta` times as dear as the one before.
        ladder: how many go on, and how often.
        deadline_s: reading of the monotonic clock after which nothing is begun, but for one look
            on each rung that is left; beyond it, no bracket begins.
        clock: tells the time.

    Returns:
        Finalists and dropped; together, each configuration once.
    """
    dropped: list[Drop[C]] = []
    left = list(configurations)
    for rung in range(ladder.first, ladder.rungs):
        now = clock.monotonic()
        if rung == ladder.first and now >= deadline_s:
            drops = (_drop(each, rung, None, _LATE) for each in configurations)
            return Halved(finalists=(), dropped=tuple(drops))
        share = max(0.0, deadline_s - now) * ladder.share(rung)
        seen, unseen = _look(left, evaluate, rung, until_s=now + share, clock=clock)
        ranked = sorted(range(len(seen)), key=lambda place: (seen[place][1].order, place))
        is_last = rung + 1 == ladder.rungs
        most = ladder.finalists if is_last else math.ceil(len(left) / ladder.eta)
        goes_on = _promote(ranked, [score for _, score in seen], most, is_last=is_last)
        for place in ranked:
            if place not in goes_on:
                configuration, score = seen[place]
                why = _explain(score, is_last=is_last)
                dropped.append(_drop(configuration, rung, score, why))
        dropped += [_drop(each, rung, None, _LATE) for each in unseen]
        left = [seen[place][0] for place in goes_on]
    return Halved(finalists=tuple(left), dropped=tuple(dropped))


def _promote(
    ranked: Sequence[int], scores: Sequence[Score], most: int, *, is_last: bool
) -> list[int]:
    """Give the places of those that go on, the most promising first.

    Before the last rung one place is kept for the surest, whatever its speed: the fastest that
    seem to hold the floor on few rows are also the likeliest to miss it on more.
    """
    if is_last:  # below the floor nothing is repaired any more
        return [place for place in ranked[:most] if scores[place].is_within]
    goes_on = list(ranked[:most])
    if most < 2 or len(ranked) <= most:
        return goes_on
    surest = min(ranked, key=lambda place: (-scores[place].quality, *scores[place].order))
    if surest not in goes_on:
        goes_on[-1] = surest
    return goes_on


def _look(
    configurations: Sequence[C],
    evaluate: Callable[[C, int], Score],
    rung: int,
    *,
    until_s: float,
    clock: Clock,
) -> tuple[list[tuple[C, Score]], list[C]]:
    """Evaluate the first, and on while another as long as the longest so far fits in."""
    seen: list[tuple[C, Score]] = []
    longest = 0.0
    for place, configuration in enumerate(configurations):
        begun = clock.monotonic()
        if place and begun + longest >= until_s:
            return seen, list(configurations[place:])
        seen.append((configuration, evaluate(configuration, rung)))
        longest = max(longest, clock.monotonic() - begun)
    return seen, []


def _explain(score: Score, *, is_last: bool) -> str:
    if not score.is_within:
        return "below the floor there" if is_last else "further below the floor than others"
    return "others within the floor promised more speed"


def _drop(configuration: C, rung: int, score: Score | None, why: str) -> Drop[C]:
    reason = f"dropped after rung {rung}: {why}"
    return Drop(configuration=configuration, rung=rung, score=score, reason=reason)
