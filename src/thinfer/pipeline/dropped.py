"""Rows of the result for states that never became a form: dropped early, or below a floor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thinfer.compress.state import State
from thinfer.core.codec import to_json
from thinfer.pipeline.candidate import Candidate
from thinfer.pipeline.job import Answers, Job
from thinfer.pipeline.latency import LatencyTable
from thinfer.quality.metrics import measure_quality

__all__ = ["describe_missed", "predict_speedups"]


def describe_missed(
    job: Job,
    name: str,
    state: State,
    *,
    answers: Answers,
    reason: str,
    rows: NDArray[np.int64] | None = None,
    ratio: float | None = None,
) -> dict[str, Any]:
    """Give the row of a state that was tried in FP32 alone.

    Args:
        job: the run.
        name: of the state.
        state: the model.
        answers: int64 `[rows]`, of its FP32 torch form.
        reason: why no form was made of it.
        rows: the rows of `dev` that it answered, int64 `[rows]`; all when absent.
        ratio: throughput that was predicted for it, to the dense form's; None where nothing was.
    """
    places = np.arange(len(job.sets.dev)) if rows is None else rows
    truth = job.sets.dev.truth[places]
    before, after = (
        to_json(measure_quality(truth, each, job.labels))
        for each in (job.original_dev[places], answers)
    )
    return {
        "name": name,
        "state": name,
        "engine": None,
        "precision": None,
        "architecture": to_json(state.architecture),
        "max_length": state.max_length,
        "steps": [to_json(report) for report in state.history],
        "dev_metrics": after,
        "dev_rows": len(places),
        "original_dev_metrics": before,
        "predicted_ratio": ratio,
        "refused": reason,
    }


def predict_speedups(
    dropped: Sequence[dict[str, Any]], candidates: Sequence[Candidate], table: LatencyTable | None
) -> None:
    """Fill in the speed-up to the original that was to be expected of rows that were not timed.

    Args:
        dropped: rows with `predicted_ratio`, to the dense form that the table prices.
        candidates: timed; the first in the table's engine and precision is that form.
        table: of the run, if it has one.
    """
    dense = next(
        (
            item
            for item in candidates
            if table and (item.form.engine, item.form.precision) == (table.engine, table.precision)
        ),
        candidates[0],
    )
    whole = dense.facts.get("speedup")
    for row in dropped:
        ratio = row.get("predicted_ratio")
        row["predicted_speedup"] = ratio * whole if ratio and whole else None
