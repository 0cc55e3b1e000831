from __future__ import annotations

import numpy as np
import pytest

from thinfer.errors import UserError
from thinfer.quality import LabelSet, default_floors, parse_floor, warn_about_floors

LABELS = LabelSet(("normal", "spam", "a>=b %[x", "垃圾 广告"), "normal")


@pytest.mark.parametrize(
    ("expr", "metric", "label", "relative", "bound"),
    [
        ("accuracy>=99.5%", "accuracy", None, True, 0.995),
        (" macro_f1 >= 0.9 ", "macro_f1", None, False, 0.9),
        ("recall>=99%", "recall", None, True, 0.99),
        ("recall[spam]>=0.995", "recall", "spam", False, 0.995),
        ("precision[垃圾 广告]>=.5", "precision", "垃圾 广告", False, 0.5),
        ("recall[a>=b %[x]>=98%", "recall", "a>=b %[x", True, 0.98),
        ("flagged_recall>=100%", "flagged_recall", None, True, 1.0),
        ("flag_rate<=105%", "flag_rate", None, True, 1.05),
        ("flag_rate>=95%", "flag_rate", None, True, 0.95),
        ("agreement>=99.9%", "agreement", None, True, 0.999),
    ],
)
def test_expressions(
    expr: str, metric: str, label: str | None, relative: bool, bound: float
) -> None:
    floor = parse_floor(expr, LABELS)
    assert (floor.metric, floor.label, floor.relative) == (metric, label, relative)
    assert floor.bound == pytest.approx(bound)
    assert floor.direction == ("<=" if "<=" in expr.split("]")[-1] else ">=")
    assert floor.expr == expr.strip()


@pytest.mark.parametrize(
    ("expr", "says"),
    [
        ("", "METRIC>=BOUND"),
        ("accuracy", "METRIC>=BOUND"),
        ("accuracy>99%", "METRIC>=BOUND"),
        ("accuracy>=-1", "METRIC>=BOUND"),
        ("accuracy>=nan", "METRIC>=BOUND"),
        ("accuracy>=99.5", "percentage"),
        ("accuracy>=0", "above 0"),
        ("speed>=99%", "a metric of"),
        ("accuracy<=99%", "ceiling"),
        ("accuracy[spam]>=99%", "without a label"),
        ("precision>=99%", "precision\\[LABEL\\]"),
        ("recall[ spam]>=99%", "a label of"),
        ("recall[nothing]>=99%", "a label of"),
    ],
)
def test_nonsense_is_refused_with_what_would_do(expr: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        parse_floor(expr, LABELS)


def test_flag_floors_need_a_normal_label() -> None:
    for expr in ("flagged_recall>=99%", "flag_rate<=105%"):
        with pytest.raises(UserError, match="--normal-label"):
            parse_floor(expr, LabelSet(("a", "b")))


def test_default_floors() -> None:
    named = [floor.expr for floor in default_floors(LABELS)]
    assert named == ["flagged_recall>=99.5%", "flag_rate<=105%"]
    assert [floor.expr for floor in default_floors(LabelSet(("a", "b")))] == ["accuracy>=99.5%"]


def test_accuracy_floor_warns_where_one_class_exceeds_nine_tenths() -> None:
    floors = [parse_floor(expr, LABELS) for expr in ("accuracy>=99%", "recall[spam]>=99%")]
    truth = np.asarray([0] * 91 + [1] * 9)
    (warning,) = warn_about_floors(floors, truth, LABELS)
    assert "accuracy>=99%" in warning
    assert "91.0%" in warning
    assert warn_about_floors(floors, truth[1:], LABELS) != ()
    assert warn_about_floors(floors, np.asarray([0] * 90 + [1] * 10), LABELS) == ()
    assert warn_about_floors(floors, truth[:0], LABELS) == ()


@pytest.mark.parametrize(
    ("expr", "bound"),
    [("accuracy>=99.6%", 0.999), ("flag_rate<=104%", 1.01), ("accuracy>=0.9", 0.9)],
)
def test_a_tightened_floor_allows_a_part_of_what_it_allowed(expr: str, bound: float) -> None:
    floor = parse_floor(expr, LABELS).tightened(0.25)
    assert floor.bound == pytest.approx(bound)
    assert floor.expr == expr
