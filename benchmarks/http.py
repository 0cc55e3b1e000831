"""HTTP services on the same ONNX file, then thinfer with the engine that it chooses.

`thinfer serve` beside the usual FastAPI service on ONNX Runtime, LitServe with its batching, and
FastAPI with transformers. All run at the same time on the same cores and take turns; the load
comes from this process, which keeps off their cores where there are others. Every figure is of a
round, and ratios are of services within one round.
"""

from __future__ import annotations

import http.client
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.http_inside import Inside, run_inside

from benchmarks.compress_sets import bundle_of
from benchmarks.http_models import Forms, write_drawn, write_fake, write_nothing, write_pruned
from benchmarks.launch import (
    CORES,
    Service,
    prepare_litserve,
    start_fastapi,
    start_litserve,
    start_thinfer,
    start_transformers,
)
from benchmarks.peer_env import StartError
from benchmarks.record import save
from benchmarks.settings import RealSet, Settings, make_parser, say, to_settings
from thinfer.bench.load import run_closed_loop, run_punctually
from thinfer.bench.load_request import LoadRequest, hold_rate
from thinfer.bench.load_run import saturate
from thinfer.bench.outcome import LoadResult
from thinfer.bench.questions import ROUTES, make_bodies
from thinfer.bench.target import Target
from thinfer.core.clock import SystemClock
from thinfer.core.codec import to_json
from thinfer.core.progress import SilentProgress

