"""`judge_subject`: a floor judged on the rows that it is about, at the rate that it names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from thinfer.errors import DataError
from thinfer.quality.floor import Floor
from thinfer.quality.intervals import clopper_pearson_lower, clopper_pearson_upper
from thinfer.quality.labels import LabelSet
from thinfer.quality.verdict import Verdict, judge

__all__ = ["Columns", "find_rows", "judge_subject"]

Classes = NDArray[np.int64]
Columns = Mapping[str, Sequence[str]]

_NAMED = 10  # values of a column that a message lists


def find_rows(floor: Floor, columns: Columns, rows: int) -> NDArray[np.bool_]:
    """Give the rows that a floor is about.

    Args:
        floor: perhaps with a slice.
        columns: column → its value in each row.
        rows: of the set.

    Returns:
        bool `[rows]`.

    Raises:
        DataError: the column of the slice is not there, or no row holds its value.
    """
    if floor.slice is None:
        return np.ones(rows, dtype=np.bool_)
    column, value = floor.slice
    if column not in columns:
        what = f"the floor '{floor.expr}' names the column {column!r}, which the data lacks"
        raise DataError(what, expected=column, got=f"columns {sorted(columns)}")
    found = np.asarray([each == value for each in columns[column]], dtype=np.bool_)
    if not found.any():
        values = sorted(set(columns[column]))
        told = ", ".join(repr(each) for each in values[:_NAMED])
        told += f" and {len(values) - _NAMED} more" if len(values) > _NAMED else ""
        what = f"no row has {value!r} in the column {column!r} of the floor '{floor.expr}'"
        raise DataError(what, expected="a value that occurs", got=told or "no value")
    return found


def judge_subject(
    floor: Floor,
    *,
    truth: Classes,
    original: Classes,
    candidate: Classes,
    labels: LabelSet,
    columns: Columns,
    rng: np.random.Generator,
) -> Verdict:
    """Judge a floor on its slice; with a false-positive rate, that must not be exceeded either.

    The threshold was set on `dev`, so on other rows the rate comes out a little lower or higher.
    The verdict is `broken` where it is higher than declared with 95 % confidence (one-sided,
    Clopper–Pearson); otherwise recall alone decides.

    Args:
        floor: the demand.
        truth: int64 `[rows]`, answers that are right.
        original: int64 `[rows]`, the original's answers.
        candidate: int64 `[rows]`, the candidate's answers.
        labels: the classes.
        columns: column → its value in each row.
        rng: for metrics that are judged by resampling.

    Returns:
        The verdict; `rows_needed` counts rows of the slice.
    """
    rows = find_rows(floor, columns, len(truth))
    verdict = judge(
        floor,
        truth=truth[rows],
        original=original[rows],
        candidate=candidate[rows],
        labels=labels,
        rng=rng,
    )
    if floor.fpr is None or floor.label is None:
        return verdict
    place = labels.index(floor.label)
    negative = ~labels.members(truth[rows])[:, place]
    alarms = int((labels.members(candidate[rows])[:, place] & negative).sum())
    return _with_rate(verdict, floor.fpr, alarms, int(negative.sum()))


def _with_rate(verdict: Verdict, declared: float, alarms: int, negatives: int) -> Verdict:
    if not negatives:
        return verdict
    low = clopper_pearson_lower(alarms, negatives)
    high = clopper_pearson_upper(alarms, negatives)
    is_over = low > declared
    told = f"{alarms:,} of {negatives:,} rows without the label are answered as it"
    told += f" ({alarms / negatives:.2%}, declared {declared:.2%}"
    told += f", with 95 % confidence at least {low:.2%})" if is_over else ")"
    return replace(
        verdict,
        verdict="broken" if is_over else verdict.verdict,
        rows_needed=None if is_over else verdict.rows_needed,
        reason=f"{verdict.reason}; {told}",
        false_positive_rate=alarms / negatives,
        false_positive_interval=(low, high),
    )
