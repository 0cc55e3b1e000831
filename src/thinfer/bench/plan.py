"""`plan`: measure a bundle's service, or read what was measured, and size it for a rate."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from thinfer.bench.load_request import LoadRequest, check_answers
from thinfer.bench.load_run import ask_info, saturate
from thinfer.bench.saturation import Saturation, Step
from thinfer.bench.served import Served, own_cores, serve_bundle
from thinfer.bench.sizing import Capacity, Demand, size
from thinfer.core.clock import Clock
from thinfer.core.codec import from_json, to_json
from thinfer.core.cores import usable_cores
from thinfer.core.progress import Progress
from thinfer.errors import DataError, QualityError, UserError
from thinfer.measure.machine import describe_machine

__all__ = ["Measured", "measure_bundle", "measure_service", "plan_service", "read_measured"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A search for the saturation, and what it was made on.

    Attributes:
        cores: of the process.
        saturation: what was found.
        machine: facts of the machine; of the generator's where that is another.
        note: what else has to be known of it.
    """

    cores: int
    saturation: Saturation
    machine: Mapping[str, Any]
    note: str = ""


def plan_service(demand: Demand, measured: Sequence[Measured]) -> dict[str, Any]:
    """Give the sizing and what it rests on, as `plan --json` shows it.

    Args:
        demand: what the service shall do.
        measured: at least one search.

    Returns:
        The fields of `Sizing`, `measurements` (each with `cores`, `machine` and `saturation`).

    Raises:
        QualityError: no rate was answered within the target, not even the lowest that was tried.
    """
    capacities = [
        capacity for item in measured if (capacity := _capacity_of(item, demand.p99_ms)) is not None
    ]
    if not capacities:
        raise _refuse(measured, demand.p99_ms)
    sizing = size(capacities, demand)
    return {**to_json(sizing), "measurements": [to_json(item) for item in measured]}


def measure_bundle(
    bundle: Path, request: LoadRequest, *, threads: Sequence[int], progress: Progress, clock: Clock
) -> list[Measured]:
    """Start the service with so many threads and cores, one after another, and saturate each.

    Args:
        bundle: its folder.
        request: what to ask; its target's path is the route, its address is not used.
        threads: at least one number, none above the cores that are here.
        progress: told of each step.
        clock: reads the latencies.

    Raises:
        UserError: more threads than cores are asked for.
    """
    most = usable_cores()
    if not threads or not all(1 <= each <= most for each in threads):
        what = "the numbers of threads make no sense"
        raise UserError(what, expected=f"1 … {most}", got=str(list(threads)))
    found = []
    with progress.task("plan", len(threads)) as advance:
        for each in threads:
            progress.note(f"thinfer serve with {each} threads")
            with serve_bundle(bundle, threads=each) as served, _stay_off(served) as note:
                target = served.target.at(request.target.path)
                saturation = saturate(
                    replace(request, target=target),
                    progress=progress,
                    clock=clock,
                    cpu_seconds=served.cpu_seconds,
                )
            found.append(
                Measured(cores=each, saturation=saturation, machine=describe_machine(), note=note)
            )
            advance(1)
    return found


def measure_service(
    request: LoadRequest, *, cores: int | None, progress: Progress, clock: Clock
) -> Measured:
    """Saturate a service that runs already.

    Args:
        request: whom to ask what.
        cores: of the service; its number of threads when absent, which only `thinfer serve` tells.
        progress: told of each step.
        clock: reads the latencies.
    """
    check_answers(request, clock=clock)
    own = cores_of(ask_info(request), cores)
    saturation = saturate(request, progress=progress, clock=clock)
    note = "Whether the service had these cores to itself was not seen."
    return Measured(cores=own, saturation=saturation, machine=describe_machine(), note=note)


