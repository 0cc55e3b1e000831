"""What came back under load, and whether the generator itself kept its times."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

__all__ = ["QUANTILES", "LoadResult", "describe_outcome"]

QUANTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p99.9": 0.999}
_BUSY = 0.9  # of a core; the generator is one thread
_LATE_S = 1e-3  # what a busy machine does to anybody's timers


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadResult:
    """What came back.

    Attributes:
        latencies: seconds of each request answered with 200, in the order of the answers.
        seconds: from the first request that counts to the last answer.
        statuses: HTTP status → answers.
        errors: kind of failure → requests without an answer.
        lost: requests that had no answer when the time was over.
        late: seconds by which the generator itself came late to each request, in an open loop;
            waiting for the service to free a connection is not among them.
        waited: requests that found every connection busy; the wait is part of their latency.
        generator_share: processor time of the generator's process over the time of the whole run.
    """

    KIND: ClassVar[str] = "thinfer.load"
    VERSION: ClassVar[int] = 2

    latencies: tuple[float, ...]
    seconds: float
    statuses: dict[str, int] = field(default_factory=dict)
    errors: dict[str, int] = field(default_factory=dict)
    lost: int = 0
    late: tuple[float, ...] = ()
    waited: int = 0
    generator_share: float = 0.0

    @property
    def requests_per_second(self) -> float:
        """Requests answered with 200, a second."""
        return len(self.latencies) / self.seconds if self.seconds > 0 else 0.0

    @property
    def asked(self) -> int:
        """Requests that count, answered or not."""
        return sum(self.statuses.values()) + sum(self.errors.values()) + self.lost

    @property
    def failed(self) -> int:
        """Requests that were not answered with 200."""
        return self.asked - len(self.latencies)

    def quantile_ms(self, share: float) -> float:
        """Give the milliseconds that a share of the good answers stayed within; NaN of none.

        Args:
            share: 0 … 1, for example 0.99.
        """
        return _quantile_ms(self.latencies, share)

    def quantile_of_all_ms(self, share: float) -> float:
        """Give the same over all requests, where one without a good answer took for ever.

        Args:
            share: 0 … 1.

        Returns:
            Milliseconds; infinity where more than the rest failed; NaN of no request.
        """
        return _quantile_ms((*self.latencies, *[math.inf] * self.failed), share)

    @property
    def generator_fault(self) -> str | None:
        """Why the generator, and not the service, may be what these figures show; None if not."""
        if self.generator_share >= _BUSY:
            return f"the generator used {self.generator_share:.0%} of its one core"
        late = _quantile_ms(self.late, 0.99) / 1e3
        if late > max(_LATE_S, 0.2 * self.quantile_ms(0.99) / 1e3):
            return f"1 % of the requests were sent {1e3 * late:.1f} ms late or later"
        return None


def describe_outcome(result: LoadResult, *, batch: int, limit_ms: float) -> dict[str, Any]:
    """Give a result as `load --json` shows it.

    Args:
        result: of one run.
        batch: texts of one request.
        limit_ms: an answer within it is a good one.

    Returns:
        JSON-ready: `latency_ms` (of answers with 200, from the due time; null of none),
        `requests_per_second`, `texts_per_second`, `goodput` (answers within the limit, a second),
        `asked`, `statuses`, `errors`, `lost` and `generator`.
    """
    good = sum(1e3 * latency <= limit_ms for latency in result.latencies)
    return {
        "latency_ms": _spread(result.latencies),
        "requests_per_second": result.requests_per_second,
        "texts_per_second": batch * result.requests_per_second,
        "goodput": good / result.seconds if result.seconds > 0 else 0.0,
        "limit_ms": limit_ms,
        "asked": result.asked,
        "statuses": dict(sorted(result.statuses.items())),
        "errors": dict(sorted(result.errors.items())),
        "lost": result.lost,
        "seconds": result.seconds,
        "generator": {
            "late_ms": _spread(result.late),
            "waited_for_a_connection": result.waited,
            "cpu_share": result.generator_share,
            "fault": result.generator_fault,
        },
    }


def _spread(seconds: Sequence[float]) -> dict[str, float] | None:
    if not seconds:
        return None
    found = {name: _quantile_ms(seconds, share) for name, share in QUANTILES.items()}
    return {**found, "max": 1e3 * max(seconds)}


def _quantile_ms(seconds: Sequence[float], share: float) -> float:
    """The smallest value that so many stay within: one that was measured, never one between."""
    if not seconds:
        return math.nan
    return 1e3 * float(np.quantile(seconds, share, method="higher"))
