"""What is known of one service of `benchmarks.http`, and what two of them give as a ratio."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.launch import Service
from thinfer.bench.load import run_closed_loop, run_punctually
from thinfer.bench.load_request import LoadRequest, hold_rate
from thinfer.bench.load_run import saturate
from thinfer.bench.outcome import LoadResult
from thinfer.bench.saturation import Saturation
from thinfer.bench.target import Target
from thinfer.core.clock import SystemClock
from thinfer.core.codec import to_json
from thinfer.core.progress import SilentProgress

__all__ = ["BUSY", "LIMIT_MS", "Effort", "Row", "compare_rows", "resample"]

LIMIT_MS = 50.0
_FEWEST = 40  # requests of a turn at rest, for a median
BUSY = 32  # connections of the closed loop: as many as LitServe puts into a batch


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


class Row:
    """What is known of one service."""

    def __init__(self, service: Service, bodies: tuple[bytes, ...], seed: int) -> None:
        self.name, self._service = service.name, service
        target = Target(host="127.0.0.1", port=service.port, path="/check", is_tls=False)
        self._request = LoadRequest(
            target=target, route="check", bodies=bodies, seed=seed, limit_ms=LIMIT_MS
        )
        self.closed: dict[int, list[tuple[LoadResult, float]]] = {}
        self.held: dict[str, list[LoadResult]] = {}
        self.found: list[Saturation] = []

    def close_loop(self, connections: int, seconds: float) -> None:
        """Ask as fast as it answers so many callers; the first requests only warm it."""
        warm = self._request.plan(requests=50, seconds=30.0, connections=connections)
        run_punctually(run_closed_loop(warm, clock=SystemClock()))
        plan = self._request.plan(requests=1_000_000, seconds=seconds, connections=connections)
        before = self._service.cpu_seconds()
        result = run_punctually(run_closed_loop(plan, clock=SystemClock()))
        used = self._service.cpu_seconds() - before
        self.closed.setdefault(connections, []).append((result, used))

    def hold(self, name: str, rate: float, seconds: float, number: int) -> None:
        """Ask at a rate, whatever comes back."""
        request = replace(self._request, warmup=min(1.0, seconds / 4))
        long = max(seconds, min(_FEWEST / rate, 4 * seconds))
        result = hold_rate(request, rate, seconds=long, seed=number, clock=SystemClock())
        self.held.setdefault(name, []).append(result)

    def search(self, effort: Effort) -> None:
        """Search the highest rate within the limit, from below the one found last time."""
        last = self.found[-1].rate if self.found else None
        request = replace(
            self._request,
            seconds=effort.seconds,
            warmup=min(1.0, effort.seconds / 4),
            steps=effort.steps,
            rate=0.7 * last if last else None,
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
        per_core = [len(result.latencies) / max(used, 1e-9) for result, used in self.closed[BUSY]]
        loads = [result for results in self.held.values() for result in results]
        loads += [result for results in self.closed.values() for result, _ in results]
        return {
            "name": self.name,
            "alone_per_second": self.median_rate(1),
            "capacity": self.median_rate(BUSY),
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
            "cpu_ms_busy": float(np.median(self.cpu_ms(BUSY))),
            "requests_per_second": self.median_rate(BUSY),
            "p50_ms": float(np.median([result.quantile_ms(0.5) for result, _ in self.closed[1]])),
        }


def compare_rows(own: Row, best: Row, peers: Sequence[Row], *, seed: int) -> dict[str, Any]:
    """Give ratios to the best peer, round by round; rounds that one of both failed are left out.

    The best is the peer of the highest capacity; at rest and within the limit it is, in each
    round, whichever peer did best there.

    Args:
        own: whose ratios these are.
        best: the peer of the highest capacity.
        peers: all of them.
        seed: resamples the rounds.
    """
    within = [
        max((row.found[number].rate or 0.0 for row in peers), default=0.0) or np.nan
        for number in range(len(own.found))
    ]
    at_rest = np.min([_quantiles(row, "quiet", 0.5) for row in peers], axis=0)
    pairs = {
        "p50 at rest": (_quantiles(own, "quiet", 0.5), at_rest),
        "p99 at 80 %": (_quantiles(own, "busy", 0.99), _quantiles(best, "busy", 0.99)),
        "capacity": (own.rates(BUSY), best.rates(BUSY)),
        "rate within the limit": ([item.rate or np.nan for item in own.found], within),
    }
    found: dict[str, Any] = {}
    for what, (ours, theirs) in pairs.items():
        ratios = np.asarray(ours, dtype=float) / np.asarray(theirs, dtype=float)
        kept = ratios[np.isfinite(ratios) & (ratios > 0)]
        if len(kept):
            found[what] = {
                "ratio": float(np.median(kept)),
                "interval": resample(kept, seed),
                "rounds": len(kept),
                "of": len(ratios),
            }
    return found


def _quantiles(row: Row, name: str, share: float) -> list[float]:
    return [result.quantile_of_all_ms(share) for result in row.held.get(name, ())]


def _median_of(results: list[LoadResult] | None, share: float) -> float | None:
    """Median of the rounds; None where it was not measured or most rounds failed."""
    values = [result.quantile_of_all_ms(share) for result in results or ()]
    found = float(np.median(values)) if values else np.inf
    return found if np.isfinite(found) else None


def resample(values: NDArray[np.float64], seed: int) -> list[float]:
    """Give the 95 % interval of the median over resampled rounds; of one round, that round.

    Args:
        values: float64 `[rounds]`.
        seed: of the draw.
    """
    rng = np.random.default_rng(seed)
    drawn = np.median(rng.choice(values, size=(2000, len(values))), axis=1)
    return [float(np.quantile(drawn, 0.025)), float(np.quantile(drawn, 0.975))]
