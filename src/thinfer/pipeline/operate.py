"""The operating point of a run: what the user declared, and the rates that floors name."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thinfer.bundle import LAYOUT
from thinfer.errors import DataError, UserError
from thinfer.pipeline.candidate import Candidate
from thinfer.pipeline.job import Job
from thinfer.pipeline.request import CompressRequest
from thinfer.quality.floor import Floor
from thinfer.quality.labels import LabelSet
from thinfer.quality.operating import Decider, OperatingPoint, parse_operating_point
from thinfer.quality.refit import set_rates

__all__ = [
    "decider_of",
    "declare_point",
    "describe_point",
    "read_declared_point",
    "set_declared_rates",
]


def declare_point(
    request: CompressRequest, floors: Sequence[Floor], labels: LabelSet
) -> OperatingPoint:
    """Give the operating point that the user declared.

    Args:
        request: its thresholds and priority.
        floors: of the run; a rate that one names sets the threshold of its label.
        labels: the classes.

    Returns:
        The point, without the thresholds that rates will set.

    Raises:
        UserError: a label has a threshold and a rate, or two rates.
    """
    point = parse_operating_point(request.thresholds, request.priority, labels)
    rates: dict[str, float] = {}
    for floor in floors:
        if floor.fpr is None or floor.label is None:
            continue
        if floor.label in point.thresholds:
            what = f"the label {floor.label!r} has a threshold, and a floor that sets it by a rate"
            raise UserError(what, got=floor.expr, do="give --threshold or @fpr, not both")
        if rates.setdefault(floor.label, floor.fpr) != floor.fpr:
            what = f"two floors set the threshold of {floor.label!r} by different rates"
            expected = "one false-positive rate a label: one threshold is served"
            raise UserError(what, expected=expected, got=floor.expr)
    # What is refused here is refused before any text is run.
    Decider(labels, point.with_thresholds(dict.fromkeys(rates, 0.5)))
    return point


def set_declared_rates(
    point: OperatingPoint,
    floors: Sequence[Floor],
    logits: NDArray[np.float32],
    truth: NDArray[np.int64],
    labels: LabelSet,
) -> OperatingPoint:
    """Set the original's thresholds at the false-positive rates that floors name.

    Args:
        point: as declared.
        floors: of the run.
        logits: float32 `[dev rows, classes]`, the original's.
        truth: int64 `[dev rows]`.
        labels: the classes.

    Returns:
        The original's operating point.
    """
    rates = {
        floor.label: floor.fpr
        for floor in floors
        if floor.fpr is not None and floor.label is not None
    }
    return set_rates(Decider(labels, point), logits, truth, rates) if rates else point


def decider_of(job: Job, candidate: Candidate) -> Decider:
    """Give how a candidate answers: at the point that was fitted to its scores on `dev`.

    Args:
        job: the run.
        candidate: the original, the baseline, or one that has answered `dev`.
    """
    stored = candidate.folder / "dev.npy"
    if not stored.exists():
        return job.decider
    return job.decider_for(np.load(stored, allow_pickle=False))


def read_declared_point(bundle: str | Path) -> OperatingPoint:
    """Give the operating point that the original was judged at, which no checkpoint knows.

    Args:
        bundle: what `compress` made of it; a plain point where its report says nothing.

    Raises:
        DataError: the report cannot be read.
    """
    place = Path(bundle) / LAYOUT.report
    try:
        report = json.loads(place.read_text(encoding="utf-8")) if place.exists() else {}
        told = report.get("original", {}).get("operating")
        if told is None:
            return OperatingPoint()
        rows = told["labels"]
        offsets = tuple(float(row["offset"]) for row in rows)
        levels = {row["label"]: row["threshold"] for row in rows}
        return OperatingPoint(
            thresholds={name: float(level) for name, level in levels.items() if level is not None},
            priority=tuple(told["priority"]),
            temperature=float(told["temperature"]),
            offsets=offsets if any(offsets) else (),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        what = f"'{place}' does not say how the original was operated"
        raise DataError(what, got=str(error)[:100]) from error


def describe_point(decider: Decider) -> Mapping[str, Any]:
    """Give an operating point as JSON, label by label.

    Args:
        decider: labels and point.
    """
    point, labels = decider.point, decider.labels
    offsets = point.offsets or (0.0,) * len(labels)
    return {
        "activation": "sigmoid" if decider.is_sigmoid else "softmax",
        "temperature": point.temperature,
        "labels": [
            {"label": name, "threshold": point.thresholds.get(name), "offset": offset}
            for name, offset in zip(labels.names, offsets, strict=True)
        ],
        "priority": list(point.priority),
    }
