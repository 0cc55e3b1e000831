"""A plan out of searches that were made before: targets of their own, other targets, and none."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from thinfer.bench.load_request import LoadRequest
from thinfer.bench.plan import Measured, cores_of, measure_bundle, plan_service, read_measured
from thinfer.bench.saturation import Saturation, Step
from thinfer.bench.sizing import Demand
from thinfer.bench.target import parse_target
from thinfer.core.clock import SystemClock
from thinfer.core.codec import to_json
from thinfer.core.progress import SilentProgress
from thinfer.errors import DataError, QualityError, UserError


def step(rate: float, p99_ms: float | None, *, limit_ms: float = 50.0) -> Step:
    return Step(
        rate=rate,
        p50_ms=3.0,
        p99_ms=p99_ms,
        requests_per_second=rate,
        asked=100,
        failed=0,
        passed=p99_ms is not None and p99_ms <= limit_ms,
        cores_used=0.5,
    )


FOUND = Saturation(
    limit_ms=50.0,
    rate=100.0,
    steps=(step(50.0, 9.0), step(200.0, None), step(100.0, 44.0), step(100.0, 48.0)),
    stopped="",
    is_lower_bound=False,
)
MEASURED = Measured(cores=2, saturation=FOUND, machine={"cpu": "a chip"})


def test_the_confirmed_rate_is_what_a_plan_is_a_multiple_of() -> None:
    plan = plan_service(Demand(rate=140.0, p99_ms=50.0), [MEASURED])
    assert (plan["processes"], plan["cores"], plan["capacity"]) == (2, 4, 200.0)
    assert plan["measured"]["p99_ms"] == 48.0
    assert plan["measured"]["cores_used"] == 0.5
    assert plan["measurements"][0]["machine"] == {"cpu": "a chip"}
    json.dumps(plan, allow_nan=False)


def test_a_tighter_target_uses_the_steps_that_stayed_within_it() -> None:
    plan = plan_service(Demand(rate=35.0, p99_ms=10.0), [MEASURED])
    assert plan["measured"]["requests_per_second"] == 50.0
    assert any("read again" in line for line in plan["assumptions"])


def test_a_looser_target_is_answered_with_a_lower_bound() -> None:
    plan = plan_service(Demand(rate=35.0, p99_ms=80.0), [MEASURED])
    assert plan["measured"]["requests_per_second"] == 100.0
    assert plan["measured"]["is_lower_bound"]


def test_a_target_that_is_not_met_even_at_the_lowest_rate_is_refused() -> None:
    with pytest.raises(QualityError, match=r"within 8 ms.*9\.0 ms at 50 requests a second"):
        plan_service(Demand(rate=1.0, p99_ms=8.0), [MEASURED])
    none = replace(FOUND, rate=None, steps=(step(0.1, None),))
    with pytest.raises(QualityError, match="p99 endless"):
        plan_service(Demand(rate=1.0, p99_ms=50.0), [replace(MEASURED, saturation=none)])


def test_a_refusal_says_when_the_generator_was_in_the_way() -> None:
    late = replace(step(0.1, 90.0), fault="the generator slept")
    none = replace(FOUND, rate=None, steps=(step(9.0, None), late))
    with pytest.raises(QualityError, match=r"measure again.*the generator slept"):
        plan_service(Demand(rate=1.0, p99_ms=50.0), [replace(MEASURED, saturation=none)])


def test_of_several_measurements_the_cheapest_that_meets_the_target_is_used() -> None:
    none = replace(FOUND, rate=None, steps=(step(5.0, 90.0),))
    slow = replace(MEASURED, cores=1, saturation=none)
    assert plan_service(Demand(rate=60.0, p99_ms=50.0), [slow, MEASURED])["cores"] == 2


def write(path: Path, **changed: Any) -> Path:  # noqa: ANN401 - JSON is what it is
    body = {"saturation": to_json(FOUND), "service": None, "machine": {}, **changed}
    path.write_text(json.dumps(body))
    return path


def test_a_stored_search_comes_back_whole(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", service={"threads": 3})
    assert read_measured(path, cores=None).saturation == FOUND
    assert read_measured(path, cores=None).cores == 3
    assert read_measured(path, cores=4).cores == 4


def test_files_that_hold_no_search_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    with pytest.raises(UserError, match="cannot be read"):
        read_measured(path, cores=1)
    for text in ("", "[]", "{}"):
        path.write_text(text)
        with pytest.raises(DataError):
            read_measured(path, cores=1)
    broken = {**to_json(FOUND), "rate": "many"}
    with pytest.raises(DataError, match="rate"):
        read_measured(write(path, saturation=broken), cores=1)


def test_somebody_must_say_how_many_cores_there_were(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--cores"):
        read_measured(write(tmp_path / "a.json"), cores=None)
    with pytest.raises(UserError, match="--cores"):
        cores_of({"threads": "2"}, None)


@pytest.mark.parametrize("threads", [(), (0,), (10_000,)])
def test_no_more_threads_than_cores_are_measured(threads: tuple[int, ...], tmp_path: Path) -> None:
    target = parse_target("http://127.0.0.1/check", allow_remote=False)
    request = LoadRequest(target=target, route="check", bodies=(b"{}",))
    with pytest.raises(UserError, match="threads"):
        measure_bundle(
            tmp_path, request, threads=threads, progress=SilentProgress(), clock=SystemClock()
        )
