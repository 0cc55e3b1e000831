"""`judge`: does a candidate hold a floor; `estimate` and `margin_cleared`: may `dev` choose it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from thinfer.errors import DataError
from thinfer.quality.evidence import (
    ROUNDING,
    Answer,
    Evidence,
    count_rows_needed,
    explain_missing,
    is_rate,
    settle,
    weigh_rate,
    weigh_resampled,
    weigh_share,
)
from thinfer.quality.floor import Floor
from thinfer.quality.foresight import Estimate, is_foreseeable, shrink
from thinfer.quality.labels import LabelSet
from thinfer.quality.metrics import check_codes
from thinfer.quality.paired import PairedCounts, count_pairs
from thinfer.quality.resampled import PairCells

__all__ = ["Verdict", "estimate", "judge", "margin_cleared", "overall", "would_hold"]

Classes = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the data says about one floor.

    Attributes:
        expr: the floor, as the user wrote it.
        verdict: `holds`, `unproven` (the value is not below the floor, the sample is too small
            to prove it) or `broken` (the value is below the floor).
        original: the original's value of the metric.
        value: the candidate's.
        limit: the value that the floor asks for, on the same scale.
        interval: the two one-sided 95 % bounds of `value`, the original's taken as it is.
        rows_needed: rows of a whole test set that would prove it, were the rates those seen
            here; absent when the floor holds, is broken, or no sample would do.
        reason: one sentence.
        losses: rows that the original had and the candidate has not.
        gains: rows that the candidate has and the original had not.
        trials: rows that the original had.
        false_positive_rate: of a floor at such a rate, the candidate's on these rows.
        false_positive_interval: its two one-sided 95 % bounds.
    """

    KIND: ClassVar[str] = "thinfer.verdict"
    VERSION: ClassVar[int] = 1

    expr: str
    verdict: Answer
    original: float
    value: float
    limit: float
    interval: tuple[float, float]
    rows_needed: int | None
    reason: str
    losses: int
    gains: int
    trials: int
    false_positive_rate: float | None = None
    false_positive_interval: tuple[float, float] | None = None


def judge(
    floor: Floor,
    *,
    truth: Classes,
    original: Classes,
    candidate: Classes,
    labels: LabelSet,
    rng: np.random.Generator,
) -> Verdict:
    """Judge a candidate on rows that took no part in choosing it.

    Args:
        floor: the demand.
        truth: int64 `[rows]`, classes.
        original: int64 `[rows]`, the original's answers.
        candidate: int64 `[rows]`, the candidate's answers.
        labels: the classes.
        rng: for metrics that are judged by resampling.

    Returns:
        The verdict, at 95 % one-sided confidence.
    """
    _check_rows(truth, original, candidate, labels)
    rows = {"truth": truth, "original": original, "candidate": candidate}
    counts = count_pairs(floor, labels=labels, **rows)
    missing = explain_missing(floor, counts)
    if missing is not None:
        return _say_undefined(floor, counts, missing)
    return _conclude(floor, _weigh(floor, counts, labels, rng, **rows), len(truth))


def would_hold(
    floor: Floor,
    *,
    truth: Classes,
    original: Classes,
    candidate: Classes,
    labels: LabelSet,
    rows: int,
    truths: Classes | None = None,
) -> bool:
    """Say whether another set of so many rows, with what is known here, would prove a floor.

    Args:
        floor: the demand.
        truth: int64 `[rows here]`, classes.
        original: int64 `[rows here]`, the original's answers.
        candidate: int64 `[rows here]`, the candidate's answers.
        labels: the classes.
        rows: of the other set.
        truths: as for `estimate`.

    Returns:
        Whether the verdict would be `holds`, were the value the estimated one and answers changed
        as often as here; False also where these rows cannot show the metric at all.
    """
    known = {"truth": truth, "original": original, "candidate": candidate}
    found = estimate(floor, **known, labels=labels, truths=truths)
    if found is None:
        return False
    counts = count_pairs(floor, labels=labels, **known)
    evidence = _weigh(floor, counts, labels, np.random.default_rng(0), **known)
    reach = evidence.bound_at(rows / len(truth)) - evidence.ratio
    sign = 1 if floor.direction == ">=" else -1
    return sign * (found.ratio + reach - floor.bound) >= -ROUNDING


def _weigh(
    floor: Floor,
    counts: PairedCounts,
    labels: LabelSet,
    rng: np.random.Generator,
    *,
    truth: Classes,
    original: Classes,
    candidate: Classes,
) -> Evidence:
    rows = {"truth": truth, "original": original, "candidate": candidate}
    if not is_rate(floor):
        return weigh_resampled(floor, PairCells.collect(floor, labels=labels, **rows), counts, rng)
    evidence = weigh_share(floor, counts) if floor.relative else weigh_rate(floor, counts)
    if floor.metric == "precision":  # its rows are the candidate's own, not the original's
        cells = PairCells.collect(floor, labels=labels, **rows)
        evidence = replace(evidence, original=float(cells.original_value()))
    return evidence


