"""The bounds of a run follow from what was asked."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from thinfer.bench.load_request import LoadRequest
from thinfer.bench.target import Target
from thinfer.errors import UserError

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


@pytest.mark.parametrize(
    "change",
    [
        {"pattern": "tides"},
        {"seconds": 0.0},
        {"seconds": math.inf},
        {"warmup": -1.0},
        {"limit_ms": 0.0},
        {"limit_ms": math.nan},
        {"burst": 0},
        {"steps": 2},
        {"rate": 0.0},
        {"rate": 1e9},
        {"rate": math.nan},
        {"connections": 0},
        {"bodies": ()},
        {"target": replace(REQUEST.target, host="10.0.0.1")},
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_sent(change: dict[str, object]) -> None:
    with pytest.raises(UserError):
        replace(REQUEST, **change)  # type: ignore[arg-type]  # one wrong value a case
    assert replace(REQUEST, target=REQUEST.target.at("/x"), allow_remote=True).rate is None
