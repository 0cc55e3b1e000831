"""The parity gate: distances, flips, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

from thinfer.errors import EngineError
from thinfer.export.parity import compare_logits, require_parity

REFERENCE = np.array([[1.0, 0.0], [0.0, 1.0], [2.0, 1.9]], dtype=np.float32)


def test_equal_logits_are_at_no_distance() -> None:
    parity = compare_logits(REFERENCE, REFERENCE.copy())
    assert (parity.max_abs, parity.label_flips, parity.agreement) == (0.0, (), 1.0)
    require_parity(parity, bound=0.0, min_agreement=1.0, name="it")


def test_a_flip_is_listed_by_its_row() -> None:
    got = REFERENCE + np.array([[0, 0], [0, 0], [0, 0.2]], dtype=np.float32)
    parity = compare_logits(REFERENCE, got)
    assert parity.label_flips == (2,)
    assert parity.max_abs == pytest.approx(0.2, abs=1e-6)
    assert parity.agreement == pytest.approx(2 / 3)
    with pytest.raises(EngineError, match=r"'it' does not.*agreement 66\.67%"):
        require_parity(parity, bound=1.0, min_agreement=0.9, name="it")
    with pytest.raises(EngineError, match=r"max \|Δ\| 0\.2"):
        require_parity(parity, bound=0.1, min_agreement=0.0, name="it")


@pytest.mark.parametrize("poison", [np.nan, np.inf])
def test_logits_that_are_no_numbers_never_pass(poison: float) -> None:
    got = REFERENCE.copy()
    got[1, 1] = poison
    parity = compare_logits(REFERENCE, got)
    assert np.isnan(parity.max_abs)
    with pytest.raises(EngineError):
        require_parity(parity, bound=float("inf"), min_agreement=0.0, name="it")


def test_another_shape_is_refused() -> None:
    with pytest.raises(EngineError, match="another shape"):
        compare_logits(REFERENCE, REFERENCE[:2])


def test_nothing_to_compare_agrees() -> None:
    parity = compare_logits(REFERENCE[:0], REFERENCE[:0])
    assert (parity.rows, parity.agreement) == (0, 1.0)


def test_of_several_labels_a_flip_is_any_sign() -> None:
    reference = np.asarray([[2.0, 0.1], [-1.0, -2.0], [3.0, 1.0]], dtype=np.float32)
    got = np.asarray([[2.0, -0.1], [-2.0, -1.0], [1.0, 3.0]], dtype=np.float32)
    assert compare_logits(reference, got, is_multi_label=True).label_flips == (0,)
    assert compare_logits(reference, got).label_flips == (1, 2)
