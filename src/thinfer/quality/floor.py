"""`Floor`: what the owner demands of quality, read from an expression."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from thinfer.errors import UserError
from thinfer.quality.labels import LabelSet

__all__ = ["Floor", "default_floors", "parse_floor", "warn_about_floors"]

METRICS = (
    "accuracy",
    "macro_f1",
    "recall",
    "precision",
    "flagged_recall",
    "flag_rate",
    "agreement",
)
_EXPRESSION = re.compile(
    r"\s*(?P<metric>\w+)\s*(?:\[(?P<label>[^\]]+)\])?"
    r"\s*(?:@\s*fpr\s*=\s*(?P<fpr>\d+(?:\.\d*)?|\.\d+)\s*(?P<fpr_percent>%?))?"
    r"\s*(?P<direction>>=|<=)\s*(?P<number>\d+(?:\.\d*)?|\.\d+)\s*(?P<percent>%?)\s*"
)
_FORMS = "for example accuracy>=99.5% (of the original), recall[spam]>=0.995, flag_rate<=105%"


@dataclass(frozen=True, slots=True, kw_only=True)
class Floor:
    """One demand.

    Attributes:
        metric: one of `METRICS`.
        label: the class of `recall[…]` and `precision[…]`; absent elsewhere.
        relative: whether the bound is a share of the original's value.
        bound: 0.995 for both `99.5%` (relative) and `0.995` (absolute).
        direction: `<=` only for `flag_rate`.
        expr: as the user wrote it, outer blanks removed.
        slice: column and value of the rows that it is about; all rows when absent.
        fpr: false-positive rate, 0 … 1, at which the threshold of the label is set; absent where
            the model's own answers are judged.
    """

    metric: str
    label: str | None
    relative: bool
    bound: float
    direction: Literal[">=", "<="]
    expr: str
    slice: tuple[str, str] | None = None
    fpr: float | None = None

    def tightened(self, spend: float) -> Floor:
        """Give the floor that allows only a part of what this one allows.

        Args:
            spend: the part, in (0, 1]; a fixed value stays as it is.
        """
        if not self.relative:
            return self
        return replace(self, bound=1.0 - spend * (1.0 - self.bound))


def parse_floor(expr: str, labels: LabelSet) -> Floor:
    """Read a floor.

    Args:
        expr: `METRIC[LABEL]>=BOUND`; a bound with `%` is relative to the original. A label may
            contain anything but `]`. `[LABEL|COLUMN=VALUE]` is about the rows whose column holds
            the value, `[|COLUMN=VALUE]` that for metrics without a label;
            `recall[LABEL]@fpr=0.01` is recall where so many of the other rows are answered as it.
        labels: the classes of the model.

    Returns:
        The floor; `labels` has its label.

    Raises:
        UserError: the expression, its metric, label, direction or bound makes no sense.
    """
    match = _EXPRESSION.fullmatch(expr)
    if match is None:
        raise _refuse(expr, "METRIC>=BOUND", "no such form")
    metric, direction = match["metric"], match["direction"]
    label, rows = _split_brackets(expr, match["label"], labels)
    if metric not in METRICS:
        raise _refuse(expr, f"a metric of {list(METRICS)}", metric)
    if label is not None and metric not in ("recall", "precision"):
        raise _refuse(expr, f"{metric} without a label", f"[{label}]")
    if label is None and metric == "precision":
        raise _refuse(expr, "precision[LABEL]", "precision without a label")
    if label is not None and label not in labels.names:
        raise _refuse(expr, f"a label of {list(labels.names)}", label)
    if metric.startswith("flag") and labels.normal is None:
        raise _refuse(expr, "--normal-label, which says what is not a flag", "none")
    if direction == "<=" and metric != "flag_rate":
        raise _refuse(expr, f"{metric}>=…: only flag_rate has a ceiling", direction)
    fpr = _read_fpr(expr, match, metric, label, labels)
    bound = float(match["number"]) / (100 if match["percent"] else 1)
    if not match["percent"] and bound > 1:
        raise _refuse(expr, "a share 0 … 1, or a percentage with %", match["number"])
    if bound <= 0:
        raise _refuse(expr, "a bound above 0", match["number"])
    return Floor(
        metric=metric,
        label=label,
        relative=bool(match["percent"]),
        bound=bound,
        direction="<=" if direction == "<=" else ">=",
        expr=expr.strip(),
        slice=rows,
        fpr=fpr,
    )


def default_floors(labels: LabelSet) -> tuple[Floor, ...]:
    """Give the floors for a user who names none.

    Args:
        labels: with a normal label, what is flagged counts; without, accuracy does.
    """
    named = ("flagged_recall>=99.5%", "flag_rate<=105%") if labels.normal else ("accuracy>=99.5%",)
    return tuple(parse_floor(expr, labels) for expr in named)


def warn_about_floors(
    floors: Sequence[Floor], truth: NDArray[np.int64], labels: LabelSet
) -> tuple[str, ...]:
    """Say which floors prove little on this data.

    Args:
        floors: what will be judged.
        truth: int64 `[rows]`, classes.
        labels: the classes.

    Returns:
        One sentence a warning.
    """
    if not len(truth):
        return ()
    counts = np.bincount(truth, minlength=len(labels))
    share, largest = counts.max() / len(truth), labels.names[int(counts.argmax())]
    if share <= 0.9:
        return ()
    return tuple(
        f"'{floor.expr}' proves little: {share:.1%} of the rows are {largest!r}; "
        "a floor on recall of the other labels would"
        for floor in floors
        if floor.metric in ("accuracy", "agreement")
    )


def _split_brackets(
    expr: str, inside: str | None, labels: LabelSet
) -> tuple[str | None, tuple[str, str] | None]:
    """Label and slice of what stands in brackets; a label that holds a bar is taken whole."""
    if inside is None or inside in labels.names or "|" not in inside:
        return inside, None
    label, _, rows = inside.rpartition("|")
    column, equals, value = rows.partition("=")
    if not equals or not column.strip():
        raise _refuse(expr, "[LABEL|COLUMN=VALUE]", f"[{inside}]")
    return label or None, (column.strip(), value)


def _read_fpr(
    expr: str, match: re.Match[str], metric: str, label: str | None, labels: LabelSet
) -> float | None:
    if match["fpr"] is None:
        return None
    if metric != "recall" or label is None:
        raise _refuse(expr, "@fpr with recall[LABEL]", metric)
    if label == labels.normal:
        raise _refuse(expr, "@fpr with a label that is a finding", f"the normal label {label!r}")
    fpr = float(match["fpr"]) / (100 if match["fpr_percent"] else 1)
    if not 0.0 < fpr < 1.0:
        raise _refuse(expr, "a false-positive rate between 0 and 1", match["fpr"])
    return fpr


def _refuse(expr: str, expected: str, got: str) -> UserError:
    what = f"the floor '{expr}' makes no sense"
    return UserError(what, expected=expected, got=got, do=_FORMS)
