"""The surgeon against brute force and against refits of every subset."""

import numpy as np
import pytest

from thinfer.compress.surgeon import (
    Matrix,
    damp,
    eliminate_columns,
    eliminate_groups,
    fit_columns,
)
from thinfer.errors import DataError


def correlated(width: int, rows: int = 6, seed: int = 0) -> tuple[Matrix, Matrix]:
    """A weight, and a covariance of columns that repeat each other in part."""
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(width, width)) * 0.6 + np.eye(width)
    return rng.normal(size=(rows, width)), mixing @ mixing.T / width


def loss_of(weight: Matrix, matrix: Matrix, keep: np.ndarray) -> float:
    """What the best refit on the kept columns still loses."""
    whole = float(np.sum((weight @ matrix) * weight))
    return whole - float(np.sum((fit_columns(weight, matrix, keep) @ matrix[keep]) * weight))


@pytest.mark.parametrize("width", [1, 5, 64, 65, 150])
def test_errors_equal_the_refit_at_every_width(width: int) -> None:
    weight, covariance = correlated(width)
    damped = damp(covariance, 0.01)
    gone = eliminate_columns(weight, damped.inverse)
    assert sorted(gone.order) == list(range(width))
    for removed in {0, 1, width // 3, width - 1, width}:
        keep = np.ones(width, dtype=np.bool_)
        keep[gone.order[:removed]] = False
        expected = loss_of(weight, damped.matrix, keep)
        np.testing.assert_allclose(gone.errors[removed], expected, rtol=1e-6, atol=1e-9)


def test_errors_only_rise() -> None:
    weight, covariance = correlated(40)
    gone = eliminate_columns(weight, damp(covariance, 0.01).inverse)
    assert gone.errors[0] == 0.0
    assert np.all(np.diff(gone.errors) >= 0.0)


def test_each_step_is_the_cheapest_one() -> None:
    weight, covariance = correlated(9)
    damped = damp(covariance, 0.01)
    keep = np.ones(9, dtype=np.bool_)
    for column in eliminate_columns(weight, damped.inverse).order:
        costs = {}
        for trial in np.flatnonzero(keep):
            without = keep.copy()
            without[trial] = False
            costs[int(trial)] = loss_of(weight, damped.matrix, without)
        assert int(column) == min(costs, key=lambda place: costs[place])
        keep[column] = False


def test_surgeon_beats_magnitude_where_columns_repeat_each_other() -> None:
    """Eight large columns are copies of eight others: magnitude keeps both, the surgeon one."""
    rng = np.random.default_rng(1)
    signal = rng.normal(size=(4000, 16))
    inputs = np.hstack([signal[:, :8], signal[:, :8] + 0.01 * rng.normal(size=(4000, 8)), signal])
    weight = np.hstack([3 * np.ones((4, 16)), rng.normal(size=(4, 16))])
    damped = damp(np.cov(inputs.T), 1e-4)
    gone = eliminate_columns(weight, damped.inverse)
    by_surgeon, by_size = np.ones(32, dtype=np.bool_), np.ones(32, dtype=np.bool_)
    by_surgeon[gone.order[:16]] = False
    by_size[np.argsort(np.square(weight).sum(0))[:16]] = False
    lost = loss_of(weight, damped.matrix, by_surgeon)
    assert lost < 0.1 * loss_of(weight, damped.matrix, by_size)


@pytest.mark.parametrize("size", [1, 3])
def test_groups_equal_the_refit_and_are_the_cheapest(size: int) -> None:
    weight, covariance = correlated(4 * size, seed=2)
    damped = damp(covariance, 0.01)
    gone = eliminate_groups(weight, damped.inverse, size)
    keep = np.ones(4, dtype=np.bool_)
    for step, group in enumerate(gone.order):
        trials = {}
        for trial in np.flatnonzero(keep):
            without = keep.copy()
            without[trial] = False
            trials[int(trial)] = loss_of(weight, damped.matrix, np.repeat(without, size))
        assert int(group) == min(trials, key=lambda place: trials[place])
        keep[group] = False
        np.testing.assert_allclose(gone.errors[step + 1], trials[int(group)], rtol=1e-6)


def test_groups_of_one_column_equal_columns() -> None:
    weight, covariance = correlated(12, seed=4)
    inverse = damp(covariance, 0.01).inverse
    one, many = eliminate_columns(weight, inverse), eliminate_groups(weight, inverse, 1)
    assert one.order.tolist() == many.order.tolist()
    np.testing.assert_allclose(one.errors, many.errors, rtol=1e-8)


def test_stronger_damping_is_named() -> None:
    """A slightly indefinite matrix fails at first; the damping used says so."""
    weak = np.diag([1.0, 1.0, -0.02])
    damped = damp(weak, 0.001)
    assert damped.is_raised
    assert damped.ratio == pytest.approx(0.1)
    assert not damp(np.eye(3), 0.001).is_raised


@pytest.mark.parametrize(
    ("matrix", "said"),
    [
        (np.diag([1.0, -50.0]), "cannot be factorised"),
        (np.array([[1.0, np.nan], [np.nan, 1.0]]), "not finite"),
    ],
)
def test_what_cannot_be_factorised_is_refused(matrix: Matrix, said: str) -> None:
    with pytest.raises(DataError, match=said):
        damp(matrix, 0.001)


def test_fit_refuses_an_indefinite_part() -> None:
    with pytest.raises(DataError, match="kept columns"):
        fit_columns(np.ones((2, 2)), np.diag([1.0, -1.0]), np.ones(2, dtype=np.bool_))


def test_non_positive_pivot_is_refused() -> None:
    with pytest.raises(DataError, match="pivot"):
        eliminate_columns(np.ones((2, 2)), np.diag([-1.0, -1.0]))


def test_dead_columns_go_first() -> None:
    weight = np.ones((3, 4))
    damped = damp(np.diag([1.0, 0.0, 2.0, 0.0]), 0.01)
    gone = eliminate_columns(weight, damped.inverse)
    assert set(gone.order[:2].tolist()) == {1, 3}
