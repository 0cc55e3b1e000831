"""HTTP services on the same ONNX file, then thinfer with the engine that it chooses.

`thinfer serve` beside the usual FastAPI service on ONNX Runtime, LitServe with its batching, and
FastAPI with transformers. All run at the same time on the same cores and take turns; the load
comes from this process, which keeps off their cores where there are others. Every figure is of a
round, and ratios are of services within one round.
"""

from __future__ import annotations

import os
import sys
import tempfile
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.compress_sets import bundle_of
from benchmarks.http_inside import BATCH, run_inside
from benchmarks.http_models import Forms, write_drawn, write_fake, write_nothing, write_pruned
from benchmarks.http_rows import BUSY, LIMIT_MS, Effort, Row, compare_rows, resample
from benchmarks.http_services import (
    BARE,
    CHOSEN,
    FAKE,
    SAME,
    Starters,
    ask_all,
    list_services,
    running,
)
from benchmarks.launch import CORES, Service, start_bare, start_thinfer
from benchmarks.record import save
from benchmarks.settings import RealSet, Settings, make_parser, say, to_settings
from thinfer.bench.load import run_closed_loop, run_punctually
from thinfer.bench.load_request import LoadRequest
from thinfer.bench.questions import ROUTES, make_bodies
from thinfer.bench.target import Target
from thinfer.core.clock import SystemClock
from thinfer.core.codec import to_json

SHAPE = "6 × 768"
KINDS = ("overhead", "drawn", "pruned")
_TEXTS, _CHECKED = 500, 100
_QUIET, _BUSY = 0.1, 0.8  # of what the slowest does for one caller; of the best peer's capacity


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
    with running(settings, starters) as services:
        labels = {name: ask_all(service, texts[:_CHECKED]) for name, service in services.items()}
        rows = _make_rows(services, texts, settings)
        _close_loops(rows, effort, forms.name)
        best = max(_peers(rows), key=lambda row: row.median_rate(BUSY))
        quiet = _QUIET * min(row.median_rate(1) for row in rows.values())
        busy = _BUSY * best.median_rate(BUSY)
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
            if folder is not None
        }
        described = [row.describe() for row in rows.values()]
    reference = np.asarray(labels["fastapi"])
    return {
        **forms.facts,
        "graph": forms.digest,
        "service_threads": settings.threads,
        "has_spare_cores": len(CORES) > settings.threads,
        "texts": len(texts),
        "limit_ms": LIMIT_MS,
        "connections": BUSY,
        "effort": to_json(effort),
        "best_peer": best.name,
        "quiet_rate": quiet,
        "busy_rate": busy,
        "rows": described,
        "same_labels_as_fastapi": {
            name: float(np.mean(np.asarray(found) == reference)) for name, found in labels.items()
        },
        "ratios": {
            name: compare_rows(rows[name], best, _peers(rows), seed=settings.seed)
            for name in (SAME, CHOSEN)
            if name in rows
        },
        "batches": batches,
    }


def measure_overhead(
    settings: Settings, texts: tuple[str, ...], effort: Effort, starters: Starters
) -> dict[str, Any]:
    """Measure the processor time of a request where the model computes next to nothing.

    The process's own user and system time over the requests it answered in a closed loop, with
    one caller and with many. Nothing is subtracted: the graph is one layer, eight wide, the same
    file for all; the fake engine calls no runtime at all.
    """
    with running(settings, starters) as services:
        rows = _make_rows(services, texts, settings)
        _close_loops(rows, effort, "without a model")
        return {
            "service_threads": settings.threads,
            "has_spare_cores": len(CORES) > settings.threads,
            "texts": len(texts),
            "connections": BUSY,
            "effort": to_json(effort),
            "rows": [row.describe_overhead() for row in rows.values()],
        }


def _make_rows(
    services: dict[str, Service], texts: tuple[str, ...], settings: Settings
) -> dict[str, Row]:
    bodies = make_bodies(ROUTES["check"], texts, batch=1)
    return {name: Row(service, bodies, settings.seed) for name, service in services.items()}


def _close_loops(rows: dict[str, Row], effort: Effort, title: str) -> None:
    for number in range(effort.rounds):
        for name, row in rows.items():
            say(f"{title}, round {number + 1}: {name}")
            row.close_loop(1, effort.seconds)
            row.close_loop(BUSY, effort.seconds)


