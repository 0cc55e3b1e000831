from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from thinfer.errors import DataError, UserError
from thinfer.quality.floor import parse_floor
from thinfer.quality.labels import LabelSet
from thinfer.quality.subject import find_rows, judge_subject
from thinfer.quality.verdict import Verdict, judge

LABELS = LabelSet(("normal", "spam", "a|b"), normal="normal")


def judged(expr: str, truth: Any, original: Any, candidate: Any, **columns: Any) -> Verdict:  # noqa: ANN401 - arrays
    return judge_subject(
        parse_floor(expr, LABELS),
        truth=np.asarray(truth),
        original=np.asarray(original),
        candidate=np.asarray(candidate),
        labels=LABELS,
        columns=columns,
        rng=np.random.default_rng(0),
    )


def test_slices_are_read_from_the_brackets() -> None:
    floor = parse_floor("recall[spam|source=comment]>=99.5%", LABELS)
    assert (floor.label, floor.slice) == ("spam", ("source", "comment"))
    assert parse_floor("accuracy[|source=a=b]>=0.9", LABELS).slice == ("source", "a=b")
    assert parse_floor("recall[a|b]>=0.9", LABELS).label == "a|b"
    both = parse_floor("recall[a|b|source=x]>=0.9", LABELS)
    assert (both.label, both.slice) == ("a|b", ("source", "x"))
    for bad in ("recall[spam|]>=0.9", "recall[spam|=x]>=0.9", "recall[ham|source=x]>=0.9"):
        with pytest.raises(UserError):
            parse_floor(bad, LABELS)


def test_rates_are_read_behind_the_label() -> None:
    assert parse_floor("recall[spam]@fpr=0.01>=99.5%", LABELS).fpr == 0.01
    assert parse_floor("recall[spam|s=x] @ fpr = 1% >= 0.9", LABELS).fpr == 0.01
    for bad in ("accuracy@fpr=0.01>=0.9", "recall[normal]@fpr=0.01>=0.9", "recall[spam]@fpr=0>=1"):
        with pytest.raises(UserError):
            parse_floor(bad, LABELS)


def test_a_slice_is_judged_as_its_rows_alone() -> None:
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 3, size=600)
    original = np.where(rng.random(600) < 0.9, truth, 0)
    candidate = np.where(rng.random(600) < 0.95, original, 2)
    source = ["x" if each else "y" for each in rng.random(600) < 0.3]
    rows = np.asarray([each == "x" for each in source])
    found = judged("recall[spam|source=x]>=90%", truth, original, candidate, source=source)
    alone = judge(
        parse_floor("recall[spam]>=90%", LABELS),
        truth=truth[rows],
        original=original[rows],
        candidate=candidate[rows],
        labels=LABELS,
        rng=np.random.default_rng(0),
    )
    assert (found.trials, found.losses, found.gains) == (alone.trials, alone.losses, alone.gains)
    assert (found.verdict, found.interval) == (alone.verdict, alone.interval)


def test_a_column_or_value_that_is_not_there_is_named() -> None:
    floor = parse_floor("accuracy[|source=z]>=99%", LABELS)
    with pytest.raises(DataError, match="the data lacks"):
        find_rows(floor, {"origin": ["x"]}, 1)
    with pytest.raises(DataError, match="'x', 'y'"):
        find_rows(floor, {"source": ["y", "x"]}, 2)
    assert find_rows(parse_floor("accuracy>=99%", LABELS), {}, 3).all()


def test_more_false_alarms_than_declared_break_the_floor() -> None:
    truth = np.repeat([0, 1], [1000, 1000])
    original = truth.copy()
    fine, loud = original.copy(), original.copy()
    fine[:12] = 1  # 1.2 % of the rows without the label: chance explains it
    loud[:30] = 1
    expr = "recall[spam]@fpr=0.01>=99.5%"
    held = judged(expr, truth, original, fine)
    assert (held.verdict, held.false_positive_rate) == ("holds", 0.012)
    broken = judged(expr, truth, original, loud)
    assert (broken.verdict, broken.rows_needed) == ("broken", None)
    assert "declared 1.00%" in broken.reason
    assert broken.false_positive_interval is not None
    assert broken.false_positive_interval[0] > 0.01


def test_without_rows_of_another_label_no_rate_is_told() -> None:
    found = judged("recall[spam]@fpr=0.01>=90%", [1, 1], [1, 1], [1, 1])
    assert found.false_positive_rate is None
