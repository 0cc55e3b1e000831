"""The reliability list with figures: stops, swaps, damaged bundles, overload, memory, faults.

Everything runs against `thinfer serve` in a process of its own, over sockets. Each part injects a
fault many times and counts what went wrong; a part that finds a fault says so in its figures.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import shutil
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from benchmarks import faults
from benchmarks.clouds import has_cascade, measure_cloud
from benchmarks.damage import list_harms
from benchmarks.ground import Ground, ask
from benchmarks.launch import Service
from benchmarks.odd_requests import measure_requests
from benchmarks.record import save
from benchmarks.settings import make_parser, say, to_settings
from thinfer.bench.arrivals import draw_due_times
from thinfer.bench.load import LoadPlan, run_closed_loop, run_open_loop
from thinfer.classifier import Classifier
from thinfer.core.clock import SystemClock

PARTS = (
    *("stops", "stops_workers", "swaps", "damage", "overload", "overload_slow", "soak"),
    *("strange", "split", "kills", "cloud", "requests", "counters", "tokenizers"),
)
_CALLERS = 4


def measure_stops(ground: Ground, *, repeats: int, workers: int = 1) -> dict[str, Any]:
    """Stop the service under open-loop load; count what was accepted and not answered."""
    statuses: Counter[str] = Counter()
    errors: Counter[str] = Counter()
    seconds, codes = [], Counter[str]()
    for number in range(repeats):
        with ground.serving(ground.first, workers=workers) as service:
            plan = ground.plan(service, connections=16, seconds=20.0)
            rng = np.random.default_rng(number)
            due = draw_due_times(rate=400.0, requests=1600, rng=rng)
            ended: list[float] = []

            def stop(service: Service = service, ended: list[float] = ended) -> None:
                time.sleep(2.0)
                started = time.perf_counter()
                service.process.terminate()
                codes[str(service.process.wait(60))] += 1
                ended.append(time.perf_counter() - started)

            thread = threading.Thread(target=stop)
            thread.start()
            result = asyncio.run(run_open_loop(plan, due=due, clock=SystemClock()))
            thread.join()
        statuses.update(result.statuses)
        errors.update(result.errors)
        seconds += ended
    refused = errors.pop("ConnectionRefusedError", 0)  # after the socket closed: never accepted
    return {
        "repeats": repeats,
        "workers": workers,
        "answered": statuses,
        "refused_after_close": refused,
        "accepted_and_lost": sum(errors.values()),
        "lost_kinds": errors,
        "exit_codes": codes,
        "longest_stop_s": max(seconds),
    }


def measure_swaps(ground: Ground, *, repeats: int) -> dict[str, Any]:
    """Swap between two bundles while callers ask; each answer must be its version's own."""
    texts = ground.texts[:100]
    expected: dict[str, list[str]] = {}
    for bundle in (ground.first, ground.second):
        with Classifier.open(bundle, threads=1) as classifier:
            labels = [prediction.label for prediction in classifier.predict(texts)]
            expected[classifier.version] = labels
    found: Counter[str] = Counter()
    is_over = threading.Event()
    # The two differ in speed on purpose; whether that is allowed is another part's matter.
    any_speed = {f"THINFER_SERVE_{name}_MAX_SLOWDOWN": "1000" for name in ("SWAP", "ARM")}
    with mock.patch.dict(os.environ, any_speed), ground.serving(ground.first) as service:
        callers = [
            threading.Thread(target=_call, args=(service, texts, expected, found, is_over))
            for _ in range(_CALLERS)
        ]
        for caller in callers:
            caller.start()
        sizes, seconds = [], []
        for number in range(repeats):
            bundle = (ground.second, ground.first)[number % 2]
            status, body = ask(service, "POST", "/admin/versions", {"bundle": str(bundle)})
            found["swap " + str(status)] += 1
            seconds.append(body.get("seconds", float("nan")))
            sizes.append(service.rss_bytes())
        is_over.set()
        for caller in callers:
            caller.join()
    early = min(20, len(sizes)) - 1
    return {
        "repeats": repeats,
        "callers": _CALLERS,
        "found": found,
        "median_swap_s": float(np.median(seconds)),
        "rss_after_20_bytes": sizes[early],
        "rss_at_end_bytes": sizes[-1],
    }


