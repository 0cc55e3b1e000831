"""One run of `thinfer load`: at a rate, or in search of the highest rate within a latency."""

from __future__ import annotations

import http.client
import json
import math
from collections.abc import Callable
from typing import Any

from thinfer.bench.load import run_closed_loop, run_punctually
from thinfer.bench.load_request import LoadRequest, check_answers, hold_rate
from thinfer.bench.outcome import LoadResult, describe_outcome
from thinfer.bench.saturation import Saturation, Stage, Step, find_saturation
from thinfer.core.clock import Clock
from thinfer.core.codec import to_json
from thinfer.core.progress import Progress
from thinfer.errors import UserError
from thinfer.measure.machine import describe_machine

__all__ = ["ask_info", "describe_step", "run_load", "saturate"]

_STEP_GRACE_S = 2.0
_FEWEST = 100  # requests of a step, if six times its seconds are enough: a p99 wants some
_ALONE, _ALONE_S = 30, 3.0  # requests and seconds of one caller alone
_SETTLE_S = 15.0
_INFO_S = 5.0


def run_load(
    request: LoadRequest, *, is_search: bool, progress: Progress, clock: Clock
) -> dict[str, Any]:
    """Load a service and tell what came of it.

    Args:
        request: what to send.
        is_search: whether to search the highest rate instead of holding one.
        progress: told of each step.
        clock: reads the latencies.

    Returns:
        The result of `load --json`: how it was asked, and either `saturation` or the fields of
        `describe_outcome`; `service` is what its `GET /info` says, null where it says nothing.

    Raises:
        UserError: there is no rate to hold, or the service does not take the first request.
    """
    if request.rate is None and not is_search:
        what = "there is no rate to hold"
        raise UserError(what, expected="--rate R, or --saturate")
    check_answers(request, clock=clock)
    service = ask_info(request)
    found: dict[str, Any]
    if is_search:
        found = {"saturation": to_json(saturate(request, progress=progress, clock=clock))}
    else:
        rate = request.rate or math.nan
        with progress.task(f"{rate:g} requests a second for {request.seconds:g} s", 1) as advance:
            result = hold_rate(request, rate, seconds=request.seconds, seed=0, clock=clock)
            advance(1)
        found = describe_outcome(result, batch=request.batch, limit_ms=request.limit_ms)
    return {
        "url": request.target.url,
        "route": request.route,
        "rate": request.rate,
        "pattern": request.pattern,
        "burst": request.burst if request.pattern == "bursts" else None,
        "batch": request.batch,
        "bodies": len(request.bodies),
        "connections": request.connections,
        "seconds_asked": request.seconds,
        "warmup": request.warmup,
        "seed": request.seed,
        **found,
        "service": service,
        "machine": describe_machine(),
    }


def saturate(
    request: LoadRequest,
    *,
    progress: Progress,
    clock: Clock,
    cpu_seconds: Callable[[], float] | None = None,
) -> Saturation:
    """Search the highest rate whose p99 stays within the request's limit.

    Args:
        request: what to send.
        progress: told of each step.
        clock: reads the latencies.
        cpu_seconds: processor time of the service so far, where that can be read.
    """
    alone = run_punctually(
        run_closed_loop(request.plan(requests=_ALONE, seconds=_ALONE_S, connections=1), clock=clock)
    )
    start = request.rate or max(0.1, alone.requests_per_second / 2)
    tried = 0

    def probe(rate: float, stage: Stage) -> Step:
        nonlocal tried
        tried += 1
        seconds = min(max(request.seconds, _FEWEST / rate), 6 * request.seconds)
        _let_settle(request, clock)
        before, began = (cpu_seconds or float)(), clock.monotonic()
        result = hold_rate(
            request, rate, seconds=seconds, seed=tried, clock=clock, grace=_STEP_GRACE_S
        )
        used = ((cpu_seconds or float)() - before) / (clock.monotonic() - began)
        step = _to_step(result, rate, stage, request.limit_ms, used if cpu_seconds else None)
        progress.note(f"step {tried}, {stage}: {describe_step(step)}")
        return step

    return find_saturation(probe, start=start, limit_ms=request.limit_ms, most_steps=request.steps)


def ask_info(request: LoadRequest) -> dict[str, Any] | None:
    """Give what a `thinfer serve` says of itself; None of any other service.

    Args:
        request: whom to ask, with its headers.
    """
    target = request.target
    kind = http.client.HTTPSConnection if target.is_tls else http.client.HTTPConnection
    link = kind(target.host, target.port, timeout=_INFO_S)
    try:
        link.request("GET", "/info", headers=dict(request.headers))
        body = json.loads(link.getresponse().read())
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        link.close()
    names = ("version", "engine", "precision", "threads", "thinfer")
    is_ours = isinstance(body, dict) and all(name in body for name in names)
    return {name: body[name] for name in names} if is_ours else None


def describe_step(step: Step) -> str:
    """Say one step in a line.

    Args:
        step: of a search.
    """
    p99 = "endless" if step.p99_ms is None else f"{step.p99_ms:.1f} ms"
    failed = f", {step.failed} of {step.asked} not answered" if step.failed else ""
    fault = f"; {step.fault}" if step.fault else ""
    verdict = "within" if step.passed else "too slow"
    return f"{step.rate:.4g} requests a second: p99 {p99}{failed}: {verdict}{fault}"


def _to_step(
    result: LoadResult, rate: float, stage: Stage, limit_ms: float, cores: float | None
) -> Step:
    p99, p50 = result.quantile_of_all_ms(0.99), result.quantile_ms(0.5)
    return Step(
        rate=rate,
        stage=stage,
        p50_ms=p50 if math.isfinite(p50) else None,
        p99_ms=p99 if math.isfinite(p99) else None,
        requests_per_second=result.requests_per_second,
        asked=result.asked,
        failed=result.failed,
        passed=p99 <= limit_ms,  # NaN of no request is no pass
        fault=result.generator_fault,
        cores_used=cores,
    )


def _let_settle(request: LoadRequest, clock: Clock) -> None:
    """Wait until what an earlier step left behind is answered or dropped."""
    plan = request.plan(requests=2, seconds=_SETTLE_S, connections=1)
    run_punctually(run_closed_loop(plan, clock=clock))
