"""Confidence against how often a model is right, by hand and on models whose truth is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from thinfer.errors import DataError
from thinfer.quality.calibration import measure_calibration, measure_label_calibration


def logits_of(chances: NDArray[np.float64]) -> NDArray[np.float32]:
    return np.log(chances).astype(np.float32)


def draw(rows: int, scale: float) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Logits that say the chances of the truth, multiplied by a scale."""
    rng = np.random.default_rng(0)
    logits = rng.standard_normal((rows, 3)) * 2
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    truth = (rng.random((rows, 1)) > chances.cumsum(axis=1)).sum(axis=1)
    return (logits * scale).astype(np.float32), truth.astype(np.int64)


def test_one_bin_by_hand() -> None:
    chances = np.tile([0.8, 0.2], (10, 1))
    truth = np.array([0] * 6 + [1] * 4)
    found = measure_calibration(logits_of(chances), truth)
    assert found.ece == pytest.approx(0.2, abs=1e-6)
    assert found.ece_by_chance == pytest.approx(math.sqrt(2 / math.pi * 0.16 / 10), abs=1e-6)
    assert found.nll == pytest.approx(-0.6 * math.log(0.8) - 0.4 * math.log(0.2), abs=1e-6)
    assert (found.rows, found.label) == (10, None)


def test_the_order_of_the_rows_plays_no_part() -> None:
    logits, truth = draw(400, 1.5)
    logits = logits.round(0)  # many rows of one and the same score
    mixed = np.random.default_rng(1).permutation(len(truth))
    first, second = (
        measure_calibration(logits, truth),
        measure_calibration(logits[mixed], truth[mixed]),
    )
    assert first.ece == pytest.approx(second.ece)
    assert first.ece_by_chance == pytest.approx(second.ece_by_chance)


def test_a_model_that_knows_its_chances_shows_what_chance_shows() -> None:
    found = measure_calibration(*draw(4_000, 1.0))
    assert found.temperature == pytest.approx(1.0, rel=0.08)
    assert found.ece == pytest.approx(found.ece_by_chance, rel=0.6)


def test_a_model_that_is_too_sure_is_found_out() -> None:
    found = measure_calibration(*draw(4_000, 3.0))
    assert found.temperature == pytest.approx(3.0, rel=0.1)
    assert found.ece > 10 * found.ece_by_chance
    assert found.nll > measure_calibration(*draw(4_000, 1.0)).nll


def test_one_row_and_a_model_that_is_always_right() -> None:
    found = measure_calibration(np.array([[0.0, 200.0]], dtype=np.float32), np.array([1]))
    assert (found.ece, found.nll) == (0.0, 0.0)


def test_each_label_with_a_sigmoid_is_measured_by_itself() -> None:
    rng = np.random.default_rng(2)
    true = rng.standard_normal((4_000, 2)) * 2
    members = rng.random((4_000, 2)) < 1 / (1 + np.exp(-true))
    logits = (true * [1.0, 3.0]).astype(np.float32)
    calm, sure = measure_label_calibration(logits, members, ("calm", "sure"))
    assert (calm.label, sure.label) == ("calm", "sure")
    assert calm.temperature == pytest.approx(1.0, rel=0.08)
    assert sure.temperature == pytest.approx(3.0, rel=0.1)
    assert sure.ece > 5 * calm.ece
    # A sigmoid is the softmax of the pair (0, z).
    pair = np.stack([np.zeros(4_000), logits[:, 1]], axis=1).astype(np.float32)
    assert sure.nll == pytest.approx(measure_calibration(pair, members[:, 1].astype(np.int64)).nll)


def test_what_does_not_fit_is_refused() -> None:
    logits = np.zeros((3, 2), dtype=np.float32)
    with pytest.raises(DataError, match="do not fit"):
        measure_calibration(logits, np.zeros(2, dtype=np.int64))
    with pytest.raises(DataError, match="do not fit"):
        measure_calibration(logits[:0], np.zeros(0, dtype=np.int64))
    with pytest.raises(DataError, match="do not fit"):
        measure_label_calibration(logits, np.zeros((3, 2), dtype=np.bool_), ("only",))
