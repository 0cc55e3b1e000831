"""What `thinfer load` is asked, and what it does over and over: hold a rate for a while."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from thinfer.bench.arrivals import PATTERNS, draw_arrivals
from thinfer.bench.load import (
    MOST_REQUESTS,
    MOST_SECONDS,
    LoadPlan,
    run_closed_loop,
    run_open_loop,
    run_punctually,
)
from thinfer.bench.outcome import LoadResult
from thinfer.bench.saturation import FEWEST_STEPS
from thinfer.bench.target import Target
from thinfer.core.clock import Clock
from thinfer.errors import UserError

__all__ = ["LoadRequest", "check_answers", "hold_rate"]

_GRACE_S = 10.0  # for the last answers of a run at a rate; then they count as lost
_FIRST_S = 60.0  # for the first answer of all
_TOO_MANY, _BAD_REQUEST, _SERVER_ERROR = 429, 400, 500


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadRequest:
    """What `thinfer load` is asked.

    Attributes:
        target: the service; its path is the route's.
        route: name of the route, for the report.
        bodies: JSON bodies, used in turn.
        batch: texts of one body.
        rate: requests a second; of a search the first rate, from one caller's own when absent.
        pattern: when they are due, a name of `PATTERNS`.
        burst: requests of one burst.
        seconds: of the run, or of each step of a search; what counts, after the warm-up.
        warmup: seconds before that.
        connections: kept open at most.
        limit_ms: the p99 that a search may not exceed; goodput counts answers within it.
        steps: of a search, at most.
        seed: draws the due times.
        headers: go with each request; may be secret.
        allow_remote: whether the service may be on another machine.
    """

    target: Target
    route: str
    bodies: tuple[bytes, ...]
    batch: int = 1
    rate: float | None = None
    pattern: str = "poisson"
    burst: int = 10
    seconds: float = 10.0
    warmup: float = 1.0
    connections: int = 64
    limit_ms: float = 50.0
    steps: int = 14
    seed: int = 0
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    allow_remote: bool = False

    def __post_init__(self) -> None:
        if self.pattern not in PATTERNS:
            what = f"there is no pattern '{self.pattern}'"
            raise UserError(what, expected=", ".join(PATTERNS))
        whole = self.warmup + self.seconds
        good = (
            0 < self.seconds <= MOST_SECONDS
            and 0 <= self.warmup <= MOST_SECONDS
            and 0 < self.limit_ms < math.inf
            and self.burst >= 1
            and self.steps >= FEWEST_STEPS
            and (self.rate is None or 0 < self.rate * whole <= MOST_REQUESTS)
        )
        if not good:
            what = "the load makes no sense"
            expected = (
                f"seconds up to {MOST_SECONDS:.0f}, a latency above 0, {FEWEST_STEPS} steps or "
                f"more, and a rate that makes no more than {MOST_REQUESTS} requests"
            )
            raise UserError(what, expected=expected)
        self.plan(requests=1, seconds=1.0)  # refuses the rest before anything is sent

    def plan(
        self,
        *,
        requests: int,
        seconds: float,
        connections: int | None = None,
        warmup: float = 0.0,
    ) -> LoadPlan:
        """Give the bounds of one loop.

        Args:
            requests: at most.
            seconds: at most.
            connections: other than the request's own.
            warmup: seconds that do not count.
        """
        return LoadPlan(
            host=self.target.host,
            port=self.target.port,
            path=self.target.path,
            bodies=self.bodies,
            connections=connections or self.connections,
            requests=requests,
            seconds=seconds,
            warmup=warmup,
            headers=self.headers,
            is_tls=self.target.is_tls,
            allow_remote=self.allow_remote,
        )


def hold_rate(
    request: LoadRequest,
    rate: float,
    *,
    seconds: float,
    seed: int,
    clock: Clock,
    grace: float = _GRACE_S,
) -> LoadResult:
    """Hold one rate in an open loop, after the request's warm-up.

    Args:
        request: what to send.
        rate: requests a second.
        seconds: that count.
        seed: together with the request's, draws the due times.
        clock: reads the latencies.
        grace: seconds for the last answers.
    """
    rng = np.random.default_rng((request.seed, seed))
    whole = request.warmup + seconds
    due = draw_arrivals(request.pattern, rate=rate, seconds=whole, burst=request.burst, rng=rng)
    plan = request.plan(requests=max(1, len(due)), seconds=whole + grace, warmup=request.warmup)
    loop = run_open_loop(plan, due=due, clock=clock)
    return run_punctually(loop, connections=request.connections)


def check_answers(request: LoadRequest, *, clock: Clock) -> None:
    """Send one request, so that a wrong address or form does not become a long row of errors.

    Args:
        request: what to send.
        clock: reads the latencies.

    Raises:
        UserError: nothing listens there, or the service refuses the form of the request.
    """
    plan = request.plan(requests=1, seconds=_FIRST_S, connections=1)
    result = run_punctually(run_closed_loop(plan, clock=clock))
    what = f"the service at {request.target.url} did not answer a first request"
    if result.errors:
        got = ", ".join(result.errors)
        raise UserError(what, got=got, do="start it, or mend the address")
    for status in map(int, result.statuses):
        if _BAD_REQUEST <= status < _SERVER_ERROR and status != _TOO_MANY:
            do = "choose another --route, --body or --header"
            raise UserError(what, expected="status 200", got=f"status {status}", do=do)
