"""The bounds of a run follow from what was asked."""

from __future__ import annotations

from thinfer.bench.load_request import LoadRequest
from thinfer.bench.target import Target

REQUEST = LoadRequest(
    target=Target(host="127.0.0.1", port=7, path="/check", is_tls=True),
    route="check",
    bodies=(b"{}",),
    connections=9,
    headers=(("authorization", "Bearer 4711"),),
)


def test_a_plan_keeps_the_address_and_what_goes_with_it() -> None:
    plan = REQUEST.plan(requests=5, seconds=3.0, warmup=1.0)
    assert (plan.host, plan.port, plan.path, plan.is_tls) == ("127.0.0.1", 7, "/check", True)
    assert (plan.requests, plan.seconds, plan.warmup, plan.connections) == (5, 3.0, 1.0, 9)
    assert plan.headers == REQUEST.headers
    assert REQUEST.plan(requests=5, seconds=3.0, connections=1).connections == 1


def test_its_text_tells_no_header() -> None:
    assert "4711" not in repr(REQUEST)