SHAPE = "6 × 768"
SAME, CHOSEN = "thinfer", "thinfer, chosen engine"
LIMIT_MS = 50.0
_TEXTS, _CHECKED = 500, 100
_BATCH = 32
_BUSY = 32  # connections of the closed loop: as many as LitServe puts into a batch
_SHARES = {"p50 at rest": 0.1, "p99 at 80 %": 0.8}


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How long everything takes.

    Attributes:
        seconds: of one turn at one rate.
        rounds: turns of each service.
        searches: searches for the saturation of each.
        steps: of a search, at most.
    """

    seconds: float
    rounds: int
    searches: int
    steps: int


Starters = Mapping[str, Callable[[], AbstractContextManager[Service]]]


def measure_model(
    settings: Settings, forms: Forms, texts: tuple[str, ...], effort: Effort, starters: Starters
) -> dict[str, Any]:
    """Measure every service of one model.

    Args:
        settings: threads of each service, and the seed.
        forms: the model.
        texts: to be asked.
        effort: how long.
        starters: name → what starts the service.
    """
    bodies = make_bodies(ROUTES["check"], texts, batch=1)
    with _running(settings, starters) as services:
        labels = {name: _ask_all(service, texts[:_CHECKED]) for name, service in services.items()}
        rows = {name: _Row(service, bodies, settings.seed) for name, service in services.items()}
        for number in range(effort.rounds):
            for name, row in rows.items():
                say(f"{forms.name}, round {number + 1}: {name}")
                row.close_loop(1, effort.seconds)
                row.close_loop(_BUSY, effort.seconds)
        peers = [row for name, row in rows.items() if name not in (SAME, CHOSEN)]
        best = max(peers, key=lambda row: row.median_rate(_BUSY))
        quiet = _SHARES["p50 at rest"] * min(row.median_rate(1) for row in rows.values())
        busy = _SHARES["p99 at 80 %"] * best.median_rate(_BUSY)
        for number in range(effort.rounds):
            for name, row in rows.items():
                row.hold("quiet", quiet, effort.seconds, number)
                if row is best or name in (SAME, CHOSEN):
                    row.hold("busy", busy, effort.seconds, number)
        for _ in range(effort.searches):
            for name, row in rows.items():
                say(f"{forms.name}: search, {name}")
                row.search(effort)
        batches = {
            name: _measure_batches(services[name], folder, texts, settings, effort)
            for name, folder in ((SAME, forms.same), (CHOSEN, forms.chosen))
            if folder is not None and name in services
        }
        described = [rows[name].describe() for name in rows]
    same = [name for name in labels if name != CHOSEN]
    return {
        **forms.facts,
        "graph": forms.digest,
        "service_threads": settings.threads,
        "generator_has_cores_of_its_own": len(CORES) > settings.threads,
        "texts": len(texts),
        "limit_ms": LIMIT_MS,
        "effort": to_json(effort),
        "best_peer": best.name,
        "quiet_rate": quiet,
        "busy_rate": busy,
        "rows": described,
        "same_labels": {
            name: float(np.mean(np.asarray(labels[name]) == np.asarray(labels[same[-1]])))
            for name in labels
        },
        "ratios": _compare(rows, best, settings.seed),
        "batches": batches,
    }


def measure_overhead(
    settings: Settings, texts: tuple[str, ...], effort: Effort, starters: Starters
) -> dict[str, Any]:
    """Measure the processor time of a request where the model computes next to nothing.

    The process's own user and system time over the requests it answered in a closed loop, with
    one caller and with many. Nothing is subtracted: the graph is one layer, eight wide, the same
    file for all; `thinfer, fake engine` calls no runtime at all.
    """
    bodies = make_bodies(ROUTES["check"], texts, batch=1)
    with _running(settings, starters) as services:
        rows = {name: _Row(service, bodies, settings.seed) for name, service in services.items()}
        for number in range(effort.rounds):
            for name, row in rows.items():
                say(f"without a model, round {number + 1}: {name}")
                for connections in (1, _BUSY):
                    row.close_loop(connections, effort.seconds)
        return {
            "service_threads": settings.threads,
            "texts": len(texts),
            "effort": to_json(effort),
            "rows": [row.describe_overhead() for row in rows.values()],
        }


class _Row:
    """What is known of one service."""

    def __init__(self, service: Service, bodies: tuple[bytes, ...], seed: int) -> None:
        self.name, self._service = service.name, service
        target = Target(host="127.0.0.1", port=service.port, path="/check", is_tls=False)
        self._request = LoadRequest(
            target=target, route="check", bodies=bodies, seed=seed, limit_ms=LIMIT_MS
        )
        self.closed: dict[int, list[tuple[LoadResult, float]]] = {}
        self.held: dict[str, list[LoadResult]] = {}
        self.found: list[Any] = []

    def close_loop(self, connections: int, seconds: float) -> None:
        """Ask as fast as it answers so many callers; the first requests only warm it."""
        for count, limit in ((50, 30.0), (1_000_000, seconds)):
            plan = self._request.plan(requests=count, seconds=limit, connections=connections)
            before = self._service.cpu_seconds()
            result = run_punctually(run_closed_loop(plan, clock=SystemClock()))
        used = self._service.cpu_seconds() - before
        self.closed.setdefault(connections, []).append((result, used))

    def hold(self, name: str, rate: float, seconds: float, number: int) -> None:
        """Ask at a rate, whatever comes back."""
        request = replace(self._request, warmup=min(1.0, seconds / 4))
        long = max(seconds, min(100 / rate, 6 * seconds))
        result = hold_rate(request, rate, seconds=long, seed=number, clock=SystemClock())
        self.held.setdefault(name, []).append(result)

    def search(self, effort: Effort) -> None:
        """Search the highest rate within the limit."""
        request = replace(
            self._request,
            seconds=effort.seconds,
            warmup=min(1.0, effort.seconds / 4),
            steps=effort.steps,
        )
        self.found.append(
            saturate(
                request,
                progress=SilentProgress(),
                clock=SystemClock(),
                cpu_seconds=self._service.cpu_seconds,
            )
        )

    def rates(self, connections: int) -> list[float]:
        """Requests a second of each round of the closed loop."""
        return [result.requests_per_second for result, _ in self.closed[connections]]

    def median_rate(self, connections: int) -> float:
        """Of the rounds."""
        return float(np.median(self.rates(connections)))

    def cpu_ms(self, connections: int) -> list[float]:
        """Processor milliseconds of one request, a round."""
        return [1e3 * used / max(1, result.asked) for result, used in self.closed[connections]]

    def describe(self) -> dict[str, Any]:
        """Give the row of the table."""
        per_core = [len(result.latencies) / max(used, 1e-9) for result, used in self.closed[_BUSY]]
        loads = [result for results in self.held.values() for result in results]
        loads += [result for results in self.closed.values() for result, _ in results]
        return {
            "name": self.name,
            "alone_per_second": self.median_rate(1),
            "capacity": self.median_rate(_BUSY),
            "texts_per_second_per_core": float(np.median(per_core)),
            "cpu_ms_alone": float(np.median(self.cpu_ms(1))),
            "p50_ms_quiet": _median_of(self.held.get("quiet"), 0.5),
            "p99_ms_quiet": _median_of(self.held.get("quiet"), 0.99),
            "p99_ms_busy": _median_of(self.held.get("busy"), 0.99),
            "within_limit": [item.rate for item in self.found],
            "searches": [to_json(item) for item in self.found],
            "failed": sum(result.failed for result in loads),
            "generator_faults": sorted({str(x.generator_fault) for x in loads} - {"None"}),
            "rss_bytes": self._service.rss_bytes(),
            "cold_start_s": self._service.cold_start_s,
        }

    def describe_overhead(self) -> dict[str, Any]:
        """Give the row of the table without a model."""
        return {
            "name": self.name,
            "cpu_ms": float(np.median(self.cpu_ms(1))),
            "cpu_ms_rounds": self.cpu_ms(1),
            "cpu_ms_busy": float(np.median(self.cpu_ms(_BUSY))),
            "requests_per_second": self.median_rate(_BUSY),
            "p50_ms": float(np.median([result.quantile_ms(0.5) for result, _ in self.closed[1]])),
        }


def _measure_batches(
    service: Service, bundle: Path, texts: tuple[str, ...], settings: Settings, effort: Effort
) -> dict[str, Any]:
    """Client batches of 32 through HTTP, in turn with the same bundle inside a process."""
    bodies = make_bodies(ROUTES["predict"], texts, batch=_BATCH)
    target = Target(host="127.0.0.1", port=service.port, path="/predict", is_tls=False)
    request = LoadRequest(target=target, route="predict", bodies=bodies, batch=_BATCH)
    shares, outside, inside = [], [], []
    with run_inside(bundle, texts, threads=settings.threads, cores=CORES) as process:
        turns: Inside = process
        for _ in range(effort.rounds):
            plan = request.plan(requests=1_000_000, seconds=effort.seconds, connections=4)
            result = run_punctually(run_closed_loop(plan, clock=SystemClock()))
            outside.append(_BATCH * result.requests_per_second)
            inside.append(turns.texts_per_second(effort.seconds))
            shares.append(outside[-1] / inside[-1])
    return {
        "batch": _BATCH,
        "http_texts_per_second": float(np.median(outside)),
        "inside_texts_per_second": float(np.median(inside)),
        "share": float(np.median(shares)),
        "share_interval": _interval(np.asarray(shares), settings.seed),
    }


def _compare(rows: Mapping[str, _Row], best: _Row, seed: int) -> dict[str, Any]:
    """Ratios to the best peer, a round each; what a service did not reach is left out."""
    found: dict[str, Any] = {}
    for name in (SAME, CHOSEN):
        if name not in rows:
            continue
        own = rows[name]
        pairs = {
            "p50 at rest": (_quantiles(own, "quiet", 0.5), _quantiles(best, "quiet", 0.5)),
            "p99 at 80 %": (_quantiles(own, "busy", 0.99), _quantiles(best, "busy", 0.99)),
            "capacity": (own.rates(_BUSY), best.rates(_BUSY)),
            "rate within the limit": (
                [item.rate or np.nan for item in own.found],
                _best_within(rows, len(own.found)),
            ),
        }
        found[name] = {}
        for what, (ours, theirs) in pairs.items():
            ratios = np.asarray(ours, dtype=float) / np.asarray(theirs, dtype=float)
            kept = ratios[np.isfinite(ratios)]
            if len(kept):
                found[name][what] = {
                    "ratio": float(np.median(kept)),
                    "interval": _interval(kept, seed),
                    "rounds": len(kept),
                }
    return found


def _best_within(rows: Mapping[str, _Row], searches: int) -> list[float]:
    """The highest rate of any peer in each round of searches; NaN where none reached the limit."""
    peers = [row for name, row in rows.items() if name not in (SAME, CHOSEN)]
    return [
        max((row.found[number].rate or 0.0 for row in peers), default=0.0) or np.nan
        for number in range(searches)
    ]


def _quantiles(row: _Row, name: str, share: float) -> list[float]:
    return [result.quantile_of_all_ms(share) for result in row.held.get(name, ())]


def _median_of(results: list[LoadResult] | None, share: float) -> float | None:
    """Median of the rounds; None where it was not measured or most rounds failed."""
    values = [result.quantile_of_all_ms(share) for result in results or ()]
    found = float(np.median(values)) if values else np.inf
    return found if np.isfinite(found) else None


def _interval(values: np.ndarray[Any, np.dtype[np.float64]], seed: int) -> list[float]:
    """Resampled rounds; with one round, that round."""
    rng = np.random.default_rng(seed)
    drawn = np.median(rng.choice(values, size=(2000, len(values))), axis=1)
    return [float(np.quantile(drawn, 0.025)), float(np.quantile(drawn, 0.975))]


@contextmanager
def _running(settings: Settings, starters: Starters) -> Iterator[dict[str, Service]]:
    """Start them all, and keep the load off their cores where there are others."""
    with ExitStack() as stack:
        services = {name: stack.enter_context(start()) for name, start in starters.items()}
        if len(CORES) > settings.threads:
            os.sched_setaffinity(0, CORES[settings.threads :])
            stack.callback(os.sched_setaffinity, 0, CORES)
        yield services


def _ask_all(service: Service, texts: tuple[str, ...]) -> list[str]:
    link = http.client.HTTPConnection("127.0.0.1", service.port, timeout=60)
    found = []
    for text in texts:
        body = json.dumps({"content": text})
        link.request("POST", "/check", body, {"content-type": "application/json"})
        found.append(json.load(link.getresponse())["result"])
    link.close()
    return found


def list_services(
    settings: Settings, forms: Forms, litserve: Path | None
) -> tuple[Starters, list[dict[str, str]]]:
    """Give what starts each service of a model, and why the others are absent.

    Args:
        settings: threads of each.
        forms: the model.
        litserve: an interpreter that has it; its environment is made when absent.
    """
    threads = settings.threads
    found: dict[str, Callable[[], AbstractContextManager[Service]]] = {
        SAME: lambda: start_thinfer(forms.same, threads=threads, name=SAME),
        "fastapi": lambda: start_fastapi(forms.onnx, threads=threads, is_serial=False),
        "fastapi, one at a time": lambda: start_fastapi(
            forms.onnx, threads=threads, is_serial=True
        ),
    }
    absent = []
    try:
        python = prepare_litserve(settings, litserve)
        found["litserve"] = lambda: start_litserve(forms.onnx, python=python, threads=threads)
    except StartError as error:
        say(f"litserve: absent: {error}")
        absent.append({"name": "litserve", "reason": str(error)})
    if forms.teacher is None:
        reason = "transformers holds no model with widths of its own for each layer"
        absent.append({"name": "transformers", "reason": reason})
    else:
        teacher = forms.teacher
        found["transformers"] = lambda: start_transformers(teacher, threads=threads)
    if forms.chosen is not None:
        chosen = forms.chosen
        found[CHOSEN] = lambda: start_thinfer(chosen, threads=threads, name=CHOSEN)
    return found, absent


def _run_models(settings: Settings, item: RealSet, effort: Effort, arguments: Any) -> None:  # noqa: ANN401 - of argparse
    texts = settings.corpus(item, "test", most=_TEXTS).texts
    calibrate, _ = settings.file(item, "train")
    for kind in arguments.models_of.split(","):
        with tempfile.TemporaryDirectory(prefix="thinfer-") as place:
            root = Path(place)
            if kind == "overhead":
                forms = write_nothing(settings, root)
                starters, absent = list_services(settings, forms, arguments.litserve_python)
                fake = write_fake(forms, root)
                name = "thinfer, fake engine"
                more = {
                    name: lambda fake=fake, name=name: start_thinfer(
                        fake, threads=settings.threads, name=name
                    )
                }
                found = measure_overhead(settings, texts, effort, {**starters, **more})
            else:
                if kind == "drawn":
                    forms = write_drawn(settings, arguments.shape, root, calibrate)
                else:
                    bundle = arguments.bundle or bundle_of(settings, item, "all")
                    if not (bundle / "manifest.json").is_file():
                        say(f"left out: no bundle at {bundle}: run benchmarks.compress_sets first")
                        continue
                    forms = write_pruned(settings, item, bundle.resolve(), root)
                starters, absent = list_services(settings, forms, arguments.litserve_python)
                found = measure_model(settings, forms, texts, effort, starters)
            save(settings, "http", {forms.name: {**found, "kind": kind, "absent": absent}})


def main() -> None:
    """Run it on the titles, or on another set that is named."""
    parser = make_parser(__doc__)
    parser.set_defaults(sets="thuc,sst2,cold")
    parser.add_argument("--set", default="thuc", help="the set whose texts are asked")
    parser.add_argument(
        "--models-of", default="overhead,drawn,pruned", help="some of overhead, drawn, pruned"
    )
    parser.add_argument("--shape", default=SHAPE, help="of the drawn model")
    parser.add_argument("--bundle", type=Path, help="the pruned one; of compress_sets when absent")
    python = os.environ.get("BENCH_LITSERVE_PYTHON")
    parser.add_argument(
        "--litserve-python",
        type=Path,
        default=python and Path(python),
        help="an environment that has LitServe; made when absent",
    )
    parser.add_argument("--seconds", type=float, default=8.0, help="of one turn at one rate")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each service")
    parser.add_argument("--searches", type=int, default=3, help="searches of each service")
    parser.add_argument("--steps", type=int, default=12, help="rates of one search at most")
    arguments = parser.parse_args()
    settings = to_settings(arguments)
    items = [item for item in settings.present() if item.name == arguments.set]
    if not items:
        sys.exit(f"no data or no teacher for '{arguments.set}'")
    effort = Effort(
        seconds=arguments.seconds,
        rounds=arguments.rounds,
        searches=arguments.searches,
        steps=arguments.steps,
    )
    _run_models(settings, items[0], effort, arguments)


if __name__ == "__main__":
    main()
