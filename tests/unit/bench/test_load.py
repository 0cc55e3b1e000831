"""Load on a small server of the test's own: due times, bounds, failures, loopback only."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import numpy as np
import pytest

from tests.support.http_double import CHUNKED, OK, Server, in_thread
from thinfer.bench.load import LoadPlan, run_closed_loop, run_open_loop, run_punctually
from thinfer.bench.outcome import LoadResult
from thinfer.core.clock import SystemClock
from thinfer.errors import UserError

PLAN = LoadPlan(
    host="127.0.0.1",
    port=1,
    path="/check",
    bodies=(b'{"content": "a"}', b'{"content": "bb"}'),
    connections=2,
    requests=6,
    seconds=20.0,
)


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
        {"connections": 10_000},
        {"warmup": 20.0},
        {"warmup": -1.0},
        {"requests": 0},
        {"requests": 10**9},
        {"seconds": 0.0},
        {"seconds": float("inf")},
    ],
)
def test_a_plan_without_bounds_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(UserError, match="plan"):
        replace(PLAN, **change)  # type: ignore[arg-type]  # one wrong value a case


def test_requests_of_the_warm_up_are_sent_and_not_counted() -> None:
    server = Server()
    plan = replace(PLAN, warmup=0.05)
    result = open_loop(server, [0.0, 0.0, 0.05, 0.06], plan)
    assert len(server.bodies) == 4
    assert result.asked == len(result.latencies) == len(result.late) == 2
    assert result.lost == 0


def test_the_connection_used_last_is_used_again() -> None:
    server = Server()
    result = open_loop(server, [0.0, 0.05, 0.1], replace(PLAN, connections=5))
    assert result.statuses == {"200": 3}
    assert server.connections == 1
    assert result.waited == 0


def test_a_request_without_a_free_connection_is_counted_as_waiting() -> None:
    result = open_loop(Server(), [0.0, 0.0, 0.0], replace(PLAN, connections=1))
    assert result.statuses == {"200": 3}
    assert result.waited == 2


def test_headers_go_with_each_request_and_not_into_the_plans_text() -> None:
    server = Server()
    plan = replace(PLAN, headers=(("authorization", "Bearer 4711"),))
    closed(server, plan)
    assert all("authorization: Bearer 4711\r\n" in head for head in server.heads)
    assert "4711" not in repr(plan)


def test_a_remote_host_is_loaded_only_when_that_is_said() -> None:
    assert replace(PLAN, host="10.0.0.1", allow_remote=True).host == "10.0.0.1"


def test_the_punctual_loop_runs_a_whole_run() -> None:
    server = Server()
    with in_thread(server) as port:
        plan = replace(PLAN, port=port)
        for connections in (2, 4000):  # so many are beyond what `select` can watch
            loop = run_open_loop(plan, due=[0.0, 0.01], clock=SystemClock())
            result = run_punctually(loop, connections=connections)
            assert result.statuses == {"200": 2}
            assert result.generator_share > 0