def margin_cleared(
    floor: Floor,
    *,
    truth: Classes,
    original: Classes,
    candidate: Classes,
    labels: LabelSet,
    truths: Classes | None = None,
    margin_se: float = 1.0,
) -> bool:
    """Say whether the value clears the floor by some paired standard errors, for choosing.

    Args:
        floor: the demand.
        truth: int64 `[rows]`, classes.
        original: int64 `[rows]`, the original's answers.
        candidate: int64 `[rows]`, the candidate's answers.
        labels: the classes.
        truths: as for `estimate`.
        margin_se: standard errors, 0 or more.

    Returns:
        False also where the rows cannot show the metric at all.
    """
    rows = {"truth": truth, "original": original, "candidate": candidate}
    found = estimate(floor, **rows, labels=labels, truths=truths)
    if found is None:
        return False
    sign = 1 if floor.direction == ">=" else -1
    return sign * (found.ratio - floor.bound) - margin_se * found.error >= -ROUNDING


def estimate(
    floor: Floor,
    *,
    truth: Classes,
    original: Classes,
    candidate: Classes,
    labels: LabelSet,
    truths: Classes | None = None,
) -> Estimate | None:
    """Give what a floor asks about, and its standard error.

    Args:
        floor: the demand.
        truth: int64 `[rows]`, classes.
        original: int64 `[rows]`, the original's answers.
        candidate: int64 `[rows]`, the candidate's answers.
        labels: the classes.
        truths: int64 `[draws, rows]`, drawn from the original's calibrated probabilities: what
            its changed answers were worth to it is then weighed with what was counted. Only the
            counted rows speak where it is absent, or where the truth plays no part.

    Returns:
        The estimate; None where the rows cannot show the metric at all.
    """
    _check_rows(truth, original, candidate, labels)
    counted = _count(floor, truth, original, candidate, labels)
    if counted is None or truths is None or not is_foreseeable(floor):
        return counted
    if np.array_equal(original, candidate):
        return counted
    draws = len(truths)
    many = (truths.reshape(-1), np.tile(original, draws), np.tile(candidate, draws))
    foreseen = _count(floor, *many, labels)
    if foreseen is None:
        return counted
    rows = {"truth": truth, "original": original, "candidate": candidate}
    trials = count_pairs(floor, labels=labels, **rows).trials
    return shrink(counted, foreseen.ratio, trials=trials)


def _count(
    floor: Floor, truth: Classes, original: Classes, candidate: Classes, labels: LabelSet
) -> Estimate | None:
    rows = {"truth": truth, "original": original, "candidate": candidate}
    counts = count_pairs(floor, labels=labels, **rows)
    if explain_missing(floor, counts) is not None:
        return None
    if not is_rate(floor):
        cells = PairCells.collect(floor, labels=labels, **rows)
        return Estimate(float(cells.ratio()), cells.jackknife_se())
    if floor.relative:
        return Estimate(counts.kept / counts.trials, counts.retention_se)
    ratio = counts.kept / counts.rows
    return Estimate(ratio, math.sqrt(ratio * (1 - ratio) / counts.rows))


def overall(verdicts: Sequence[Verdict]) -> Answer:
    """Give the verdict on all floors together: the worst; nothing judged is nothing proven."""
    found = {verdict.verdict for verdict in verdicts}
    if "broken" in found:
        return "broken"
    return "holds" if found == {"holds"} else "unproven"


def _check_rows(truth: Classes, original: Classes, candidate: Classes, labels: LabelSet) -> None:
    shapes = (truth.shape, original.shape, candidate.shape)
    if len(set(shapes)) != 1 or truth.ndim != 1 or not len(truth):
        what = "truth and answers do not fit together"
        raise DataError(what, expected="three [rows], rows ≥ 1", got=str(shapes))
    check_codes(labels, truth, original, candidate)


def _conclude(floor: Floor, evidence: Evidence, rows: int) -> Verdict:
    nearest = evidence.low if floor.direction == ">=" else evidence.high
    answer = settle(floor, evidence)
    needed = count_rows_needed(floor, evidence, rows) if answer == "unproven" else None
    return Verdict(
        expr=floor.expr,
        verdict=answer,
        original=evidence.original,
        value=evidence.value,
        limit=floor.bound * evidence.scale,
        interval=(
            max(0.0, evidence.low * evidence.scale),
            min(1.0, evidence.high * evidence.scale),
        ),
        rows_needed=needed,
        reason=_explain(floor, evidence, nearest, needed),
        losses=evidence.counts.losses,
        gains=evidence.counts.gains,
        trials=evidence.counts.trials,
    )


def _explain(floor: Floor, evidence: Evidence, nearest: float, needed: int | None) -> str:
    counts = evidence.counts
    unit = " of the original's value" if floor.relative else ""
    word = "at least" if floor.direction == ">=" else "at most"
    text = (
        f"{counts.losses} lost and {counts.gains} gained of {counts.trials} rows: "
        f"{evidence.ratio:.2%}{unit}, with 95 % confidence {word} {nearest:.2%}; "
        f"the floor asks for {word} {floor.bound:.2%}"
    )
    if needed is not None:
        text += f"; at these rates about {needed} rows would prove it"
    return text


def _say_undefined(floor: Floor, counts: PairedCounts, reason: str) -> Verdict:
    return Verdict(
        expr=floor.expr,
        verdict="unproven",
        original=0.0,
        value=0.0,
        limit=0.0 if floor.relative else floor.bound,
        interval=(0.0, 1.0),
        rows_needed=None,
        reason=reason,
        losses=counts.losses,
        gains=counts.gains,
        trials=counts.trials,
    )
