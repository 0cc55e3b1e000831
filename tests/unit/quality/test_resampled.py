from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from thinfer.quality.floor import parse_floor
from thinfer.quality.labels import LabelSet
from thinfer.quality.resampled import PairCells

LABELS = LabelSet(("a", "b", "c"))
MANY = LabelSet(("a", "b", "c"), is_multi_label=True)


def cells(expr: str, truth: Any, original: Any, candidate: Any, labels: LabelSet = LABELS) -> Any:  # noqa: ANN401 - arrays
    rows = [np.asarray(each, dtype=np.int64) for each in (truth, original, candidate)]
    floor = parse_floor(expr, labels)
    return PairCells.collect(
        floor, truth=rows[0], original=rows[1], candidate=rows[2], labels=labels
    )


def test_alike_rows_are_one_cell_and_the_values_are_those_of_all_rows() -> None:
    found = cells("macro_f1>=90%", [0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 1, 0])
    assert found.counts.tolist() == [2, 1, 1]
    assert float(found.original_value()) == 1.0
    assert float(found.candidate_value()) == pytest.approx((4 / 5 + 2 / 3) / 2)


def test_a_class_of_a_few_rows_leaves_its_part_of_the_mean_open() -> None:
    truth = [0] * 50 + [1] * 50 + [2] * 4
    answers = [0] * 50 + [1] * 50 + [0] * 4
    found = cells("macro_f1>=90%", truth, answers, answers)
    assert found.rare_room() == pytest.approx(1 / 3)
    recall = cells("recall>=90%", truth, answers, answers)
    assert recall.rare_room() == pytest.approx(1 / 3)
    assert cells("precision[a]>=90%", truth, answers, answers).rare_room() == 0.0
    assert cells("macro_f1>=90%", truth[:100], answers[:100], answers[:100]).rare_room() == 0.0


def test_one_row_left_out_moves_the_value_as_counting_again_does() -> None:
    rng = np.random.default_rng(0)
    truth, original = rng.integers(0, 3, size=(2, 60))
    candidate = np.where(rng.random(60) < 0.9, original, truth)
    found = cells("macro_f1>=90%", truth, original, candidate)
    shifts = []
    for row in range(60):
        kept = np.arange(60) != row
        part = cells("macro_f1>=90%", truth[kept], original[kept], candidate[kept])
        shifts.append(float(part.ratio()) - float(found.ratio()))
    wanted = np.sqrt(59 / 60 * np.sum(np.square(shifts)))
    assert found.jackknife_se() == pytest.approx(wanted)


def test_sets_of_labels_count_for_each_label() -> None:
    # {a, b} {b} {} against {a} {b} {c}
    found = cells("macro_f1>=90%", [3, 2, 0], [3, 2, 0], [1, 2, 4], MANY)
    assert float(found.original_value()) == 1.0
    # a: 1 hit of 1 and 1; b: 1 hit of 2 and 1; c: a false one
    assert float(found.candidate_value()) == pytest.approx((1 + 2 / 3 + 0) / 3)
    low, high = found.interval(np.random.default_rng(0))
    assert low <= float(found.ratio()) <= high
