from __future__ import annotations

import numpy as np
import pytest

from thinfer.quality.answers import encode_answers, measure_micro_f1
from thinfer.quality.labels import LabelSet

LOGITS = np.asarray([[0.5, 2.0, -1.0], [-3.0, -0.1, -2.0], [0.0, np.nan, 1.0]], dtype=np.float32)


def test_one_label_is_the_largest_and_several_are_the_signs() -> None:
    assert encode_answers(LOGITS[:2]).tolist() == [1, 1]
    assert encode_answers(LOGITS, is_multi_label=True).tolist() == [3, 0, 5]
    assert encode_answers(LOGITS[None, :2], is_multi_label=True).shape == (1, 2)
    labels = LabelSet(("a", "b", "c"), is_multi_label=True)
    codes = encode_answers(LOGITS, is_multi_label=True)
    assert np.array_equal(labels.members(codes), LOGITS >= 0)


def test_micro_f1_is_that_of_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    answers, truth = rng.integers(0, 16, (2, 50))
    labels = LabelSet(tuple("abcd"), is_multi_label=True)
    wanted = metrics.f1_score(labels.members(truth), labels.members(answers), average="micro")
    assert measure_micro_f1(answers, truth) == pytest.approx(wanted)


def test_nothing_said_and_nothing_true_is_right() -> None:
    none = np.zeros(3, dtype=np.int64)
    assert measure_micro_f1(none, none) == 1.0
    assert measure_micro_f1(none, none + 1) == 0.0