def _call(
    service: Service,
    texts: tuple[str, ...],
    expected: dict[str, list[str]],
    found: Counter[str],
    is_over: threading.Event,
) -> None:
    link = http.client.HTTPConnection("127.0.0.1", service.port, timeout=60)
    row = 0
    while not is_over.is_set():
        row = (row + 1) % len(texts)
        try:
            link.request("POST", "/check", json.dumps({"content": texts[row]}))
            response = link.getresponse()
            body = json.load(response)
        except (OSError, http.client.HTTPException, ValueError) as error:
            found[type(error).__name__] += 1
            link.close()
            continue
        if response.status != http.client.OK:
            found[f"status {response.status}"] += 1
            continue
        version = response.headers["x-thinfer-version"]
        is_right = expected.get(version, [""] * len(texts))[row] == body["result"]
        found["right" if is_right else "wrong"] += 1
    link.close()


def measure_damage(ground: Ground, *, repeats: int) -> dict[str, Any]:
    """Offer damaged bundles; each must be refused, and the present version must answer on."""
    rng = np.random.default_rng(ground.settings.seed)
    found: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    text = ground.texts[0]
    with ground.serving(ground.first) as service:
        before = ask(service, "POST", "/check", {"content": text})
        start = service.rss_bytes()
        place = ground.folder / "damaged"
        for number in range(repeats):
            harms = list_harms()
            kind = list(harms)[number % len(harms)]
            shutil.rmtree(place, ignore_errors=True)
            # Links to the whole files, and a copy of the one that is harmed, made by the harm.
            shutil.copytree(ground.first, place, copy_function=_link)
            harms[kind](place, rng)
            status, body = ask(service, "POST", "/admin/versions", {"bundle": str(place)})
            kinds[kind] += 1
            found[f"{status} {body.get('error_type', 'taken')}"] += 1
            if number % 50 == 0:
                same = ask(service, "POST", "/check", {"content": text}) == before
                found["old answers on" if same else "old answers otherwise"] += 1
        return {
            "repeats": repeats,
            "kinds": kinds,
            "found": found,
            "rss_growth_bytes": service.rss_bytes() - start,
        }


def measure_overload(ground: Ground, bundle: Path, *, seconds: float) -> dict[str, Any]:
    """Ask three times as much as the service can answer; good answers must not become fewer.

    On few cores the generator takes some of them away from a fast service; a slow one is measured
    too, whose threefold load costs next to nothing to send.
    """
    with ground.serving(bundle) as service:
        capacity = ground.find_capacity(service, seconds=5.0)
        start = service.rss_bytes()
        plan = ground.plan(service, connections=1500, seconds=seconds + 30)
        rng = np.random.default_rng(ground.settings.seed)
        due = draw_due_times(rate=3 * capacity, requests=int(3 * capacity * seconds), rng=rng)
        result = asyncio.run(run_open_loop(plan, due=due, clock=SystemClock()))
        growth = service.rss_bytes() - start
        recovered = _time_recovery(service, ground.texts[0])
        return {
            "capacity": capacity,
            "asked_per_second": len(due) / seconds,
            "seconds": seconds,
            "good_per_second": result.requests_per_second,
            "share_of_capacity": result.requests_per_second / capacity,
            "statuses": result.statuses,
            "errors": result.errors,
            "p99_of_good_ms": result.quantile_ms(0.99),
            "rss_growth_bytes": growth,
            "recovered_s": recovered,
        }


