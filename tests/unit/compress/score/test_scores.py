"""Every method gives scores of the right shape and finds a structure that does nothing."""

import numpy as np
import pytest

from tests.support.toy_models import toy_architecture, toy_batch, toy_state
from thinfer.compress.score import (
    Scores,
    mask_from_scores,
    score_activation,
    score_fisher,
    score_magnitude,
)
from thinfer.compress.state import State
from thinfer.errors import DataError

METHODS = ("magnitude", "activation", "fisher")
BATCH = toy_batch(6)


def score(method: str, state: State) -> Scores:
    if method == "magnitude":
        return score_magnitude(state.weights, state.architecture)
    if method == "activation":
        return score_activation(state.module(), BATCH)
    return score_fisher(state.module(), BATCH, pad_id=state.pad_id)


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
