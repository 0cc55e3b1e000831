"""Nested fits: one factorisation gives what a factorisation for each set gives."""

from __future__ import annotations

import numpy as np
import pytest

from thinfer.compress.nested import NestedFit
from thinfer.compress.surgeon import fit_columns
from thinfer.errors import DataError


def test_every_prefix_is_the_best_fit_on_its_columns() -> None:
    rng = np.random.default_rng(0)
    inputs, weight = rng.normal(size=(60, 12)), rng.normal(size=(5, 12))
    matrix = inputs.T @ inputs / 60 + 0.01 * np.eye(12)
    order = rng.permutation(12)
    nested = NestedFit(weight, matrix, order)
    for count in range(13):
        keep = np.isin(np.arange(12), order[:count])
        assert nested.fit(count) == pytest.approx(fit_columns(weight, matrix, keep), abs=1e-10)
    assert nested.fit(12) == pytest.approx(weight)


def test_moments_that_are_none_are_refused() -> None:
    with pytest.raises(DataError, match="factorised"):
        NestedFit(np.ones((2, 2)), np.diag([1.0, -1.0]), np.array([0, 1]))
