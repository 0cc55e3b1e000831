"""HTTP load on a service: open loop at due times, or closed loop to saturation.

Open loop: requests are due at times fixed beforehand, and latency counts from the due time, so
that a service which falls behind shows it. Both loops are bounded in requests and in seconds.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from thinfer.bench.connection import BROKEN, Connection
from thinfer.bench.outcome import LoadResult
from thinfer.bench.target import is_loopback
from thinfer.core.clock import Clock
from thinfer.errors import UserError

__all__ = ["LoadPlan", "run_closed_loop", "run_open_loop", "run_punctually"]

MOST_REQUESTS = 1_000_000
MOST_SECONDS = 3_600.0
MOST_CONNECTIONS = 4_096
_MOST_SELECTED = 512  # `select` knows no file above number 1023
_HTTP_OK = 200
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadPlan:
    """What is asked of whom, and when it ends.

    Attributes:
        host: a loopback address, unless more is allowed.
        port: where the service listens.
        path: of the route; every request is a POST.
        bodies: JSON bodies, used in turn.
        connections: connections that are kept open at most, each with one request at a time.
        requests: requests at most.
        seconds: the whole run at most; what is unanswered then counts as lost.
        warmup: seconds at the start of an open loop whose requests are sent and not counted.
        headers: names and values that go with each request; may be secret.
        is_tls: whether to encrypt.
        allow_remote: whether the host may be another machine.
    """

    host: str
    port: int
    path: str
    bodies: tuple[bytes, ...]
    connections: int
    requests: int
    seconds: float
    warmup: float = 0.0
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    is_tls: bool = False
    allow_remote: bool = False

    def __post_init__(self) -> None:
        if not self.allow_remote and not is_loopback(self.host):
            what = "load goes to this machine only"
            raise UserError(what, expected="a loopback address", got=self.host)
        good = (
            bool(self.bodies)
            and 1 <= self.connections <= MOST_CONNECTIONS
            and 1 <= self.requests <= MOST_REQUESTS
            and 0 <= self.warmup < self.seconds <= MOST_SECONDS
        )
        if not good:
            what = "the load plan makes no sense"
            expected = (
                f"a body, 1 … {MOST_CONNECTIONS} connections, 1 … {MOST_REQUESTS} requests, up to "
                f"{MOST_SECONDS:.0f} s, the warm-up shorter than the whole"
            )
            raise UserError(what, expected=expected)


def run_punctually(main: Coroutine[Any, Any, T], *, connections: int = 1) -> T:
    """Run one of the loops where timers are exact.

    asyncio's usual selector on Linux waits in whole milliseconds, rounded up, which every request
    of an open loop would be late by. `select` counts microseconds, but not to more than some 500
    connections: then it is the usual one.

    Args:
        main: a loop that was not started yet.
        connections: that it will have open.

    Returns:
        What it gives.
    """

    def make_loop() -> asyncio.AbstractEventLoop:
        return asyncio.SelectorEventLoop(selectors.SelectSelector())

    factory = make_loop if connections <= _MOST_SELECTED else None
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(main)


async def run_open_loop(
    plan: LoadPlan, *, due: Sequence[float] | NDArray[np.float64], clock: Clock
) -> LoadResult:
    """Send each request when it is due, whether the ones before are answered or not.

    A request that finds no free connection waits for one, and the wait is part of its latency.
    Of free connections the one used last is taken, so that others may rest and be closed.

    Args:
        plan: what to send; its `requests` and `seconds` bound the run.
        due: seconds after the start, never falling.
        clock: reads the latencies.

    Returns:
        The answers to requests that are due after the warm-up.
    """
    times = [float(moment) for moment in due[: plan.requests]]

    async def work(run: _Run) -> None:
        free: list[Connection] = []
        waiting: deque[tuple[int, float]] = deque()

        async def serve(link: Connection, number: int, since: float) -> None:
            await run.ask(link, number, since=since)
            while waiting:
                number, since = waiting.popleft()
                await run.ask(link, number, since=since)
            free.append(link)

        async with asyncio.TaskGroup() as group:
            for number, moment in enumerate(times):
                since = run.start + moment
                # Zero gives the answers that have come a chance to be read.
                await asyncio.sleep(max(0.0, since - clock.monotonic()))
                link = free.pop() if free else run.open_link()
                run.note_start(since, has_link=link is not None)
                if link is None:
                    waiting.append((number, since))
                else:
                    group.create_task(serve(link, number, since))

    counted = sum(moment >= plan.warmup for moment in times)
    return await _bounded(plan, clock, work, expected=counted)


async def run_closed_loop(plan: LoadPlan, *, clock: Clock) -> LoadResult:
    """Keep every connection busy until the plan's time or its requests are used up.

    Args:
        plan: what to send; requests in flight at the end of `seconds` are left out.
        clock: reads the latencies.

    Returns:
        The answers; `requests_per_second` is the capacity under this many connections.
    """

    async def work(run: _Run) -> None:
        numbers = count()

        async def keep_busy(link: Connection) -> None:
            while (number := next(numbers)) < plan.requests:
                await run.ask(link, number, since=clock.monotonic())

        links = [link for _ in range(plan.connections) if (link := run.open_link()) is not None]
        await asyncio.gather(*(keep_busy(link) for link in links))

    return await _bounded(plan, clock, work, expected=None)


class _Run:
    """What was answered so far, and the connections."""

    def __init__(self, plan: LoadPlan, clock: Clock) -> None:
        self.plan, self.clock, self.start = plan, clock, clock.monotonic()
        self.first = self.last = self.start + plan.warmup
        self.latencies: list[float] = []
        self.late: list[float] = []
        self.statuses: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.waited = 0
        self._links: list[Connection] = []

    def open_link(self) -> Connection | None:
        """Give a connection, or None where the plan allows no more."""
        plan = self.plan
        if len(self._links) >= plan.connections:
            return None
        self._links.append(
            Connection(
                plan.host, plan.port, path=plan.path, headers=plan.headers, is_tls=plan.is_tls
            )
        )
        return self._links[-1]

    def note_start(self, since: float, *, has_link: bool) -> None:
        """Note how late the generator itself is, and whether a request has to wait."""
        if since >= self.first:
            self.late.append(max(0.0, self.clock.monotonic() - since))
            self.waited += not has_link

    async def ask(self, link: Connection, number: int, *, since: float) -> None:
        """Send one request and count what comes of it."""
        body = self.plan.bodies[number % len(self.plan.bodies)]
        kind = None
        try:
            status = await link.post(body)
        except BROKEN as error:
            kind = type(error).__name__
        if since < self.first:
            return
        if kind is not None:
            self.errors[kind] += 1
            return
        self.last = self.clock.monotonic()
        self.statuses[str(status)] += 1
        if status == _HTTP_OK:
            self.latencies.append(self.last - since)

    def close(self) -> None:
        """Close every connection."""
        for link in self._links:
            link.close()


async def _bounded(
    plan: LoadPlan,
    clock: Clock,
    work: Callable[[_Run], Awaitable[None]],
    *,
    expected: int | None,
) -> LoadResult:
    spent, began = time.process_time(), time.perf_counter()
    run = _Run(plan, clock)
    try:
        async with asyncio.timeout(plan.seconds):
            await work(run)
    except TimeoutError:
        pass
    finally:
        run.close()
    answered = run.statuses.total() + run.errors.total()
    return LoadResult(
        latencies=tuple(run.latencies),
        seconds=max(0.0, run.last - run.first),
        statuses=dict(run.statuses),
        errors=dict(run.errors),
        lost=0 if expected is None else expected - answered,
        late=tuple(run.late),
        waited=run.waited,
        generator_share=(time.process_time() - spent) / (time.perf_counter() - began),
    )