def read_measured(path: Path, *, cores: int | None) -> Measured:
    """Read what `thinfer load --saturate --json` wrote.

    Args:
        path: the file.
        cores: of the process that was loaded; its number of threads when absent, which only
            `thinfer serve` tells.

    Raises:
        UserError: the file cannot be read, or nobody says how many cores the service had.
        DataError: it is no such result.
    """
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        what = f"'{path}' cannot be read"
        raise UserError(what, got=error.strerror or str(error)) from error
    except ValueError as error:
        what = f"'{path}' is not JSON"
        raise DataError(what, got=str(error)) from error
    if not isinstance(body, Mapping) or "saturation" not in body:
        what = f"'{path}' holds no search for the saturation"
        raise DataError(what, expected="what `thinfer load --saturate --json` writes")
    saturation = from_json(Saturation, body["saturation"])
    return Measured(
        cores=cores_of(body.get("service"), cores),
        saturation=saturation,
        machine=body.get("machine") or {},
    )


def cores_of(service: Mapping[str, Any] | None, cores: int | None) -> int:
    """Give the cores of a service that was loaded where it runs.

    Args:
        service: what it says of itself.
        cores: what the user says of it; that wins.

    Raises:
        UserError: nobody says.
    """
    found = cores if cores is not None else (service or {}).get("threads")
    if not isinstance(found, int) or found < 1:
        what = "nobody says how many cores the service that was loaded had"
        raise UserError(what, expected="--cores N, 1 or more")
    return found


def _capacity_of(item: Measured, limit_ms: float) -> Capacity | None:
    """What a search shows for a target, which may be another than its own."""
    found = item.saturation
    if found.rate is None and limit_ms >= found.limit_ms:
        return None
    is_own = found.rate is not None and limit_ms >= found.limit_ms
    step: Step | None = _confirmed(found) if is_own else found.best_within(limit_ms)
    if step is None or step.p99_ms is None:
        return None
    notes = [item.note] if item.note else []
    if limit_ms != found.limit_ms:
        notes.append(
            f"The search was for a p99 of {found.limit_ms:g} ms; for {limit_ms:g} ms its steps "
            "were read again."
        )
    return Capacity(
        cores=item.cores,
        requests_per_second=step.rate,
        p99_ms=step.p99_ms,
        is_lower_bound=found.is_lower_bound or limit_ms > found.limit_ms,
        cores_used=step.cores_used,
        note=" ".join(notes),
    )


def _confirmed(found: Saturation) -> Step | None:
    passed = [step for step in found.steps if step.rate == found.rate and step.passed]
    return passed[-1] if passed else None


def _refuse(measured: Sequence[Measured], limit_ms: float) -> QualityError:
    steps = [step for item in measured for step in item.saturation.steps]
    lowest = min(steps, key=lambda step: step.rate, default=None)
    got = None
    if lowest is not None:
        p99 = "endless" if lowest.p99_ms is None else f"{lowest.p99_ms:.1f} ms"
        p50 = (
            "" if lowest.p50_ms is None else f", half of the answers within {lowest.p50_ms:.1f} ms"
        )
        got = f"p99 {p99} at {lowest.rate:.3g} requests a second, the lowest that was tried{p50}"
    what = f"no number of cores brings the p99 within {limit_ms:g} ms on this machine"
    do = "allow more, give the service more threads, or make the model cheaper: thinfer compress"
    if lowest is not None and lowest.fault is not None:
        do = f"measure again where the generator has cores of its own, for {lowest.fault}"
    return QualityError(what, got=got, do=do)


@contextmanager
def _stay_off(served: Served) -> Iterator[str]:
    """Keep the generator off the service's cores where there are others; give what to know."""
    all_cores = own_cores()
    others = [core for core in all_cores if core not in served.cores]
    if not served.cores:
        yield "This system sets no bounds: the service could use more cores than it has threads."
    elif others:
        os.sched_setaffinity(0, others)
        try:
            yield ""
        finally:
            os.sched_setaffinity(0, all_cores)
    else:
        yield "The load came from the service's own cores, so it may do more."
