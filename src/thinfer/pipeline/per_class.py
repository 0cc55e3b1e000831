"""What the judged answers say of each class, and how sure each model was, as the result's JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thinfer.core.codec import to_json
from thinfer.quality.breakdown import break_down
from thinfer.quality.calibration import measure_calibration, measure_label_calibration
from thinfer.quality.floor import Floor
from thinfer.quality.labels import LabelSet

__all__ = ["describe_calibration", "describe_classes"]

Answers = NDArray[np.int64]


def describe_classes(
    *,
    truth: Answers,
    original: Answers,
    chosen: Answers,
    labels: LabelSet,
    floors: Sequence[Floor],
    slices: Mapping[str, NDArray[np.bool_]] | None = None,
) -> list[dict[str, Any]]:
    """Give `classes[]` of the result.

    Args:
        truth: int64 `[rows]`, classes.
        original: int64 `[rows]`, its answers.
        chosen: int64 `[rows]`, its answers.
        labels: the classes.
        floors: of the run.
        slices: name → bool `[rows]`.
    """
    lines = break_down(
        truth=truth,
        original=original,
        candidate=chosen,
        labels=labels,
        floors=floors,
        slices=slices,
    )
    found = []
    for line in lines:
        body = to_json(line)
        body["chosen"] = body.pop("candidate")
        found.append(body)
    return found


def describe_calibration(
    logits: NDArray[np.float32], truth: Answers, *, labels: LabelSet
) -> dict[str, Any] | None:
    """Give the calibration of one model.

    Args:
        logits: float32 `[rows, classes]`.
        truth: int64 `[rows]`; classes, or sets of labels as bits where a row may hold several.
        labels: the classes.

    Returns:
        `ece`, `ece_by_chance`, `nll`, `temperature`, `rows`, and `labels[]` with the same of each
        label where each has a sigmoid; its own figures are then their means. None where a logit
        is not finite: such a model has no scores to speak of.
    """
    if not np.isfinite(logits).all():
        return None
    if not labels.is_multi_label:
        return {**to_json(measure_calibration(logits, truth)), "labels": []}
    members = labels.members(truth)
    each = [to_json(item) for item in measure_label_calibration(logits, members, labels.names)]
    figures = ("ece", "ece_by_chance", "nll", "temperature")
    means = {name: float(np.mean([item[name] for item in each])) for name in figures}
    return {"label": None, **means, "rows": len(truth), "labels": each}
