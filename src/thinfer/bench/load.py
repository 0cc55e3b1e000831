"""HTTP load on a service of this machine: open loop at a rate, or closed loop to saturation.

Open loop: requests are due at times fixed beforehand, and latency counts from the due time, so
that a service which falls behind shows it. Both loops are bounded in requests and in seconds.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from thinfer.core.clock import Clock
from thinfer.errors import UserError

__all__ = ["LoadPlan", "LoadResult", "draw_due_times", "run_closed_loop", "run_open_loop"]

MOST_REQUESTS = 1_000_000
MOST_SECONDS = 3_600.0
_MOST_HEAD = 64 * 1024
_HTTP_OK = 200
_BROKEN = (OSError, EOFError, ValueError, IndexError, asyncio.LimitOverrunError)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadPlan:
    """What is asked of whom, and when it ends.

    Attributes:
        host: a loopback address; nothing else is ever loaded.
        port: where the service listens.
        path: of the route; every request is a POST.
        bodies: JSON bodies, used in turn.
        connections: connections that are kept open, each with one request at a time.
        requests: requests at most.
        seconds: the whole run at most; what is unanswered then counts as lost.
    """

    host: str
    port: int
    path: str
    bodies: tuple[bytes, ...]
    connections: int
    requests: int
    seconds: float

    def __post_init__(self) -> None:
        if not _is_loopback(self.host):
            what = "load goes to this machine only"
            raise UserError(what, expected="a loopback address", got=self.host)
        good = (
            bool(self.bodies)
            and self.connections >= 1
            and 1 <= self.requests <= MOST_REQUESTS
            and 0 < self.seconds <= MOST_SECONDS
        )
        if not good:
            what = "the load plan makes no sense"
            expected = f"a body, 1 … {MOST_REQUESTS} requests, up to {MOST_SECONDS:.0f} s"
            raise UserError(what, expected=expected)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadResult:
    """What came back.

    Attributes:
        latencies: seconds of each request answered with 200, in the order of the answers.
        seconds: from the first request to the last answer.
        statuses: HTTP status → answers.
        errors: kind of failure → requests without an answer.
        lost: requests that had no answer when the time was over.
    """

    KIND: ClassVar[str] = "thinfer.load"
    VERSION: ClassVar[int] = 1

    latencies: tuple[float, ...]
    seconds: float
    statuses: dict[str, int] = field(default_factory=dict)
    errors: dict[str, int] = field(default_factory=dict)
    lost: int = 0

    @property
    def requests_per_second(self) -> float:
        """Requests answered with 200, a second."""
        return len(self.latencies) / self.seconds if self.seconds > 0 else 0.0

    def quantile_ms(self, share: float) -> float:
        """Give the milliseconds that a share of the good answers stayed within; NaN of none.

        Args:
            share: 0 … 1, for example 0.99.
        """
        if not self.latencies:
            return float("nan")
        return 1e3 * float(np.quantile(self.latencies, share, method="higher"))


def draw_due_times(*, rate: float, requests: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw when requests are due: independent arrivals, as of many users.

    Args:
        rate: requests a second, above 0.
        requests: how many.
        rng: where chance comes from.

    Returns:
        float64 `[requests]`, seconds after the start, rising.

    Raises:
        UserError: the rate is not above 0.
    """
    if not rate > 0:
        what = "the request rate makes no sense"
        raise UserError(what, expected="above 0 a second", got=str(rate))
    times: NDArray[np.float64] = np.cumsum(rng.exponential(1 / rate, size=requests))
    return times