def _peers(rows: dict[str, Row]) -> list[Row]:
    return [row for name, row in rows.items() if name not in (SAME, CHOSEN)]


def _measure_batches(
    service: Service, bundle: Path, texts: tuple[str, ...], settings: Settings, effort: Effort
) -> dict[str, Any]:
    """Client batches of 32 through HTTP, in turn with the same bundle inside a process."""
    bodies = make_bodies(ROUTES["predict"], texts, batch=BATCH)
    target = Target(host="127.0.0.1", port=service.port, path="/predict", is_tls=False)
    request = LoadRequest(target=target, route="predict", bodies=bodies, batch=BATCH)
    plan = request.plan(requests=1_000_000, seconds=effort.seconds, connections=4)
    outside, inside = [], []
    with run_inside(bundle, texts, threads=settings.threads, cores=CORES) as process:
        for _ in range(effort.rounds):
            result = run_punctually(run_closed_loop(plan, clock=SystemClock()))
            outside.append(BATCH * result.requests_per_second)
            inside.append(process.texts_per_second(effort.seconds))
    shares = np.asarray(outside) / np.asarray(inside)
    return {
        "batch": BATCH,
        "http_texts_per_second": float(np.median(outside)),
        "inside_texts_per_second": float(np.median(inside)),
        "share": float(np.median(shares)),
        "share_interval": resample(shares, settings.seed),
    }


def _measure_kind(
    kind: str, settings: Settings, item: RealSet, effort: Effort, arguments: Namespace
) -> None:
    texts = settings.corpus(item, "test", most=_TEXTS).texts
    with tempfile.TemporaryDirectory(prefix="thinfer-") as place:
        root = Path(place)
        if kind == "overhead":
            forms = write_nothing(settings, root)
        elif kind == "drawn":
            forms = write_drawn(settings, arguments.shape, root, item)
        else:
            bundle = arguments.bundle or bundle_of(settings, item, "all")
            if not (bundle / "manifest.json").is_file():
                say(f"left out: no bundle at {bundle}: run benchmarks.compress_sets first")
                return
            forms = write_pruned(settings, item, bundle.resolve(), root)
        starters, absent = list_services(settings, forms, arguments.litserve_python)
        if kind == "overhead":
            fake = write_fake(forms, root)
            starters[FAKE] = lambda: start_thinfer(fake, threads=settings.threads, name=FAKE)
            starters[BARE] = lambda: start_bare(threads=settings.threads, name=BARE)
            found = measure_overhead(settings, texts, effort, starters)
        else:
            found = measure_model(settings, forms, texts, effort, starters)
    save(settings, "http", {forms.name: {**found, "kind": kind, "absent": absent}})


def main() -> None:
    """Run it on the texts of one set."""
    parser = make_parser(__doc__)
    parser.add_argument("--texts-of", default="thuc", help="the set whose texts are asked")
    parser.add_argument("--kinds", default=",".join(KINDS), help="some of " + ", ".join(KINDS))
    parser.add_argument("--shape", default=SHAPE, help="of the drawn model")
    parser.add_argument("--bundle", type=Path, help="the pruned one; of compress_sets when absent")
    python = os.environ.get("BENCH_LITSERVE_PYTHON")
    parser.add_argument(
        "--litserve-python",
        type=Path,
        default=python and Path(python),
        help="an environment that has LitServe; made when absent",
    )
    parser.add_argument("--seconds", type=float, default=6.0, help="of one turn at one rate")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each service")
    parser.add_argument("--searches", type=int, default=3, help="searches of each service")
    parser.add_argument("--steps", type=int, default=12, help="rates of one search at most")
    arguments = parser.parse_args()
    settings = to_settings(arguments)
    items = [item for item in settings.present() if item.name == arguments.texts_of]
    if not items:
        sys.exit(f"no data or no teacher for '{arguments.texts_of}'")
    effort = Effort(
        seconds=arguments.seconds,
        rounds=arguments.rounds,
        searches=arguments.searches,
        steps=arguments.steps,
    )
    for kind in arguments.kinds.split(","):
        _measure_kind(kind, settings, items[0], effort, arguments)


if __name__ == "__main__":
    main()
