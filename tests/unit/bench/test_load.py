"""Load on a small server of the test's own: due times, bounds, failures, loopback only."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import numpy as np
import pytest

from thinfer.bench.load import (
    LoadPlan,
    LoadResult,
    draw_due_times,
    run_closed_loop,
    run_open_loop,
)
from thinfer.core.clock import SystemClock
from thinfer.errors import UserError

Reply = Callable[[asyncio.StreamReader, asyncio.StreamWriter, bytes], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
PLAN = LoadPlan(
    host="127.0.0.1",
    port=1,
    path="/check",
    bodies=(b'{"content": "a"}', b'{"content": "bb"}'),
    connections=2,
    requests=6,
    seconds=20.0,
)


class Server:
    """Keeps what it was asked, and answers as it is told."""

    def __init__(self, answer: bytes = OK, *, gate: asyncio.Event | None = None) -> None:
        self.answer, self.gate = answer, gate
        self.bodies: list[bytes] = []
        self.heads: list[str] = []
        self.connections = 0
        self.at_once = self.most_at_once = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = int(head.lower().split("content-length: ")[1].split("\r\n")[0])
                self.heads.append(head)
                self.bodies.append(await reader.readexactly(length))
                self.at_once += 1
                self.most_at_once = max(self.most_at_once, self.at_once)
                if self.gate is not None:
                    await self.gate.wait()
                self.at_once -= 1
                writer.write(self.answer)
                await writer.drain()
                if b"connection: close" in self.answer:
                    return
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            return
        finally:
            writer.close()


async def with_server(
    server: Server, plan: LoadPlan, act: Callable[[LoadPlan], Awaitable[LoadResult]]
) -> LoadResult:
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    try:
        return await act(replace(plan, port=listener.sockets[0].getsockname()[1]))
    finally:
        listener.close()


def closed(server: Server, plan: LoadPlan = PLAN) -> LoadResult:
    return asyncio.run(
        with_server(server, plan, lambda plan: run_closed_loop(plan, clock=SystemClock()))
    )


def open_loop(server: Server, due: list[float], plan: LoadPlan = PLAN) -> LoadResult:
    return asyncio.run(
        with_server(server, plan, lambda plan: run_open_loop(plan, due=due, clock=SystemClock()))
    )


def test_a_closed_loop_sends_each_body_in_turn_on_kept_connections() -> None:
    server = Server()
    result = closed(server)
    assert result.statuses == {"200": 6}
    assert result.errors == {}
    assert sorted(server.bodies) == sorted(PLAN.bodies * 3)
    assert server.connections == 2
    assert all(head.startswith("POST /check HTTP/1.1\r\n") for head in server.heads)
    assert result.requests_per_second > 0
    assert 0 < result.quantile_ms(0.5) <= result.quantile_ms(0.99)


def test_chunked_answers_and_closing_servers_are_understood() -> None:
    assert closed(Server(CHUNKED)).statuses == {"200": 6}
    server = Server(OK.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"))
    assert closed(server).statuses == {"200": 6}
    assert server.connections == 6


def test_refusals_and_nonsense_are_counted_and_never_timed() -> None:
    busy = closed(Server(b"HTTP/1.1 429 Too Many\r\ncontent-length: 0\r\n\r\n"))
    assert busy.statuses == {"429": 6}
    assert busy.latencies == ()
    assert np.isnan(busy.quantile_ms(0.5))
    assert busy.requests_per_second == 0
    odd = closed(Server(b"nonsense\r\n\r\n"))
    assert odd.statuses == {}
    assert sum(odd.errors.values()) == 6


def test_a_service_that_is_gone_gives_errors() -> None:
    plan = replace(PLAN, port=1, requests=3)
    result = asyncio.run(run_closed_loop(plan, clock=SystemClock()))
    assert sum(result.errors.values()) == 3
    assert result.latencies == ()


def test_latency_counts_from_the_due_time() -> None:
    # Both are due at once, and the one connection can only send the second after the first:
    # the service takes 0.1 s each, so the second has waited for the first as well.
    class Slow(Server):
        async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.gate = asyncio.Event()
            asyncio.get_running_loop().call_later(0.1, self.gate.set)
            await super().serve(reader, writer)

    plan = replace(PLAN, connections=1, requests=2)
    result = open_loop(Slow(), [0.0, 0.0], plan)
    assert len(result.latencies) == 2
    assert result.latencies[1] >= result.latencies[0] >= 0.09


def test_an_open_loop_does_not_wait_for_answers() -> None:
    async def act(plan: LoadPlan) -> LoadResult:
        server.gate = asyncio.Event()
        asyncio.get_running_loop().call_later(0.2, server.gate.set)
        return await run_open_loop(plan, due=[0.0, 0.01, 0.02], clock=SystemClock())

    server = Server()
    plan = replace(PLAN, connections=3, requests=3)
    assert len(asyncio.run(with_server(server, plan, act)).latencies) == 3
    assert server.most_at_once == 3


def test_the_run_ends_with_its_seconds_and_counts_what_was_lost() -> None:
    async def act(plan: LoadPlan) -> LoadResult:
        server.gate = asyncio.Event()  # never set
        return await run_open_loop(plan, due=[0.0, 0.0, 0.0], clock=SystemClock())

    server = Server()
    plan = replace(PLAN, connections=1, requests=3, seconds=0.2)
    result = asyncio.run(with_server(server, plan, act))
    assert result.lost == 3
    assert result.latencies == ()


def test_requests_bound_the_open_loop_too() -> None:
    server = Server()
    assert len(open_loop(server, [0.0] * 50).latencies) == PLAN.requests
    assert len(server.bodies) == PLAN.requests


@pytest.mark.parametrize("host", ["example.org", "10.0.0.1", "0.0.0.0", "localhost", "8.8.8.8"])
def test_only_loopback_addresses_are_loaded(host: str) -> None:
    with pytest.raises(UserError, match="this machine only"):
        replace(PLAN, host=host)
    assert replace(PLAN, host="::1").host == "::1"


@pytest.mark.parametrize(
    "change",
    [
        {"bodies": ()},
        {"connections": 0},
        {"requests": 0},
        {"requests": 10**9},
        {"seconds": 0.0},
        {"seconds": float("inf")},
    ],
)
def test_a_plan_without_bounds_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(UserError, match="plan"):
        replace(PLAN, **change)  # type: ignore[arg-type]  # one wrong value a case


def test_due_times_rise_at_the_rate_asked_for() -> None:
    times = draw_due_times(rate=50.0, requests=4000, rng=np.random.default_rng(0))
    assert np.all(np.diff(times) >= 0)
    assert times[-1] == pytest.approx(80.0, rel=0.1)
    with pytest.raises(UserError, match="rate"):
        draw_due_times(rate=0.0, requests=1, rng=np.random.default_rng(0))
