from __future__ import annotations

import numpy as np
import pytest

from thinfer.core.codec import from_json, to_json
from thinfer.errors import DataError
from thinfer.quality import LabelSet, Metrics, measure_quality

LABELS = LabelSet(("normal", "spam", "abuse", "unused"), "normal")


def test_figures_by_hand() -> None:
    truth = np.asarray([0, 0, 0, 1, 1, 2])
    predicted = np.asarray([0, 0, 1, 1, 2, 0])
    found = measure_quality(truth, predicted, LABELS)
    assert found.accuracy == pytest.approx(3 / 6)
    assert found.recall == pytest.approx({"normal": 2 / 3, "spam": 1 / 2, "abuse": 0.0})
    assert found.precision == pytest.approx({"normal": 2 / 3, "spam": 1 / 2, "abuse": 0.0})
    assert found.macro_f1 == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)  # `unused` never occurs
    assert found.flagged_recall == pytest.approx(2 / 3)  # spam called abuse is still caught
    assert found.flag_rate == pytest.approx(3 / 6)
    assert found.n == 6


def test_macro_f1_counts_a_class_that_is_only_answered() -> None:
    found = measure_quality(np.asarray([0, 0]), np.asarray([0, 3]), LABELS)
    assert found.macro_f1 == pytest.approx((2 / 3 + 0) / 2)
    assert "unused" not in found.recall
    assert found.flagged_recall is None  # nothing to flag in the truth


def test_without_a_normal_label_flag_figures_are_absent() -> None:
    found = measure_quality(np.asarray([0]), np.asarray([0]), LabelSet(("a", "b")))
    assert found.flag_rate is None
    assert found.flagged_recall is None


def test_json_there_and_back() -> None:
    found = measure_quality(np.asarray([0, 1]), np.asarray([0, 2]), LABELS)
    assert from_json(Metrics, to_json(found)) == found


@pytest.mark.parametrize(("truth", "predicted"), [([], []), ([0], [0, 1]), ([4], [0]), ([0], [-1])])
def test_rows_that_do_not_fit_are_refused(truth: list[int], predicted: list[int]) -> None:
    with pytest.raises(DataError):
        measure_quality(
            np.asarray(truth, dtype=np.int64), np.asarray(predicted, dtype=np.int64), LABELS
        )
