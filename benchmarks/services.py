"""The resource table: `thinfer serve` beside the usual services, one text a request.

All services run at the same time and take turns, so that a host that slows down slows all of
them. Capacity is a closed loop; p50 and p99 are an open loop at the same rate for all. The load
comes from this process; where there are cores to spare it keeps off the services' cores.
"""

from __future__ import annotations

import http.client
import json
import os
import sys
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.compress_sets import bundle_of
from benchmarks.launch import (
    CORES,
    Service,
    prepare_paddle,
    start_paddle,
    start_thinfer,
    start_transformers,
)
from benchmarks.peer_env import StartError
from benchmarks.record import save
from benchmarks.settings import RealSet, Settings, make_parser, say, to_settings
from thinfer.bench.arrivals import draw_due_times
from thinfer.bench.load import LoadPlan, run_closed_loop, run_open_loop, run_punctually
from thinfer.bench.outcome import LoadResult
from thinfer.bundle import open_bundle
from thinfer.core.clock import SystemClock
from thinfer.core.codec import to_json
from thinfer.measure.energy import measure_energy

_TEXTS = 500
_CHECKED = 200  # texts whose answers are compared before anything is measured
_COLD_STARTS = 3
_OPEN_CONNECTIONS = 32


def measure_set(
    settings: Settings, item: RealSet, bundle: Path, *, python: Path | None, seconds: float,
    rounds: int, connections: int, rate: float | None,
) -> dict[str, Any]:  # fmt: skip
    """Measure the services of one set."""
    texts = settings.corpus(item, "test", most=_TEXTS).texts
    starters, absent = _list_services(settings, item, bundle, python)
    colds: dict[str, list[float]] = {name: [] for name in starters}
    for _ in range(_COLD_STARTS - 1):
        for name, start in starters.items():
            with start() as service:
                colds[name].append(service.cold_start_s)
    with ExitStack() as stack:
        services = [stack.enter_context(start()) for start in starters.values()]
        for service in services:
            colds[service.name].append(service.cold_start_s)
        _stay_off(settings.threads)
        stack.callback(os.sched_setaffinity, 0, CORES)
        labels = {service.name: _ask_all(service, texts[:_CHECKED]) for service in services}
        bodies = tuple(json.dumps({"content": text}).encode() for text in texts)
        rows = {service.name: _Row(service, bodies) for service in services}
        for _ in range(rounds):
            for row in rows.values():
                row.saturate(seconds, connections)
        slowest = min(row.capacity for row in rows.values())
        common = rate or 0.5 * slowest
        for number in range(rounds):
            for row in rows.values():
                row.stroll(seconds, common, seed=settings.seed + number)
        manifest = open_bundle(bundle).manifest
        return {
            "bundle": {
                "engine": manifest.chosen.name,
                "precision": manifest.chosen.precision,
                "verdict": manifest.quality.get("verdict"),
            },
            "service_threads": settings.threads,
            "connections": connections,
            "rounds": rounds,
            "seconds": seconds,
            "open_loop_rate": common,
            "texts": len(texts),
            "rows": [
                {
                    **rows[name].describe(),
                    "cold_start_s": float(np.median(colds[name])),
                    "cold_starts_s": colds[name],
                    "agreement_with_transformers": _share(labels[name], labels["transformers"]),
                }
                for name in rows
            ],
            "ratios": _compare(rows, settings.seed),
            "absent": absent,
        }


class _Row:
    """What is known of one service."""

    def __init__(self, service: Service, bodies: tuple[bytes, ...]) -> None:
        self._service, self._bodies = service, bodies
        self._closed: list[tuple[LoadResult, float, Any]] = []
        self._open: list[LoadResult] = []

    def saturate(self, seconds: float, connections: int) -> None:
        """Ask as fast as it answers."""
        clock, found = SystemClock(), []
        plan = self._plan(connections, 1_000_000, seconds)
        run_punctually(run_closed_loop(self._plan(connections, 50, 30.0), clock=clock))  # warm
        before = self._service.cpu_seconds()
        energy = measure_energy(
            lambda: found.append(run_punctually(run_closed_loop(plan, clock=clock)))
        )
        self._closed.append((found[0], self._service.cpu_seconds() - before, energy))

    def stroll(self, seconds: float, rate: float, *, seed: int) -> None:
        """Ask at a rate that every service can answer; latency counts from the due time."""
        requests = max(20, int(rate * seconds))
        due = draw_due_times(rate=rate, requests=requests, rng=np.random.default_rng(seed))
        plan = self._plan(_OPEN_CONNECTIONS, requests, 3 * seconds + 30)
        self._open.append(run_punctually(run_open_loop(plan, due=due, clock=SystemClock())))

    @property
    def capacities(self) -> list[float]:
        """Requests a second of each round."""
        return [result.requests_per_second for result, _, _ in self._closed]

    @property
    def per_core(self) -> list[float]:
        """Requests for each second of processor time that the service used, a round."""
        return [len(result.latencies) / max(cpu, 1e-9) for result, cpu, _ in self._closed]

    @property
    def capacity(self) -> float:
        """Median of the rounds."""
        return float(np.median(self.capacities))

    def describe(self) -> dict[str, Any]:
        """Give the row of the table."""
        latencies = np.concatenate([result.latencies for result in self._open])
        wall = sum(result.seconds for result, _, _ in self._closed)
        energies = [energy for _, _, energy in self._closed]
        answered = sum(len(result.latencies) for result, _, _ in self._closed)
        is_measured = all(energy.status == "measured" for energy in energies)
        joules = sum(energy.joules or 0.0 for energy in energies)
        return {
            "name": self._service.name,
            "requests_per_second": self.capacity,
            "requests_per_second_per_core": float(np.median(self.per_core)),
            "cores_used": sum(cpu for _, cpu, _ in self._closed) / wall,
            "p50_ms": 1e3 * float(np.quantile(latencies, 0.5)),
            "p99_ms": 1e3 * float(np.quantile(latencies, 0.99)),
            "open_loop_answers": len(latencies),
            "open_loop_lost": sum(result.lost for result in self._open),
            "failed": sum(
                result.statuses.get("200", 0) != sum(result.statuses.values())
                or bool(result.errors)
                for result in (*self._open, *(closed for closed, _, _ in self._closed))
            ),
            "rss_bytes": self._service.rss_bytes(),
            "peak_rss_bytes": self._service.peak_rss_bytes(),
            "energy": "measured" if is_measured else "absent",
            "joules_per_request": joules / answered if is_measured and answered else None,
            "energy_reason": to_json(energies[0])["reason"],
        }

    def _plan(self, connections: int, requests: int, seconds: float) -> LoadPlan:
        return LoadPlan(
            host="127.0.0.1",
            port=self._service.port,
            path="/check",
            bodies=self._bodies,
            connections=connections,
            requests=requests,
            seconds=seconds,
        )


