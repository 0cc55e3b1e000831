from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from thinfer.core.codec import from_json, to_json
from thinfer.errors import UserError
from thinfer.quality.labels import LabelSet
from thinfer.quality.operating import Decider, OperatingPoint, parse_operating_point, to_scores

LABELS = LabelSet(("normal", "spam", "abuse"), normal="normal")
MANY = LabelSet(("spam", "abuse", "ad"), is_multi_label=True)


def scores(*rows: tuple[float, ...]) -> Any:  # noqa: ANN401 - float32 array
    return np.array(rows, dtype=np.float32)


def logits_of(*rows: tuple[float, ...]) -> Any:  # noqa: ANN401 - logits whose softmax is this
    return np.log(scores(*rows))


def test_without_thresholds_the_best_logit_answers() -> None:
    logits = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    plain = Decider(LABELS)
    assert plain.answer(logits).tolist() == logits.argmax(axis=1).tolist()
    assert plain.lead(plain.scores(logits)).tolist() == logits.argmax(axis=1).tolist()
    assert plain.adjust(logits) is logits


def test_a_label_is_answered_from_its_threshold_on_though_another_scores_more() -> None:
    decider = Decider(LABELS, OperatingPoint(thresholds={"spam": 0.25}))
    logits = logits_of((0.7, 0.26, 0.04), (0.76, 0.2, 0.04), (0.2, 0.2, 0.6))
    assert decider.answer(logits).tolist() == [1, 0, 2]


def test_a_label_below_its_threshold_is_not_answered_though_it_scores_most() -> None:
    decider = Decider(LABELS, OperatingPoint(thresholds={"spam": 0.9}))
    assert decider.answer(logits_of((0.15, 0.8, 0.05), (0.05, 0.92, 0.03))).tolist() == [0, 1]


def test_of_two_that_reach_their_thresholds_the_priority_decides_else_the_score() -> None:
    thresholds = {"spam": 0.2, "abuse": 0.2}
    logits = logits_of((0.3, 0.4, 0.3), (0.9, 0.05, 0.05))
    by_score = Decider(LABELS, OperatingPoint(thresholds=thresholds))
    assert by_score.answer(logits).tolist() == [1, 0]
    first = OperatingPoint(thresholds=thresholds, priority=("abuse", "spam"))
    assert Decider(LABELS, first).answer(logits).tolist() == [2, 0]


def test_a_multi_label_answer_is_the_set_that_reaches_its_thresholds() -> None:
    logits = scores((1, -1, 0), (-1, -1, -1), (-3, 2, 4))
    plain = Decider(MANY)
    assert plain.answer(logits).tolist() == [0b101, 0, 0b110]
    assert plain.lead(plain.scores(logits)).tolist() == [0, 0, 2]
    high = Decider(MANY, OperatingPoint(thresholds={"ad": 0.99}, priority=("abuse",)))
    assert high.answer(logits).tolist() == [0b001, 0, 0b010]
    assert high.lead(high.scores(logits)).tolist() == [0, 0, 1]


def test_the_normal_label_leads_only_where_no_other_is_given() -> None:
    labels = LabelSet(("normal", "spam"), normal="normal", is_multi_label=True)
    decider = Decider(labels)
    answers = decider.lead(decider.scores(scores((5, 1), (-1, -2), (-2, -1))))
    assert answers.tolist() == [1, 0, 0]


def test_calibration_moves_scores() -> None:
    logits = scores((2, 0, 0))
    point = OperatingPoint(temperature=2.0, offsets=(0.0, 3.0, 0.0))
    moved = Decider(LABELS, point)
    assert moved.scores(logits) == pytest.approx(
        to_scores(scores((1, 3, 0)), is_sigmoid=False), abs=1e-6
    )
    assert moved.answer(logits).tolist() == [1]


def test_scores_sum_to_one_or_stand_alone() -> None:
    logits = scores((1000, 0, -1000), (0, 0, 0))
    assert Decider(LABELS).scores(logits).sum(axis=1) == pytest.approx(1.0)
    assert Decider(MANY).scores(logits).tolist() == [[1, 0.5, 0], [0.5, 0.5, 0.5]]
    assert Decider(LabelSet(("spam",))).scores(logits[:, :1]).tolist() == [[1.0], [0.5]]


def test_no_row_has_no_answer() -> None:
    none = np.empty((0, 3), dtype=np.float32)
    for decider in (Decider(LABELS), Decider(MANY), Decider(LABELS, OperatingPoint())):
        assert decider.answer(none).shape == (0,)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"thresholds": {"spam": 1.01}}, "outside 0 … 1"),
        ({"thresholds": {"spam": -0.1}}, "outside 0 … 1"),
        ({"thresholds": {"spam": float("nan")}}, "outside 0 … 1"),
        ({"thresholds": {"ham": 0.5}}, "not a label"),
        ({"thresholds": {"normal": 0.5}}, "normal label"),
        ({"priority": ("ham",)}, "not a label"),
        ({"priority": ("spam", "spam")}, "twice"),
        ({"temperature": 0.0}, "impossible"),
        ({"offsets": (1.0,)}, "do not fit"),
        ({"offsets": (1.0, float("inf"), 0.0)}, "impossible"),
    ],
)
def test_what_makes_no_sense_is_refused(options: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told):
        Decider(LABELS, OperatingPoint(**options))


def test_a_threshold_of_every_label_is_refused() -> None:
    labels = LabelSet(("spam", "abuse"))
    with pytest.raises(UserError, match="nothing is left"):
        Decider(labels, OperatingPoint(thresholds={"spam": 0.5, "abuse": 0.5}))


def test_points_are_read_from_the_command_line() -> None:
    labels = LabelSet(("a=b", "spam", "rest"))
    point = parse_operating_point(["a=b=0.5", "spam=.8"], "spam, a=b", labels)
    assert point == OperatingPoint(thresholds={"a=b": 0.5, "spam": 0.8}, priority=("spam", "a=b"))
    assert parse_operating_point([], None, labels).is_plain
    for bad in (["spam"], ["spam=much"], ["=0.5"], ["spam=2"], ["spam=0.1", "spam=0.2"]):
        with pytest.raises(UserError):
            parse_operating_point(bad, None, labels)


def test_a_point_survives_its_stored_form() -> None:
    point = OperatingPoint(thresholds={"spam": 0.25}, priority=("spam",), offsets=(0.0, 1.0, 2.0))
    assert from_json(OperatingPoint, to_json(point)) == point
    assert not point.is_plain
    assert OperatingPoint().is_plain
