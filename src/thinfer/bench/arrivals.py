"""When requests are due: evenly, as of many independent users, or in bursts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from thinfer.errors import UserError

__all__ = ["PATTERNS", "draw_arrivals", "draw_due_times"]

PATTERNS: Mapping[str, str] = MappingProxyType(
    {
        "steady": "one after the other, equally far apart",
        "poisson": "independent of each other, as of many users",
        "bursts": "several at the same moment, the moments independent of each other",
    }
)


def draw_due_times(*, rate: float, requests: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw when requests are due: independent arrivals, as of many users.

    Args:
        rate: requests a second, above 0.
        requests: how many.
        rng: where chance comes from.

    Returns:
        float64 `[requests]`, seconds after the start, rising.
    """
    check_rate(rate)
    times: NDArray[np.float64] = np.cumsum(rng.exponential(1 / rate, size=requests))
    return times


def draw_arrivals(
    pattern: str, *, rate: float, seconds: float, burst: int = 10, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Draw every arrival of a stretch of time.

    Args:
        pattern: a name of `PATTERNS`.
        rate: requests a second on average, above 0; of bursts too, so they come
            `rate / burst` times a second.
        seconds: how long, above 0.
        burst: requests of one burst; of no meaning to the other patterns.
        rng: where chance comes from; `steady` asks it nothing.

    Returns:
        float64 `[requests]`, seconds after the start, in `[0, seconds)`, never falling. May be
        empty where chance decides.

    Raises:
        UserError: there is no such pattern, or a number makes no sense.
    """
    check_rate(rate)
    if not 0 < seconds < math.inf or burst < 1:
        what = "the arrivals make no sense"
        expected = "a time above 0 and at least 1 request a burst"
        raise UserError(what, expected=expected, got=f"{seconds} s, {burst} a burst")
    if pattern == "steady":
        even: NDArray[np.float64] = np.arange(math.ceil(rate * seconds)) / rate
        return even[even < seconds]
    if pattern == "poisson":
        return _draw_moments(rate, seconds, rng)
    if pattern == "bursts":
        return np.repeat(_draw_moments(rate / burst, seconds, rng), burst)
    what = f"there is no pattern '{pattern}'"
    raise UserError(what, expected=", ".join(PATTERNS))


def check_rate(rate: float) -> None:
    """Refuse a rate that nothing can be sent at.

    Args:
        rate: requests a second.

    Raises:
        UserError: it is not above 0, or not finite.
    """
    if not 0 < rate < math.inf:
        what = "the request rate makes no sense"
        raise UserError(what, expected="above 0 a second", got=str(rate))


def _draw_moments(rate: float, seconds: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Independent moments up to the end; as many gaps as are all but surely enough, then more."""
    expected = rate * seconds
    times = np.empty(0)
    while not len(times) or times[-1] < seconds:
        count = math.ceil(expected + 4 * math.sqrt(expected) + 8)
        gaps = rng.exponential(1 / rate, size=count)
        times = np.concatenate([times, (times[-1] if len(times) else 0.0) + np.cumsum(gaps)])
    return times[times < seconds]
