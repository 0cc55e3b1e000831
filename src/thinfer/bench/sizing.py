"""From a measured capacity to cores and money: arithmetic, and what it takes for granted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from thinfer.errors import QualityError, UserError

__all__ = ["Capacity", "Demand", "Sizing", "size"]

HOURS_A_MONTH = 730.0  # 365 days of 24 hours, a twelfth of them


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What the service shall do.

    Attributes:
        rate: requests a second.
        p99_ms: within this latency.
        headroom: the share of the capacity that shall stay free, 0 or more and below 1.
        core_price: of one core for one hour, if money shall be told; the currency is the caller's.
    """

    rate: float
    p99_ms: float
    headroom: float = 0.3
    core_price: float | None = None

    def __post_init__(self) -> None:
        price = 0.0 if self.core_price is None else self.core_price
        good = 0 < self.rate < math.inf and 0 < self.p99_ms < math.inf
        if not (good and 0 <= self.headroom < 1 and 0 <= price < math.inf):
            what = "the plan makes no sense"
            expected = "a rate and a latency above 0, a headroom from 0 to below 1, a price from 0"
            raise UserError(what, expected=expected, got=str(self))


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """What one process of the service was seen to do.

    Attributes:
        cores: that it had.
        requests_per_second: the highest rate whose p99 stayed within the target.
        p99_ms: at that rate.
        is_lower_bound: it may do more.
        cores_used: processor seconds a second at that rate; None where nobody read them.
        note: what else has to be known of the measurement; empty for nothing.
    """

    cores: int
    requests_per_second: float
    p99_ms: float
    is_lower_bound: bool = False
    cores_used: float | None = None
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizing:
    """What is needed.

    Attributes:
        demand: what was asked.
        processes: of the service, each like the one that was measured.
        cores: of all of them.
        capacity: requests a second of all of them, if capacity grows with their number.
        headroom: the share of that capacity that the rate leaves free, 0 … 1.
        price_a_month: None without a price of a core.
        measured: the process that all this is a multiple of.
        assumptions: what was not measured, in plain words.
    """

    KIND: ClassVar[str] = "thinfer.sizing"
    VERSION: ClassVar[int] = 1

    demand: Demand
    processes: int
    cores: int
    capacity: float
    headroom: float
    price_a_month: float | None
    measured: Capacity
    assumptions: tuple[str, ...]


def size(capacities: Sequence[Capacity], demand: Demand) -> Sizing:
    """Give the fewest cores that answer a rate with room to spare; of equals, fewest processes.

    Args:
        capacities: what was measured under the demand's latency, a process each.
        demand: what the service shall do.

    Returns:
        The sizing with what it takes for granted.

    Raises:
        QualityError: nothing that was measured answers within the target.
    """
    usable = [item for item in capacities if item.requests_per_second > 0]
    if not usable:
        what = f"no rate was answered within a p99 of {demand.p99_ms:g} ms"
        raise QualityError(what, do="allow more, or make the model cheaper: thinfer compress")

    def count(item: Capacity) -> int:
        wanted = demand.rate / ((1 - demand.headroom) * item.requests_per_second)
        return max(1, math.ceil(wanted - 1e-9))  # rounding of the division costs no process

    best = min(usable, key=lambda item: (count(item) * item.cores, count(item)))
    processes = count(best)
    cores, capacity = processes * best.cores, processes * best.requests_per_second
    price = demand.core_price
    return Sizing(
        demand=demand,
        processes=processes,
        cores=cores,
        capacity=capacity,
        headroom=1 - demand.rate / capacity,
        price_a_month=None if price is None else cores * price * HOURS_A_MONTH,
        measured=best,
        assumptions=_list_assumptions(best, processes, has_price=price is not None),
    )


def _list_assumptions(best: Capacity, processes: int, *, has_price: bool) -> tuple[str, ...]:
    said = [
        "Cores are cores of the machine that was measured; another processor wants its own run."
    ]
    if processes > 1:
        said.append(
            f"{processes} processes are taken to answer {processes} times what one was seen to: "
            f"linear in cores, each with {best.cores} of its own, the requests spread evenly."
        )
    if best.is_lower_bound:
        said.append("The measured capacity is a lower bound, so fewer cores may do.")
    if best.note:
        said.append(best.note)
    if has_price:
        said.append(f"A month has {HOURS_A_MONTH:g} hours, and every core is paid for all of them.")
    return tuple(said)