def _time_recovery(service: Service, text: str) -> float:
    """Seconds until a single request is answered with 200 again."""
    started = time.perf_counter()
    while ask(service, "POST", "/check", {"content": text})[0] != http.client.OK:
        time.sleep(0.01)
    return time.perf_counter() - started


def measure_soak(ground: Ground, *, requests: int) -> dict[str, Any]:
    """Send texts of random length, and watch the memory."""
    rng = np.random.default_rng(ground.settings.seed)
    characters = "".join(ground.texts)
    bodies = []
    for size in rng.integers(1, 513, size=4096):
        begin = int(rng.integers(0, max(1, len(characters) - 512)))
        text = characters[begin : begin + int(size)]
        bodies.append(json.dumps({"content": text}).encode())
    with ground.serving(ground.first) as service:
        plan = ground.plan(service, connections=8, seconds=600.0)
        plan = LoadPlan(
            host=plan.host, port=plan.port, path=plan.path, bodies=tuple(bodies),
            connections=8, requests=requests // 20, seconds=600.0,
        )  # fmt: skip
        sizes, statuses = [], Counter[str]()
        for _ in range(20):
            result = asyncio.run(run_closed_loop(plan, clock=SystemClock()))
            statuses.update(result.statuses)
            sizes.append(service.rss_bytes())
    rows = np.arange(len(sizes) // 4, len(sizes))  # after warming up
    slope = float(np.polyfit(rows, np.asarray(sizes, dtype=np.float64)[rows], 1)[0])
    return {
        "requests": requests,
        "statuses": statuses,
        "rss_bytes": sizes,
        "slope_bytes_per_1000_requests": slope / (requests / 20) * 1000,
    }


def _link(source: str, target: str) -> None:
    Path(target).hardlink_to(source)


def main() -> None:
    """Run it on one set whose data, teacher and bundle are here."""
    parser = make_parser(__doc__)
    parser.set_defaults(sets="thuc")
    parser.add_argument("--parts", default=",".join(PARTS), help="some of " + ", ".join(PARTS))
    arguments = parser.parse_args()
    settings = to_settings(arguments)
    share = 1.0 if settings.limit is None else 0.01  # a trial
    item = settings.present()[0]
    with tempfile.TemporaryDirectory(prefix="thinfer-") as root:
        ground = Ground(settings, item, Path(root))
        parts: dict[str, Callable[[], dict[str, Any]]] = {
            "stops": lambda: measure_stops(ground, repeats=max(1, int(20 * share))),
            "stops_workers": lambda: measure_stops(
                ground, repeats=max(1, int(20 * share)), workers=2
            ),
            "swaps": lambda: measure_swaps(ground, repeats=max(2, int(200 * share))),
            "damage": lambda: measure_damage(ground, repeats=max(1, int(10_000 * share))),
            "overload": lambda: measure_overload(ground, ground.first, seconds=60 * share),
            "overload_slow": lambda: measure_overload(ground, ground.slow, seconds=60 * share),
            "soak": lambda: measure_soak(ground, requests=max(20, int(100_000 * share))),
            "strange": lambda: faults.measure_strange(ground, repeats=max(1, int(50 * share))),
            "split": lambda: faults.measure_split(ground, keys=max(20, int(2_000 * share))),
            "kills": lambda: faults.measure_kills(ground, repeats=max(1, int(20 * share))),
            "cloud": lambda: measure_cloud(ground, requests=max(10, int(500 * share))),
            "requests": lambda: measure_requests(ground, repeats=max(60, int(20_000 * share))),
            "counters": lambda: faults.measure_counters(ground, repeats=100),
            "tokenizers": lambda: faults.measure_tokenizers(
                ground, texts=max(10, int(2_000 * share))
            ),
        }
        for name in arguments.parts.split(","):
            if name == "cloud" and not has_cascade(settings):
                say("cloud: left out, `benchmarks.cascade --sets cold` was not run before")
                continue
            say(f"reliability: {name}")
            save(settings, "reliability", {name: parts[name]()})


if __name__ == "__main__":
    main()
