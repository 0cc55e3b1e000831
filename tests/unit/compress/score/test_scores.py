"""Every method gives scores of the right shape and finds a structure that does nothing."""

import itertools

import numpy as np
import pytest
import torch

from tests.support.toy_models import logits_of, toy_architecture, toy_batch, toy_state
from thinfer.compress.score import (
    Scores,
    mask_from_scores,
    measure_fisher,
    rearrange_mask,
    score_activation,
    score_fisher,
    score_magnitude,
    score_taylor,
)
from thinfer.compress.state import State
from thinfer.compress.surgery import cut
from thinfer.errors import DataError

METHODS = ("magnitude", "activation", "taylor", "fisher")
BATCH = toy_batch(6)


def score(method: str, state: State) -> Scores:
    if method == "magnitude":
        return score_magnitude(state.weights, state.architecture)
    if method == "activation":
        return score_activation(state.module(), BATCH)
    chosen = score_taylor if method == "taylor" else score_fisher
    return chosen(state.module(), BATCH, pad_id=state.pad_id)


def with_idle(state: State) -> State:
    """Head 2 of layer 0 and neuron 5 of layer 1 write nothing."""
    weights = {name: array.copy() for name, array in state.weights.items()}
    weights["layers.0.attention.output.weight"][:, 8:12] = 0.0
    weights["layers.1.ffn.down.weight"][:, 5] = 0.0
    return State(
        weights=weights,
        architecture=state.architecture,
        tokenizer=state.tokenizer,
        labels=state.labels,
        max_length=state.max_length,
        pad_id=state.pad_id,
    )


@pytest.mark.parametrize("method", METHODS)
def test_idle_structures_score_nothing(method: str) -> None:
    state = with_idle(toy_state())
    scores = score(method, state)
    scores.check_fits(state.architecture)
    assert (int(scores.heads[0].argmin()), int(scores.neurons[1].argmin())) == (2, 5)
    assert scores.heads[0][2] == scores.neurons[1][5] == 0.0
    assert min(scores.heads[1].min(), scores.neurons[0].min()) > 0.0


@pytest.mark.parametrize("method", METHODS)
def test_a_caller_may_have_switched_gradients_off(method: str) -> None:
    state = toy_state()
    expected = score(method, state)
    with torch.no_grad():
        found = score(method, state)
    np.testing.assert_array_equal(found.heads, expected.heads)
    np.testing.assert_array_equal(found.neurons, expected.neurons)


@pytest.mark.parametrize("method", METHODS)
def test_dropped_blocks_have_no_scores(method: str) -> None:
    state = toy_state(toy_architecture(((0, 8), (2, 0))))
    score(method, state).check_fits(state.architecture)


def test_true_labels_change_the_fisher_scores() -> None:
    state = toy_state()
    own = score_fisher(state.module(), BATCH, pad_id=0)
    labels = np.arange(6) % 3
    true = score_fisher(state.module(), BATCH, pad_id=0, labels=labels)
    assert not np.allclose(own.heads[0], true.heads[0])
    with pytest.raises(DataError, match="differ in number"):
        score_fisher(state.module(), BATCH, pad_id=0, labels=labels[:2])


def test_scores_that_do_not_fit_are_refused() -> None:
    state = toy_state()
    good = score("magnitude", state)
    bad = Scores(heads=good.heads, neurons=(good.neurons[0] * np.nan, good.neurons[1]))
    with pytest.raises(DataError, match="do not fit"):
        bad.check_fits(state.architecture)


@pytest.mark.parametrize(("count", "kept"), [(0, []), (1, [1]), (2, [1, 2]), (3, [0, 1, 2])])
def test_mask_keeps_the_best(count: int, kept: list[int]) -> None:
    scores = Scores(heads=(np.array([1.0, 3.0, 2.0]),), neurons=(np.array([2.0, 2.0, 2.0]),))
    mask = mask_from_scores(scores, heads=[count], neurons=[count])
    assert np.flatnonzero(mask.heads[0]).tolist() == kept
    assert np.flatnonzero(mask.neurons[0]).tolist() == list(range(count))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("count", [0, 1, 4])
def test_none_one_and_all_heads_can_be_kept(method: str, count: int) -> None:
    state = toy_state()
    scores = score(method, state)
    mask = mask_from_scores(scores, heads=[count, count], neurons=[32, 32])
    small = cut(state, mask)
    assert [layer.heads for layer in small.architecture.layers] == [count, count]
    logits = logits_of(small, BATCH)
    assert torch.isfinite(logits).all()
    assert torch.equal(logits, logits_of(state, BATCH)) == (count == 4)


def test_the_diagonal_of_the_fisher_matrices_is_the_fisher_score() -> None:
    state = toy_state()
    scores = score_fisher(state.module(), BATCH, pad_id=0)
    fisher = measure_fisher(state.module(), BATCH, pad_id=0)
    for one, other in zip(fisher.scores.neurons, scores.neurons, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9)


def test_rearranging_ends_where_no_swap_is_better() -> None:
    state = toy_state()
    fisher = measure_fisher(state.module(), toy_batch(40), pad_id=0)
    worst = Scores(
        heads=tuple(-np.diag(matrix) for matrix in fisher.heads),
        neurons=tuple(-np.diag(matrix) for matrix in fisher.neurons),
    )
    mask = mask_from_scores(worst, heads=[2, 2], neurons=[16, 16])
    better = rearrange_mask(mask, fisher)

    def loss(stays: np.ndarray, matrix: np.ndarray) -> float:
        gone = ~stays
        return float(gone @ matrix @ gone)

    blocks = [
        *zip(better.heads, mask.heads, fisher.heads, strict=True),
        *zip(better.neurons, mask.neurons, fisher.neurons, strict=True),
    ]
    for stays, before, matrix in blocks:
        assert stays.sum() == before.sum()
        assert loss(stays, matrix) <= loss(before, matrix)
        for back, out in itertools.product(np.flatnonzero(~stays), np.flatnonzero(stays)):
            other = stays.copy()
            other[[back, out]] = True, False
            assert loss(other, matrix) >= loss(stays, matrix) - 1e-9
    assert loss(better.neurons[0], fisher.neurons[0]) < loss(mask.neurons[0], fisher.neurons[0])
