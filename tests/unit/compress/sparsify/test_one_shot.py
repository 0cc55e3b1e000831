"""The step `sparsify`: shares, patterns, refusals, and what second order is worth."""

from typing import Any

import numpy as np
import pytest

from tests.support.toy_models import (
    accuracy_of,
    logits_of,
    toy_architecture,
    toy_batch,
    toy_state,
    toy_task,
    trained_state,
)
from thinfer.compress.sparsify import SparsifySettings, parse_pattern, sparsify
from thinfer.compress.sparsify.one_shot import METHODS
from thinfer.compress.state import State
from thinfer.compress.step import StepReport
from thinfer.compress.zeros import count_zeros, list_matrices
from thinfer.errors import DataError, UserError


def run(state: State, **fields: Any) -> tuple[State, StepReport]:  # noqa: ANN401 - settings
    fields = {"sparsity": 0.5, "block_size": 8, **fields}
    rng = np.random.default_rng(0)
    return sparsify(state, toy_batch(60), SparsifySettings(**fields), rng=rng)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("pattern", ["unstructured", "1x4", "2:4"])
def test_every_method_gives_every_pattern(method: str, pattern: str) -> None:
    before = toy_state()
    after, report = run(before, method=method, pattern=parse_pattern(pattern))
    assert report.outcome == "applied"
    assert report.details["share"] == 0.5
    assert set(report.details["kinds"].values()) == {0.5}
    assert after.architecture == before.architecture
    for name in list_matrices(after.weights):
        blocks = (after.weights[name] == 0.0).reshape(len(after.weights[name]), -1, 4)
        if pattern == "1x4":
            assert (blocks.all(2) == blocks.any(2)).all()
        if pattern == "2:4":
            assert (blocks.sum(2) == 2).all()
    untouched = set(before.weights) - set(list_matrices(before.weights))
    untouched -= {name for name in untouched if method == "reconstruction" and "bias" in name}
    for name in untouched:
        np.testing.assert_array_equal(before.weights[name], after.weights[name])


@pytest.mark.parametrize("method", METHODS)
def test_no_zeros_change_nothing_and_all_leave_the_biases(method: str) -> None:
    before = toy_state()
    same, report = run(before, method=method, sparsity=0.0)
    assert report.details["zeros"] == 0
    for name in before.weights:
        np.testing.assert_array_equal(before.weights[name], same.weights[name])
    none, report = run(before, method=method, sparsity=1.0)
    assert report.details["share"] == 1.0
    assert np.isfinite(logits_of(none, toy_batch(5)).numpy()).all()


@pytest.mark.parametrize("method", ["magnitude", "second_order"])
def test_one_ranking_for_all_meets_the_share_as_a_whole(method: str) -> None:
    _, report = run(toy_state(), method=method, allocation="global")
    assert report.details["share"] == 0.5
    assert len(set(report.details["kinds"].values())) > 1


@pytest.mark.parametrize("method", METHODS)
def test_earlier_zeros_stay(method: str) -> None:
    first, _ = run(toy_state(), method="magnitude", sparsity=0.6)
    second, _ = run(first, method=method, pattern=parse_pattern("2:4"))
    for name in list_matrices(first.weights):
        assert (second.weights[name][first.weights[name] == 0.0] == 0.0).all()
    assert count_zeros(second.weights)["share"] > 0.6


def test_second_order_keeps_more_of_what_was_learned() -> None:
    state, (batch, labels) = trained_state(), toy_task(1000, seed=21)
    texts, _ = toy_task(300, seed=22)
    kept = {}
    for method in METHODS:
        settings = SparsifySettings(sparsity=0.7, method=method, block_size=16)  # type: ignore[arg-type]  # one of the methods
        small, _ = sparsify(state, texts, settings, rng=np.random.default_rng(0))
        kept[method] = accuracy_of(small, batch, labels)
    assert kept["second_order"] > kept["magnitude"]
    assert kept["reconstruction"] > kept["magnitude"]


def test_the_same_seed_gives_the_same_bytes() -> None:
    one, other = (run(toy_state(), method="second_order")[0] for _ in range(2))
    assert all((one.weights[name] == other.weights[name]).all() for name in one.weights)


def test_a_matrix_whose_rows_do_not_fit_the_pattern_is_named() -> None:
    state = toy_state(toy_architecture(((2, 6), (2, 8))))
    small, report = run(state, method="magnitude", pattern=parse_pattern("1x4"))
    assert report.outcome == "degraded"
    assert "layers.0.ffn.down" in report.reason
    assert (small.weights["layers.0.ffn.down.weight"] != 0.0).all()


def test_a_model_without_matrices_is_refused() -> None:
    state = toy_state(toy_architecture(((0, 0),)))
    same, report = run(state)
    assert same is state
    assert report.outcome == "refused"


def test_texts_that_no_gradient_comes_from_are_a_named_degradation() -> None:
    """One token alone: attention shares are 1 whatever queries and keys are."""
    state = toy_state()
    batch = toy_batch(20, longest=1)
    settings = SparsifySettings(sparsity=0.5, method="second_order", block_size=8)
    _, report = sparsify(state, batch, settings, rng=np.random.default_rng(0))
    assert report.outcome == "degraded"
    assert "layers.0.attention.query: no gradient reached it: ranked by magnitude" in report.reason


@pytest.mark.parametrize("method", ["second_order", "reconstruction"])
def test_weights_that_are_not_finite_are_an_error(method: str) -> None:
    state, name = toy_state(), "layers.0.attention.value.bias"
    broken = {**state.weights, name: np.full_like(state.weights[name], np.nan)}
    report = StepReport(step="break", outcome="applied")
    with pytest.raises(DataError, match="not finite"):
        run(state.replace(report, weights=broken), method=method)


@pytest.mark.parametrize(
    "fields",
    [
        {"sparsity": -0.1},
        {"sparsity": 1.1},
        {"sparsity": float("nan")},
        {"sparsity": 0.6, "pattern": parse_pattern("2:4")},
        {"method": "lottery"},
        {"allocation": "fair"},
        {"method": "reconstruction", "allocation": "global"},
        {"block_size": 6, "pattern": parse_pattern("1x4")},
        {"block_size": 0},
        {"damping": 0.0},
        {"max_tokens": 0},
    ],
)
def test_impossible_settings_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="settings of sparsification"):
        SparsifySettings(**{"sparsity": 0.5, **fields})