async def run_open_loop(
    plan: LoadPlan, *, due: Sequence[float] | NDArray[np.float64], clock: Clock
) -> LoadResult:
    """Send each request when it is due, whether the ones before are answered or not.

    A request that finds no free connection waits for one, and the wait is part of its latency.

    Args:
        plan: what to send; its `requests` and `seconds` bound the run.
        due: seconds after the start, rising.
        clock: reads the latencies.

    Returns:
        The answers.
    """
    times = [float(moment) for moment in due[: plan.requests]]

    async def work(run: _Run) -> None:
        numbers = iter(enumerate(times))

        async def connection() -> None:
            # Whoever is free takes the next request that is due: first come, first served.
            async with _Connection(plan) as link:
                for number, moment in numbers:
                    wait = run.start + moment - clock.monotonic()
                    if wait > 0:
                        await asyncio.sleep(wait)
                    await run.ask(link, number, since=run.start + moment)

        await asyncio.gather(*(connection() for _ in range(plan.connections)))

    return await _bounded(plan, clock, work, expected=len(times))


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

        async def connection() -> None:
            async with _Connection(plan) as link:
                while (number := next(numbers)) < plan.requests:
                    await run.ask(link, number, since=clock.monotonic())

        await asyncio.gather(*(connection() for _ in range(plan.connections)))

    return await _bounded(plan, clock, work, expected=None)


class _Run:
    """What was answered so far."""

    def __init__(self, plan: LoadPlan, clock: Clock) -> None:
        self.plan, self.clock, self.start = plan, clock, clock.monotonic()
        self.last = self.start
        self.latencies: list[float] = []
        self.statuses: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()

    async def ask(self, link: _Connection, number: int, *, since: float) -> None:
        body = self.plan.bodies[number % len(self.plan.bodies)]
        try:
            status = await link.post(body)
        except _BROKEN as error:
            self.errors[type(error).__name__] += 1
            await link.close()
            return
        self.last = self.clock.monotonic()
        self.statuses[str(status)] += 1
        if status == _HTTP_OK:
            self.latencies.append(self.last - since)


async def _bounded(
    plan: LoadPlan,
    clock: Clock,
    work: Callable[[_Run], Awaitable[None]],
    *,
    expected: int | None,
) -> LoadResult:
    run = _Run(plan, clock)
    try:
        async with asyncio.timeout(plan.seconds):
            await work(run)
    except TimeoutError:
        pass
    answered = run.statuses.total() + run.errors.total()
    return LoadResult(
        latencies=tuple(run.latencies),
        seconds=run.last - run.start,
        statuses=dict(run.statuses),
        errors=dict(run.errors),
        lost=0 if expected is None else expected - answered,
    )


class _Connection:
    """One HTTP/1.1 connection, opened when it is needed and kept."""

    def __init__(self, plan: LoadPlan) -> None:
        self._plan = plan
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def __aenter__(self) -> _Connection:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def post(self, body: bytes) -> int:
        """Send one body and read the whole answer; give its status."""
        plan = self._plan
        if self._streams is None:
            self._streams = await asyncio.open_connection(plan.host, plan.port, limit=_MOST_HEAD)
        reader, writer = self._streams
        head = (
            f"POST {plan.path} HTTP/1.1\r\nhost: {plan.host}:{plan.port}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode() + body)
        await writer.drain()
        status, fields = _read_head(await reader.readuntil(b"\r\n\r\n"))
        await _skip_body(reader, fields)
        if fields.get("connection", "").lower() == "close":
            await self.close()
        return status

    async def close(self) -> None:
        if self._streams is not None:
            writer = self._streams[1]
            self._streams = None
            writer.close()
            try:
                await writer.wait_closed()
            except OSError:
                return


def _read_head(raw: bytes) -> tuple[int, dict[str, str]]:
    first, *lines = raw.decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in lines if line)
    return int(first.split()[1]), {key.strip().lower(): value.strip() for key, _, value in pairs}


async def _skip_body(reader: asyncio.StreamReader, fields: dict[str, str]) -> None:
    if fields.get("transfer-encoding", "").lower() != "chunked":
        await reader.readexactly(int(fields.get("content-length", "0")))
        return
    while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        await reader.readexactly(size + 2)
    await reader.readuntil(b"\r\n")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
