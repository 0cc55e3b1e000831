"""`judge_labelled` and `judge_unlabelled`: does a floor hold on traffic that nobody labelled whole.

With labels, the retention and its bound come from `AuditCounts`. Without any, a row that the
original flagged and the candidate does not is taken for lost, and

    R ≥ 1 - upper(changed among the rows that the original flagged) / lower(its precision)

with half of the error on each side. That is a bound only: it cannot say that a floor is broken.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal, Self

from thinfer.quality.audit import ERROR, AuditCounts
from thinfer.quality.evidence import Answer
from thinfer.quality.floor import Floor
from thinfer.quality.intervals import clopper_pearson_lower, clopper_pearson_upper
from thinfer.quality.paired import bound_loss
from thinfer.quality.stakes import Populations
from thinfer.quality.verdict import Verdict

__all__ = ["AuditVerdict", "Precision", "judge_labelled", "judge_unlabelled", "take_verdict"]

_ROUNDING = 1e-9  # 1 - 0.995 is not 0.005 to the last bit; no count is so near a floor
_MOST_ROWS = 10**9
_SIDE = 1 - ERROR / 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Precision:
    """How often the original is right where it gives the answer that a floor is about.

    Attributes:
        lower: lower bound of the share, in (0, 1]; it must hold with 97.5 %.
        source: where it comes from: `given`, `test` or `manifest`.
        found: rows on which it was right; absent where the bound was given.
        rows: rows on which it gave the answer; absent likewise.
    """

    lower: float
    source: Literal["given", "test", "manifest"]
    found: int | None = None
    rows: int | None = None

    @classmethod
    def of_counts(cls, found: int, rows: int, source: Literal["test", "manifest"]) -> Self | None:
        """Bound the share from counts (97.5 %, one-sided); nothing found bounds nothing."""
        if not found:
            return None
        lower = clopper_pearson_lower(found, rows, _SIDE)
        return cls(lower=lower, source=source, found=found, rows=rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditVerdict:
    """What an audit says about one floor.

    Attributes:
        expr: the floor, as the user wrote it.
        verdict: `holds`, `unproven` or `broken` (the estimate is below the floor, whatever the
            labels that are missing will say).
        basis: `labels`; `bound` (no labels, a precision); `answers` (they alone decide, or no
            more than they is known).
        limit: the share of the original's value that the floor asks for, or the value itself.
        retention: the estimate on the scale of `limit`; absent without labels, or where missing
            ones could move it.
        interval: one-sided 95 % bounds of it; an end that nothing bounds is absent.
        populations: rows of the traffic of each kind.
        losses: rows lost in the whole traffic, estimated; absent without labels.
        gains: rows gained, likewise.
        trials: T, likewise.
        missing: labels that were asked for and are not there.
        losses_allowed: without labels: how many of the rows in `may_lose` may turn out truly
            lost for the floor to hold, none being gained; absent where even 0 proves nothing.
        rows_needed: rows of traffic that would prove it at the rates seen; absent where it holds
            or is broken, or no traffic would do.
        labels_needed: how many of these rows were to be labelled, every changed one among them.
        precision: what the bound without labels rests on.
        reason: one sentence.
    """

    KIND: ClassVar[str] = "thinfer.audit.verdict"
    VERSION: ClassVar[int] = 1

    expr: str
    verdict: Answer
    basis: Literal["labels", "bound", "answers"]
    limit: float
    retention: float | None
    interval: tuple[float | None, float | None]
    populations: Populations
    losses: float | None = None
    gains: float | None = None
    trials: float | None = None
    missing: int = 0
    losses_allowed: int | None = None
    rows_needed: int | None = None
    labels_needed: int | None = None
    precision: Precision | None = None
    reason: str


def judge_labelled(floor: Floor, counts: AuditCounts, populations: Populations) -> AuditVerdict:
    """Judge a floor by labels; those that are missing stand for the worst.

    Args:
        floor: relative, on `flagged_recall`, `recall[LABEL]` or `accuracy`.
        counts: what the labels say.
        populations: rows of the traffic of each kind.
    """
    low, high = counts.retention_low(), counts.retention_high()
    best = counts.at_best().retention
    if best is not None and best < floor.bound - _ROUNDING:
        answer: Answer = "broken"
    else:
        answer = "holds" if low >= floor.bound - _ROUNDING else "unproven"
    is_complete = not counts.missing
    needed = None
    if answer == "unproven" and is_complete:
        needed = _count_rows_needed(floor, counts, populations.rows)
    return AuditVerdict(
        expr=floor.expr,
        verdict=answer,
        basis="labels",
        limit=floor.bound,
        retention=counts.retention if is_complete else None,
        interval=(max(0.0, low), high if math.isfinite(high) else None),
        populations=populations,
        losses=counts.lost.estimate if is_complete else None,
        gains=counts.gained.estimate if is_complete else None,
        trials=counts.trials if is_complete else None,
        missing=counts.missing,
        rows_needed=needed,
        labels_needed=None if needed is None else _count_labels(counts, populations, needed),
        reason=_explain(floor, counts, low, needed),
    )


def judge_unlabelled(
    floor: Floor, populations: Populations, precision: Precision | None
) -> AuditVerdict:
    """Bound a floor without any label.

    Args:
        floor: relative, on `flagged_recall`, `recall[LABEL]` or `accuracy`.
        populations: rows of the traffic of each kind.
        precision: of the original's answers that the floor is about; nothing can be bounded
            where it is absent.
    """
    changed, answered = populations.may_lose, populations.answered
    low, allowed, needed = None, None, None
    if precision is not None and answered:
        loss = clopper_pearson_upper(changed, answered, _SIDE)
        low = max(0.0, 1 - loss / precision.lower)
        allowed = _count_losses_allowed(floor, populations, precision)
        needed = _count_rows_for_no_loss(floor, populations, precision)
    is_held = low is not None and low >= floor.bound - _ROUNDING
    return AuditVerdict(
        expr=floor.expr,
        verdict="holds" if is_held else "unproven",
        basis="answers" if low is None else "bound",
        limit=floor.bound,
        retention=None,
        interval=(low, None),
        populations=populations,
        losses_allowed=allowed,
        rows_needed=None if is_held or allowed is not None else needed,
        precision=precision,
        reason=_explain_bound(floor, populations, precision, low),
    )


def take_verdict(verdict: Verdict, floor: Floor, populations: Populations) -> AuditVerdict:
    """Give the verdict of a floor that needs no labels in the form of the others.

    Args:
        verdict: what `judge` said.
        floor: on `flag_rate` or `agreement`.
        populations: rows of the traffic of each kind.
    """
    scale = verdict.original if floor.relative and verdict.original else 1.0
    low, high = (end / scale for end in verdict.interval)
    return AuditVerdict(
        expr=verdict.expr,
        verdict=verdict.verdict,
        basis="answers",
        limit=floor.bound,
        retention=verdict.value / scale,
        interval=(low, high),
        populations=populations,
        losses=verdict.losses,
        gains=verdict.gains,
        trials=verdict.trials,
        rows_needed=verdict.rows_needed,
        reason=verdict.reason,
    )


def _count_rows_needed(floor: Floor, counts: AuditCounts, rows: int) -> int | None:
    """Find so much traffic, of the same rates and with samples no larger, that would prove it."""

    def is_enough(total: int) -> bool:
        return counts.scaled(total / rows).retention_low() >= floor.bound - _ROUNDING

    low, high = rows, rows + 1
    while not is_enough(high):
        # A small step, because the bound is not monotone where the exact rule hands over.
        low, high = high, high + max(1, high // 20)
        if high > _MOST_ROWS:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if is_enough(middle) else (middle, high)
    return high


def _count_labels(counts: AuditCounts, populations: Populations, rows: int) -> int:
    size = rows / populations.rows
    return math.ceil(populations.changed * size) + counts.scaled(size).kept.asked


def _count_losses_allowed(floor: Floor, populations: Populations, known: Precision) -> int | None:
    """Find how many rows may be truly lost, T being no larger than the precision warrants."""
    trials = math.floor(known.lower * populations.answered)
    if not trials or bound_loss(0, 0, trials, _SIDE) > 1 - floor.bound + _ROUNDING:
        return None
    low, high = 0, min(populations.may_lose, trials) + 1
    while high - low > 1:
        middle = (low + high) // 2
        is_held = bound_loss(middle, 0, trials, _SIDE) <= 1 - floor.bound + _ROUNDING
        low, high = (middle, high) if is_held else (low, middle)
    return low


def _count_rows_for_no_loss(floor: Floor, populations: Populations, known: Precision) -> int | None:
    """Find the traffic on which no true loss at all would prove the floor."""
    if floor.bound >= 1:
        return None
    trials = math.ceil(math.log(ERROR / 2) / math.log(floor.bound))
    return math.ceil(trials / known.lower * populations.rows / populations.answered)


def _explain(floor: Floor, counts: AuditCounts, low: float, needed: int | None) -> str:
    if counts.retention is None and not counts.missing:
        return "no row of this traffic is known to be one that the original was right about"
    text = (
        f"about {counts.lost.estimate:,.0f} lost and {counts.gained.estimate:,.0f} gained of about "
        f"{counts.trials:,.0f} rows: {counts.retention or 0.0:.2%} of the original's value"
    )
    if counts.missing:
        text = f"{counts.missing:,} labels are missing and stand for the worst"
    text += (
        f", with 95 % confidence at least {max(0.0, low):.2%}; "
        f"the floor asks for at least {floor.bound:.2%}"
    )
    if needed is not None:
        text += f"; at these rates about {needed:,} rows of traffic would prove it"
    return text


def _explain_bound(
    floor: Floor, populations: Populations, precision: Precision | None, low: float | None
) -> str:
    seen = f"{populations.may_lose:,} of {populations.answered:,} answers of the original changed"
    if not populations.answered:
        return "the original gave no answer here that the floor is about"
    if precision is None or low is None:
        return f"{seen}; without labels or a precision nothing bounds what that costs"
    return (
        f"{seen}; at a precision of at least {precision.lower:.2%}, with 95 % confidence at least "
        f"{low:.2%} is kept, were every change a loss; the floor asks for at least "
        f"{floor.bound:.2%}"
    )