class _Starters(dict[str, Any]):
    """Name → a call that starts the service and gives a context manager."""


def _list_services(
    settings: Settings, item: RealSet, bundle: Path, python: Path | None
) -> tuple[_Starters, list[dict[str, str]]]:
    """Give the services that can run this set here, and why the others cannot."""
    teacher, threads = settings.teacher(item), settings.threads
    starters, absent = _Starters(), []
    starters["thinfer"] = lambda: start_thinfer(bundle, threads=threads)
    starters["transformers"] = lambda: start_transformers(teacher, threads=threads)
    try:
        interpreter, folder = prepare_paddle(settings, teacher, python)

        def start() -> AbstractContextManager[Service]:
            home = settings.work / "paddle-home"
            return start_paddle(folder, python=interpreter, threads=threads, home=home)

        starters["paddle"] = start
    except StartError as error:
        say(f"paddle: absent: {error}")
        absent.append({"name": "paddle", "reason": str(error)})
    return starters, absent


def _ask_all(service: Service, texts: tuple[str, ...]) -> list[str]:
    link = http.client.HTTPConnection("127.0.0.1", service.port, timeout=60)
    found = []
    for text in texts:
        body = json.dumps({"content": text})
        link.request("POST", "/check", body, {"content-type": "application/json"})
        found.append(json.load(link.getresponse())["result"])
    link.close()
    return found


def _compare(rows: dict[str, _Row], seed: int) -> dict[str, Any]:
    """Requests per second per core of thinfer over each other's, with the range of the rounds."""
    own = rows["thinfer"]
    found: dict[str, Any] = {}
    rng = np.random.default_rng(seed)
    for name, row in rows.items():
        if row is own:
            continue
        for key, ours, theirs in (
            ("requests_per_second", own.capacities, row.capacities),
            ("requests_per_second_per_core", own.per_core, row.per_core),
        ):
            ratios = np.asarray(ours) / np.asarray(theirs)  # [rounds]
            drawn = np.median(rng.choice(ratios, size=(2000, len(ratios))), axis=1)
            found.setdefault(name, {})[key] = {
                "ratio": float(np.median(ratios)),
                "interval": [float(np.quantile(drawn, 0.025)), float(np.quantile(drawn, 0.975))],
            }
    return found


def _share(one: list[str], other: list[str]) -> float:
    return float(np.mean([a == b for a, b in zip(one, other, strict=True)]))


def _stay_off(threads: int) -> None:
    """Keep the load off the services' cores, where there are others."""
    if len(CORES) > threads:
        os.sched_setaffinity(0, CORES[threads:])


def main() -> None:
    """Run it for every set whose data and teacher are here."""
    parser = make_parser(__doc__)
    parser.set_defaults(sets="thuc")
    parser.add_argument("--form", default="all", help="which bundle of compress_sets")
    parser.add_argument("--bundle", type=Path, help="another bundle, for a single set")
    python = os.environ.get("BENCH_PADDLE_PYTHON")
    parser.add_argument(
        "--paddle-python",
        type=Path,
        default=python and Path(python),
        help="an environment that has PaddleNLP; made when absent",
    )
    parser.add_argument("--seconds", type=float, default=10.0, help="of one turn")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each service")
    parser.add_argument("--connections", type=int, default=8, help="of the closed loop")
    parser.add_argument("--rate", type=float, help="open loop; half of the slowest when absent")
    arguments = parser.parse_args()
    settings = to_settings(arguments)
    for item in settings.present():
        bundle = arguments.bundle or bundle_of(settings, item, arguments.form)
        if not (bundle / "manifest.json").is_file():
            sys.exit(f"{item.name}: no bundle at {bundle}: run benchmarks.compress_sets first")
        result = measure_set(
            settings,
            item,
            bundle.resolve(),
            python=arguments.paddle_python,
            seconds=arguments.seconds,
            rounds=arguments.rounds,
            connections=arguments.connections,
            rate=arguments.rate,
        )
        save(settings, "services", {item.name: result})


if __name__ == "__main__":
    main()
