"""What became of each class, in the whole test set and in its slices, and which are too rare.

A floor speaks of one rate; its reader wants to know who pays for it. For each label this gives
what a floor on its recall would be judged by: T rows that the original found, b that the
candidate lost, c that it gained, the kept share with its bounds, and how many rows it would take
to prove as much of this class as the floors ask. Counts and bounds are those of `judge`
(quality/paired.py, quality/evidence.py), so that a line and a floor on the same rate agree.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thinfer.errors import DataError
from thinfer.quality.evidence import (
    Answer,
    count_rows_needed,
    count_trials_needed,
    settle,
    weigh_share,
)
from thinfer.quality.floor import Floor
from thinfer.quality.intervals import clopper_pearson_lower, clopper_pearson_upper
from thinfer.quality.labels import LabelSet
from thinfer.quality.paired import PairedCounts

__all__ = [
    "FLAGGED",
    "ClassLine",
    "ModelRates",
    "break_down",
    "strictest_share",
]

Codes = NDArray[np.int64]
Rows = NDArray[np.bool_]

FLAGGED = "flagged"
_USUAL_SHARE = 0.995  # what the default floors ask for


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRates:
    """How one model does on a class.

    Attributes:
        recall: share of its rows that are found, 0 … 1; of a line without a label the share of
            right answers; absent without rows.
        recall_interval: its two one-sided 95 % bounds (Clopper–Pearson); absent with it.
        precision: share of the model's answers of this class that are right; absent where it
            gives none, or without a label.
        precision_interval: likewise.
    """

    recall: float | None
    recall_interval: tuple[float, float] | None
    precision: float | None
    precision_interval: tuple[float, float] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassLine:
    """One class in one slice.

    Attributes:
        label: name of the class; `flagged` for all but the normal one together; absent for right
            answers whatever the class.
        slice: name of the slice; absent for the whole set.
        metric: what a floor would name: `recall[LABEL]`, `flagged_recall` or `accuracy`.
        share: share of the original's rate that is asked for, 0 … 1.
        is_promised: whether a floor of the run asks it of this very rate; else it is the
            strictest that the run asks of any.
        rows: rows of the class.
        trials: T, those that the original found.
        losses: b, those that the original found and the candidate did not.
        gains: c, those that the candidate found and the original did not.
        retention: 1 - (b - c)/T; absent where T is 0.
        interval: its two one-sided 95 % bounds; absent with it.
        verdict: whether `share` is proven of it; where it is not promised no more than a finding.
        rows_needed: rows of a whole test set that would prove it at the rates seen; absent where
            it is proven, the value is below, or no number would do.
        trials_needed: the least T that proves `share` without one loss; absent where none does.
        rows_at_best: rows of a whole test set of this mix that hold so many; absent where T is 0.
        too_rare: a sentence where these rows could not have proven it even without one loss.
        original: rates of the original.
        candidate: rates of the candidate.
    """

    label: str | None
    slice: str | None
    metric: str
    share: float
    is_promised: bool
    rows: int
    trials: int
    losses: int
    gains: int
    retention: float | None
    interval: tuple[float, float] | None
    verdict: Answer
    rows_needed: int | None
    trials_needed: int | None
    rows_at_best: int | None
    too_rare: str | None
    original: ModelRates
    candidate: ModelRates


@dataclass(frozen=True, slots=True, kw_only=True)
class _Class:
    """Which rows are of a class, and which each model says are: bool `[rows]` each."""

    label: str | None
    floor: Floor
    is_promised: bool
    positives: Rows
    before: Rows
    after: Rows


def strictest_share(floors: Sequence[Floor]) -> float:
    """Give the largest share of the original's value that any floor asks to be kept.

    Args:
        floors: of the run.

    Returns:
        0.995 where no floor is relative; a floor on agreement asks another question.
    """
    asked = [
        floor.bound
        for floor in floors
        if floor.relative and floor.direction == ">=" and floor.metric != "agreement"
    ]
    return max(asked, default=_USUAL_SHARE)


def break_down(
    *,
    truth: Codes,
    original: Codes,
    candidate: Codes,
    labels: LabelSet,
    floors: Sequence[Floor],
    slices: Mapping[str, Rows] | None = None,
) -> tuple[ClassLine, ...]:
    """Give a line for every class, of the whole set and of each slice.

    Args:
        truth: int64 `[rows]`, classes.
        original: int64 `[rows]`, the original's answers.
        candidate: int64 `[rows]`, the candidate's answers.
        labels: the classes.
        floors: of the run; they say which share is asked for.
        slices: name → bool `[rows]`, the rows of each slice; they may overlap.

    Returns:
        First the whole set, then each slice in the order given; in each the right answers, what
        is flagged (where there is a normal label), and each label in the order of the logits.

    Raises:
        DataError: the answers or a slice do not have one entry a row.
    """
    named: dict[str | None, Rows] = {None: np.ones(len(truth), dtype=np.bool_)}
    named.update((slices or {}).items())
    shapes = {
        truth.shape,
        original.shape,
        candidate.shape,
        *(rows.shape for rows in named.values()),
    }
    if len(shapes) != 1 or truth.ndim != 1 or not len(truth):
        what = "truth, answers and slices do not fit together"
        raise DataError(what, expected="one [rows], rows ≥ 1", got=str(sorted(shapes)))
    masks = _list_masks((truth, original, candidate), labels)
    return tuple(
        _weigh(_class_of(label, metric, floors, each, name), rows, name)
        for name, rows in named.items()
        for label, metric, each in masks
    )


def _list_masks(
    codes: tuple[Codes, Codes, Codes], labels: LabelSet
) -> list[tuple[str | None, str, tuple[Rows, Rows, Rows]]]:
    """Label, metric, and which rows are of the class in truth, before and after."""
    truth, original, candidate = codes
    every = np.ones(len(truth), dtype=np.bool_)
    found: list[tuple[str | None, str, tuple[Rows, Rows, Rows]]] = [
        (None, "accuracy", (every, original == truth, candidate == truth))
    ]
    if labels.normal is not None:
        flags = [labels.is_flagged(each) for each in codes]
        found.append((FLAGGED, "flagged_recall", (flags[0], flags[1], flags[2])))
    held = [labels.members(each) for each in codes]
    for place, name in enumerate(labels.names):
        columns = [each[:, place] for each in held]
        found.append((name, "recall", (columns[0], columns[1], columns[2])))
    return found


def _class_of(
    label: str | None,
    metric: str,
    floors: Sequence[Floor],
    masks: tuple[Rows, Rows, Rows],
    name: str | None,
) -> _Class:
    named = label if metric == "recall" else None
    own = next(
        (
            floor
            for floor in floors
            if (floor.metric, floor.label, floor.relative, _slice_of(floor))
            == (metric, named, True, name)
        ),
        None,
    )
    title = metric if named is None else f"{metric}[{named}]"
    asked = own or Floor(
        metric=metric,
        label=named,
        relative=True,
        bound=strictest_share(floors),
        direction=">=",
        expr=title,
    )
    positives, before, after = masks
    return _Class(
        label=label,
        floor=asked,
        is_promised=own is not None,
        positives=positives,
        before=before,
        after=after,
    )


def _slice_of(floor: Floor) -> str | None:
    return None if floor.slice is None else "=".join(floor.slice)


def _weigh(item: _Class, inside: Rows, name: str | None) -> ClassLine:
    rows = item.positives & inside
    counts = PairedCounts(
        rows=int(rows.sum()),
        trials=int((rows & item.before).sum()),
        losses=int((rows & item.before & ~item.after).sum()),
        gains=int((rows & item.after & ~item.before).sum()),
    )
    floor, total = item.floor, len(inside)
    answer: Answer = "unproven"
    retention = interval = needed = None
    if counts.trials:
        evidence = weigh_share(floor, counts)
        answer = settle(floor, evidence)
        retention = evidence.ratio
        most = counts.rows / counts.trials
        interval = (max(0.0, evidence.low), min(most, evidence.high))
        if answer == "unproven":
            needed = count_rows_needed(floor, evidence, total)
    least = count_trials_needed(floor.bound)
    at_best = math.ceil(least * total / counts.trials) if least and counts.trials else None
    return ClassLine(
        label=item.label,
        slice=name,
        metric=floor.metric if floor.label is None else f"{floor.metric}[{floor.label}]",
        share=floor.bound,
        is_promised=item.is_promised,
        rows=counts.rows,
        trials=counts.trials,
        losses=counts.losses,
        gains=counts.gains,
        retention=retention,
        interval=interval,
        verdict=answer,
        rows_needed=needed,
        trials_needed=least,
        rows_at_best=at_best,
        too_rare=None if answer == "holds" else _say_too_rare(counts, floor.bound, least, at_best),
        original=_rate(item, inside, item.before),
        candidate=_rate(item, inside, item.after),
    )


def _say_too_rare(
    counts: PairedCounts, share: float, least: int | None, at_best: int | None
) -> str | None:
    if counts.rows == 0:
        return "no row of this test set is of this class"
    if counts.trials == 0:
        return f"the original finds none of its {counts.rows:,} rows: a share of 0 says nothing"
    if least is None or counts.trials >= least:
        return None
    return (
        f"even without one loss, {counts.trials:,} rows that the original finds cannot prove "
        f"{100 * share:.6g} %: it takes {least:,} of them, about {at_best:,} rows of a test set of "
        "this mix"
    )


def _rate(item: _Class, inside: Rows, found: Rows) -> ModelRates:
    positives, answers = item.positives & inside, found & inside
    hits = int((positives & answers).sum())
    recall, recall_interval = _share(hits, int(positives.sum()))
    is_class = item.label is not None  # right answers are no class that a model could answer
    precision, precision_interval = _share(hits, int(answers.sum()) if is_class else 0)
    return ModelRates(
        recall=recall,
        recall_interval=recall_interval,
        precision=precision,
        precision_interval=precision_interval,
    )


def _share(hits: int, rows: int) -> tuple[float | None, tuple[float, float] | None]:
    if not rows:
        return None, None
    return hits / rows, (clopper_pearson_lower(hits, rows), clopper_pearson_upper(hits, rows))
