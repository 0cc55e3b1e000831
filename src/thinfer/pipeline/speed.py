"""Speed of candidates beside the original: the same texts, in turn, on the same threads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import cycle
from typing import Any

import numpy as np

from thinfer.measure.compare import throughput_ratio
from thinfer.measure.probe import HostProbe
from thinfer.measure.timing import Samples, time_interleaved
from thinfer.pipeline.candidate import BATCH_TEXTS, Candidate, Runner
from thinfer.pipeline.choose import Entry
from thinfer.pipeline.data import LabelledSet, head
from thinfer.pipeline.job import Job
from thinfer.pipeline.latency import LatencyTable

__all__ = ["compare_throughput", "entry_of", "measure_speeds", "predict_latencies", "refuse_slow"]

# docs/design.md §3: speedup and latency_ratio are taken on the first 1,024 dev texts.
_TEXTS = 1024
_SINGLES = 256  # one at a time; the first of them
_LINE_POINTS = 3  # with fewer, the noise of one bends the line
# A form of twice the price counts a sixteenth: a wide one keeps its weights in another cache, or
# shares a text out among threads, and a narrow one does not.
_NEARNESS = 4


def measure_speeds(
    job: Job, original: Candidate, candidates: Sequence[Candidate], *, rounds: int = 1
) -> None:
    """Fill in throughput and latency of candidates, each as a ratio to the original's.

    Batch by batch, every candidate and the original take their turn, so that a host that slows
    down slows all of them. Tokenising is inside.

    Args:
        job: the run.
        original: what the ratios are taken to; its own figures are filled in too.
        candidates: what to time; those that could not be run are left alone.
        rounds: passes over the 1,024 texts.
    """
    part = head(job.sets.dev, _TEXTS)
    able = [item for item in candidates if not _is_unsound(item.facts)]
    runners = {item.name: item.open(job.threads) for item in (original, *able)}
    try:
        batches = _timed(job, runners, part, BATCH_TEXTS, rounds, "throughput")
        singles = _timed(job, runners, head(part, _SINGLES), 1, rounds, "latency")
    finally:
        for runner in runners.values():
            runner.close()
    for item in (original, *able):
        item.facts.update(_figures(item.name, original.name, batches, singles, texts=len(part)))


def compare_throughput(job: Job, first: Candidate, second: Candidate) -> float:
    """Give how many times the throughput of the first the second reaches, timed in turn.

    Args:
        job: the run.
        first: on disk.
        second: on disk, under another name.
    """
    part = head(job.sets.dev, _TEXTS)
    runners = {item.name: item.open(job.threads) for item in (first, second)}
    try:
        samples = _timed(job, runners, part, BATCH_TEXTS, 1, "throughput")
    finally:
        for runner in runners.values():
            runner.close()
    rng = np.random.default_rng(0)
    return throughput_ratio(samples[first.name], samples[second.name], rng=rng).ratio


def refuse_slow(candidates: Sequence[Candidate]) -> None:
    """Refuse by name what is not faster than the original; once, before the choice.

    Args:
        candidates: timed; those that are refused already keep their reason.
    """
    for item in candidates:
        if not item.facts.get("refused") and item.facts["speedup"] <= 1.0:
            item.facts["refused"] = "not faster than the original on this machine"


def predict_latencies(candidates: Sequence[Candidate], table: LatencyTable | None) -> None:
    """Fill in the latency of one text that was to be expected before it was measured.

    A call in a service costs more than the table's blocks, and not by the same share at all widths:
    so the other forms timed in this run give the line from the table's seconds to measured ones.
    Where they are too few for a line, the dense form alone gives a share. Forms in another engine
    or precision, or with blocks left in FP32, are left without, and so is the dense form.

    Args:
        candidates: timed, least compressed first.
        table: of the run, if it has one.
    """
    priced: list[tuple[Candidate, float]] = []
    for item in candidates:
        item.facts["predicted_latency_ms"] = None
        form = (item.form.engine, item.form.precision)
        is_mixed = bool(item.form.kept_fp32)
        if table is None or is_mixed or form != (table.engine, table.precision):
            continue
        if item.facts.get("latency_ms") is not None and table.covers(item.state.architecture):
            priced.append((item, table.predict(item.state.architecture, "typical")))
    for item, seconds in priced[1:]:
        others = [(price, float(it.facts["latency_ms"])) for it, price in priced if it is not item]
        item.facts["predicted_latency_ms"] = _read_line(others, seconds)


def _read_line(points: Sequence[tuple[float, float]], price: float) -> float:
    """Give a measured latency for a price, from other prices and latencies, the dense one's first.

    The line is the one of least relative error, near prices counting most (Cleveland 1979, locally
    weighted regression); one that falls, or goes below zero, is noise.
    """
    prices, measured = np.array(points, dtype=np.float64).T
    if len(points) >= _LINE_POINTS:
        far = np.maximum(prices / price, price / prices)
        weights = far ** (-_NEARNESS / 2)
        sides = np.stack([np.ones_like(prices), prices], axis=1) / measured[:, None]
        (start, slope), *_ = np.linalg.lstsq(sides * weights[:, None], weights)
        if slope > 0 and start + slope * price > 0:
            return float(start + slope * price)
    return float(measured[0] * price / prices[0])


def entry_of(facts: Mapping[str, Any]) -> Entry:
    """Give what the rule of choice looks at.

    Args:
        facts: of a candidate.
    """
    refused = facts.get("refused") or ""
    return Entry(
        name=facts["name"],
        texts_per_second=float(facts.get("texts_per_second") or 0.0),
        size_bytes=facts["size_bytes"],
        macs=facts["macs"],
        clears_floor=not refused.startswith(("on dev", "parity")),
        is_sound=not _is_unsound(facts),
        is_faster=float(facts.get("speedup") or 0.0) > 1.0,
    )


def _is_unsound(facts: Mapping[str, Any]) -> bool:
    return str(facts.get("refused") or "").startswith("parity")


def _timed(
    job: Job,
    runners: Mapping[str, Runner],
    part: LabelledSet,
    size: int,
    rounds: int,
    label: str,
) -> Mapping[str, Samples]:
    steps = [slice(start, start + size) for start in range(0, len(part), size)]
    with job.progress.task(f"{label} of {len(runners)} forms", 1) as advance:
        samples = time_interleaved(
            {name: _stepper(runner, part, steps) for name, runner in runners.items()},
            rounds=rounds * len(steps),
            # On a busy host more rounds would only find it busy again: a quarter more, at most.
            most_rounds=rounds * len(steps) * 5 // 4,
            # One whole pass unseen: engines that compile for every new shape have met them all,
            # as in a service that has run for a minute.
            warmups=len(steps),
            clock=job.clock,
            probe=HostProbe(threads=job.threads, clock=job.clock),
            # A service runs one model, whose weights stay in the caches; here they take turns.
            recall={name: _stepper(runner, part, steps[:1]) for name, runner in runners.items()},
        )
        advance(1)
    return samples


def _stepper(runner: Runner, part: LabelledSet, steps: Sequence[slice]) -> Callable[[], object]:
    """Give a call that runs the next batch each time: all runners walk the same road."""
    road = cycle(steps)
    texts, pairs = part.corpus.texts, part.corpus.pairs

    def step() -> object:
        rows = next(road)
        return runner.run(texts[rows], None if pairs is None else pairs[rows])

    return step


def _figures(
    name: str,
    original: str,
    batches: Mapping[str, Samples],
    singles: Mapping[str, Samples],
    *,
    texts: int,
) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    own, base = batches[name], batches[original]
    alone, alone_base = singles[name], singles[original]
    ratio = throughput_ratio(base, own, rng=rng)
    latency = throughput_ratio(alone_base, alone, rng=rng)
    return {
        "texts_per_second": BATCH_TEXTS / float(np.mean(own.seconds)),
        "latency_ms": alone.median_s * 1e3,
        "speedup": ratio.ratio,
        "speedup_interval": [ratio.low, ratio.high],
        "latency_ratio": latency.ratio,
        "latency_ratio_interval": [latency.low, latency.high],
        "timed_texts": texts,
        "is_disturbed": own.is_disturbed or base.is_disturbed,
        "dropped_samples": own.dropped,
    }
