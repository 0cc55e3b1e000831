"""One run on a small service: what it tells, and what it refuses before it loads anything."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from tests.support.http_double import OK, Server, in_thread
from thinfer.bench.load_request import LoadRequest, check_answers, hold_rate
from thinfer.bench.load_run import ask_info, run_load, saturate
from thinfer.bench.target import Target, parse_target
from thinfer.core.clock import SystemClock
from thinfer.core.progress import SilentProgress
from thinfer.errors import UserError

REQUEST = LoadRequest(
    target=Target(host="127.0.0.1", port=1, path="/check", is_tls=False),
    route="check",
    bodies=(b'{"content": "a"}',),
    rate=200.0,
    seconds=0.2,
    warmup=0.05,
    connections=4,
)
CLOCK = SystemClock()


class Told(SilentProgress):
    """Keeps the notes."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


@contextmanager
def running(answer: bytes = OK, **changed: object) -> Iterator[tuple[Server, LoadRequest]]:
    server = Server(answer)
    with in_thread(server) as port:
        target = replace(REQUEST.target, port=port)
        yield server, replace(REQUEST, target=target, **changed)  # type: ignore[arg-type]


def test_a_rate_is_held_and_told_with_how_it_was_asked() -> None:
    with running(headers=(("x-key", "4711"),), pattern="steady") as (server, request):
        result = run_load(request, is_search=False, progress=SilentProgress(), clock=CLOCK)
    assert result["asked"] == 40
    assert result["statuses"] == {"200": 40}
    assert result["lost"] == 0
    assert result["service"] is None
    assert result["machine"]["cores"] >= 1
    assert "4711" not in json.dumps(result)
    assert all("x-key: 4711" in head.lower() for head in server.heads)


def test_the_same_seed_sends_at_the_same_times() -> None:
    with running() as (_, request):
        counts = [
            hold_rate(request, 200.0, seconds=0.1, seed=seed, clock=CLOCK).asked for seed in (1, 1)
        ]
    assert counts[0] == counts[1]


def test_a_search_tells_each_step_and_keeps_to_its_number() -> None:
    told = Told()
    with running(steps=3, seconds=0.1, limit_ms=5000.0) as (_, request):
        result = run_load(request, is_search=True, progress=told, clock=CLOCK)
    found = result["saturation"]
    assert [step["rate"] for step in found["steps"]] == [200.0, 400.0, 400.0]
    assert found["rate"] == 400.0
    assert found["is_lower_bound"]
    assert len(told.notes) == 3
    json.dumps(result, allow_nan=False)


def test_a_search_reads_the_services_processor_time() -> None:
    spent = iter(range(1000))
    with running(steps=3, seconds=0.1, limit_ms=5000.0) as (_, request):
        found = saturate(
            request, progress=SilentProgress(), clock=CLOCK, cpu_seconds=lambda: float(next(spent))
        )
    assert all(step.cores_used is not None and step.cores_used > 0 for step in found.steps)


def test_a_service_that_only_refuses_has_no_rate() -> None:
    busy = b"HTTP/1.1 429 Too Many\r\ncontent-length: 0\r\n\r\n"
    with running(busy, seconds=0.05, rate=None) as (_, request):
        found = saturate(request, progress=SilentProgress(), clock=CLOCK)
    assert found.rate is None
    assert all(step.p99_ms is None and step.p50_ms is None for step in found.steps)


def test_a_run_without_a_rate_is_refused() -> None:
    with pytest.raises(UserError, match="--rate"):
        run_load(
            replace(REQUEST, rate=None), is_search=False, progress=SilentProgress(), clock=CLOCK
        )


def test_nobody_there_is_said_before_any_load() -> None:
    with pytest.raises(UserError, match="start it"):
        check_answers(REQUEST, clock=CLOCK)


@pytest.mark.parametrize("status", [400, 401, 404, 422])
def test_a_wrong_form_is_said_before_any_load(status: int) -> None:
    answer = f"HTTP/1.1 {status} no\r\ncontent-length: 0\r\n\r\n".encode()
    with running(answer) as (server, request), pytest.raises(UserError, match=str(status)):
        run_load(request, is_search=False, progress=SilentProgress(), clock=CLOCK)
    assert len(server.bodies) == 1


def test_a_service_says_who_it_is_only_if_it_is_ours() -> None:
    body = (
        b'{"version": "v", "engine": "e", "precision": "p", "threads": 2, "thinfer": "1", "x": 1}'
    )
    head = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body)
    with running(head + body) as (_, request):
        info = ask_info(request)
    assert info == {
        "version": "v", "engine": "e", "precision": "p", "threads": 2, "thinfer": "1"
    }  # fmt: skip
    for other in (OK, b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n[1]"):
        with running(other) as (_, request):
            assert ask_info(request) is None
    gone = parse_target("http://127.0.0.1:1/", allow_remote=False)
    assert ask_info(replace(REQUEST, target=gone)) is None
