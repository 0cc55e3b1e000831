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
    """

    metric: str
    label: str | None
    relative: bool
    bound: float
    direction: Literal[">=", "<="]
    expr: str

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
            contain anything but `]`.
        labels: the classes of the model.

    Returns:
        The floor; `labels` has its label.

    Raises:
        UserError: the expression, its metric, label, direction or bound makes no sense.
    """
    match = _EXPRESSION.fullmatch(expr)
    if match is None:
        raise _refuse(expr, "METRIC>=BOUND", "no such form")
    metric, label, direction = match["metric"], match["label"], match["direction"]
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


def _refuse(expr: str, expected: str, got: str) -> UserError:
    what = f"the floor '{expr}' makes no sense"
    return UserError(what, expected=expected, got=got, do=_FORMS)
