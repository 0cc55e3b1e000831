"""Zeros that keep a matrix's output: against plain removal and against the least squares."""

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.toy_models import toy_batch, toy_state
from thinfer.compress.sparsify.pattern import parse_pattern
from thinfer.compress.sparsify.reconstruction import rebuild_matrices, zero_with_updates
from thinfer.compress.surgeon import damp
from thinfer.compress.walk import pack
from thinfer.compress.zeros import list_matrices
from thinfer.errors import DataError

Matrix = NDArray[np.float64]


def problem(width: int = 16, rows: int = 6, seed: int = 0) -> tuple[Matrix, Matrix, Matrix]:
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(200, width)) @ rng.normal(size=(width, width))
    damped = damp(inputs.T @ inputs / 200, 0.01)
    return rng.normal(size=(rows, width)), damped.matrix, damped.inverse


def loss(change: Matrix, matrix: Matrix) -> float:
    return float(np.einsum("oi,ij,oj->", change, matrix, change))


def solve(weight: Matrix, matrix: Matrix, stays: NDArray[np.bool_]) -> Matrix:
    best = np.zeros_like(weight)
    for row, keep in enumerate(stays):
        goal = matrix[keep] @ weight[row]
        best[row, keep] = np.linalg.solve(matrix[np.ix_(keep, keep)], goal)
    return best


@pytest.mark.parametrize("text", ["unstructured", "1x4", "2:4"])
def test_updates_lose_less_than_removal_and_little_more_than_the_best(text: str) -> None:
    weight, matrix, inverse = problem()
    may_stay, pattern = np.ones(weight.shape, dtype=np.bool_), parse_pattern(text)
    found = zero_with_updates(weight, inverse, may_stay, pattern=pattern, sparsity=0.5)
    stays = found != 0.0
    assert stays.mean() == 0.5
    plain, best = loss(weight * stays - weight, matrix), solve(weight, matrix, stays)
    assert loss(best - weight, matrix) <= loss(found - weight, matrix) < 0.75 * plain
    if text == "2:4":
        assert (stays.reshape(6, 4, 4).sum(2) == 2).all()


def test_zeros_in_the_first_inputs_alone_get_the_exact_update() -> None:
    """What follows the zeros may all move, so visiting in order loses nothing."""
    weight, matrix, inverse = problem()
    may_stay = np.ones(weight.shape, dtype=np.bool_)
    may_stay[:, :5] = False
    pattern = parse_pattern("unstructured")
    found = zero_with_updates(weight, inverse, may_stay, pattern=pattern, sparsity=5 / 16)
    np.testing.assert_allclose(found, solve(weight, matrix, may_stay), atol=1e-8)


@pytest.mark.parametrize("sparsity", [0.0, 1.0])
def test_nothing_and_everything(sparsity: float) -> None:
    weight, _, inverse = problem()
    may_stay, pattern = np.ones(weight.shape, dtype=np.bool_), parse_pattern("1x4")
    found = zero_with_updates(weight, inverse, may_stay, pattern=pattern, sparsity=sparsity)
    np.testing.assert_array_equal(found, weight * (1.0 - sparsity))


@pytest.mark.parametrize("width", [40, 256, 300])
def test_the_number_of_zeros_is_exact_over_all_panels(width: int) -> None:
    weight, _, inverse = problem(width, rows=3)
    may_stay, pattern = np.ones(weight.shape, dtype=np.bool_), parse_pattern("unstructured")
    found = zero_with_updates(weight, inverse, may_stay, pattern=pattern, sparsity=0.37)
    assert int((found == 0.0).sum()) == round(0.37 * 3 * width)


def test_a_model_keeps_its_output_better_than_by_plain_removal() -> None:
    state, batch = toy_state(), toy_batch(80)
    packed = pack(batch, np.argsort(batch.lengths, kind="stable"))
    module, weights = state.module(), state.weights
    names = {name: np.ones(weights[name].shape, np.bool_) for name in list_matrices(weights)}
    done = list(
        rebuild_matrices(
            module,
            packed,
            pattern=parse_pattern("1x4"),
            sparsity=0.25,
            damping=0.01,
            names=names,
        )
    )
    assert [item.name for item in done] == list(names)
    assert not any(item.is_raised for item in done)
    for name in names:
        assert float((module.get_parameter(name) == 0.0).float().mean()) == 0.25
    bias = "layers.0.attention.value.bias"
    assert not np.array_equal(module.weights()[bias], weights[bias])  # the mean is made up for


def test_inputs_that_are_not_finite_name_their_matrix() -> None:
    state, batch = toy_state(), toy_batch(5)
    name = "embeddings.norm.bias"
    broken = {**state.weights, name: np.full_like(state.weights[name], np.nan)}
    module = state.module().from_weights(state.architecture, broken)
    names = {key: np.ones(state.weights[key].shape, np.bool_) for key in list_matrices(broken)}
    packed = pack(batch, np.argsort(batch.lengths, kind="stable"))
    pattern = parse_pattern("unstructured")
    with pytest.raises(DataError, match="not finite") as caught:
        list(
            rebuild_matrices(
                module, packed, pattern=pattern, sparsity=0.5, damping=0.01, names=names
            )
        )
    assert "layers.0.attention.query" in str(caught.value)
