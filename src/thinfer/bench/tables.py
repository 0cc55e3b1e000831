"""Rows of a comparison: what was measured, beside the baseline, with an interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from thinfer.bench.contender import Contender
from thinfer.measure.compare import Ratio, ratio_interval, throughput_ratio
from thinfer.measure.timing import Samples
from thinfer.measure.workload import Workload

__all__ = ["COLUMNS", "make_rows", "to_cells"]

COLUMNS = (
    "name",
    "engine",
    "precision",
    "workload",
    "ms median",
    "ms p95",
    "texts/s",
    "× baseline",
    "95 % interval",
)


def make_rows(
    contenders: Sequence[Contender],
    samples: Mapping[str, Samples],
    workload: Workload,
    *,
    baseline: str,
    warmups: int,
    rng: np.random.Generator,
) -> list[dict[str, Any]]:
    """Give one row a contender, as `bench --json` shows it.

    Args:
        contenders: what was timed, in the order of the table.
        samples: name → times; call `r` of everyone ran batch `(r + warmups) mod batches`.
        workload: what was run.
        baseline: the contender that the ratios are taken to; above 1 is faster than it.
        warmups: calls before the first timed one.
        rng: resamples the rounds.

    Returns:
        `name`, `engine`, `precision`, `threads`, `workload`, `ms_median` and `ms_p95` of one
        call, `texts_per_second`, `ratio`, `ratio_interval`, `is_separable` (the interval leaves
        out 1), `samples`, `dropped` and `is_disturbed`.
    """
    sizes = [len(batch) for batch in workload.batches]
    rows = []
    for contender in contenders:
        own = samples[contender.name]
        texts = sum(sizes[(number + warmups) % len(sizes)] for number in own.rounds)
        ratio = _compare(samples[baseline], own, is_varied=len(sizes) > 1, rng=rng)
        rows.append(
            {
                "name": contender.name,
                "engine": contender.engine,
                "precision": contender.precision,
                "threads": contender.threads,
                "workload": workload.name,
                "ms_median": own.median_s * 1e3,
                "ms_p95": own.p95_s * 1e3,
                "texts_per_second": texts / sum(own.seconds),
                "ratio": ratio.ratio,
                "ratio_interval": [ratio.low, ratio.high],
                "is_separable": ratio.is_separable,
                "samples": len(own.seconds),
                "dropped": own.dropped,
                "is_disturbed": own.is_disturbed,
            }
        )
    return rows


def to_cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    """Give one row for people, a cell for each of `COLUMNS`.

    Args:
        row: of `make_rows`.
    """
    low, high = row["ratio_interval"]
    return (
        row["name"],
        row["engine"],
        row["precision"],
        row["workload"],
        f"{row['ms_median']:.2f}",
        f"{row['ms_p95']:.2f}",
        f"{row['texts_per_second']:.0f}",
        f"{row['ratio']:.2f}",
        f"{low:.2f} … {high:.2f}" + (" (host disturbed)" if row["is_disturbed"] else ""),
    )


def _compare(
    baseline: Samples, own: Samples, *, is_varied: bool, rng: np.random.Generator
) -> Ratio:
    if own is baseline:
        return Ratio(ratio=1.0, low=1.0, high=1.0, pairs=len(own.seconds))
    # Batches of unlike length are added up; calls of one shape are ranked.
    compare = throughput_ratio if is_varied else ratio_interval
    return compare(baseline, own, rng=rng)
