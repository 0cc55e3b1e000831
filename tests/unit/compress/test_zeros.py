"""The zeros of a sparse state are its mask: through storage, training and refits."""

import dataclasses

import numpy as np
import pytest
import torch

from tests.support.toy_models import toy_architecture, toy_batch, toy_state
from thinfer.compress.prune import PruneTarget, build_ladders, prune_to
from thinfer.compress.state import State
from thinfer.compress.step import StepReport
from thinfer.compress.zeros import count_zeros, find_mask, hold_zeros, is_sparse, list_matrices
from thinfer.errors import UserError


def sparse_state(share: float = 0.5, outcome: str = "applied") -> State:
    state, rng = toy_state(), np.random.default_rng(0)
    weights = dict(state.weights)
    for name in list_matrices(weights):
        weights[name] = weights[name] * (rng.random(weights[name].shape) >= share)
    report = StepReport(step="sparsify", outcome=outcome, reason="because")  # type: ignore[arg-type]  # one of the outcomes
    return state.replace(report, weights=weights)


def test_the_matrices_come_layer_by_layer_and_nothing_else_does() -> None:
    state = toy_state(toy_architecture([(1, 4)] * 11 + [(0, 4), (1, 0)]))
    shuffled = dict(sorted(state.weights.items(), reverse=True))
    names = list(list_matrices(shuffled))
    kinds = ("query", "key", "value", "output", "up", "down")
    assert [name.split(".")[3] for name in names[:6]] == list(kinds)
    assert names[60].startswith("layers.10.")
    assert [name.split(".")[1] for name in names[66:]] == ["11"] * 2 + ["12"] * 4
    assert all(name.endswith(".weight") for name in names)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_zeros_are_counted_by_kind(share: float) -> None:
    counted = count_zeros(sparse_state(share).weights)
    assert counted["weights"] == 2 * (4 * 16 * 16 + 2 * 16 * 32)
    assert counted["share"] == pytest.approx(share, abs=0.05)
    assert set(counted["kinds"]) == {"query", "key", "value", "output", "up", "down"}
    assert counted["zeros"] == round(counted["share"] * counted["weights"])


def test_a_model_without_matrices_has_a_share_of_none() -> None:
    counted = count_zeros(toy_state(toy_architecture(((0, 0),))).weights)
    assert counted == {"zeros": 0, "weights": 0, "share": 0.0, "kinds": {}}


def test_only_a_step_that_was_done_makes_a_state_sparse() -> None:
    assert is_sparse(sparse_state())
    assert not is_sparse(sparse_state(outcome="refused"))
    assert find_mask(toy_state()) == {}
    assert hold_zeros(toy_state()) is None


def test_zeros_are_held_whatever_a_step_did_to_them() -> None:
    state = sparse_state()
    held = hold_zeros(state)
    assert held is not None
    assert not held.is_gradual
    model = state.module()
    with torch.no_grad():
        for value in model.parameters():
            value.add_(torch.tensor(-1.0))
            value.view(-1)[:1] = float("inf")
    held.apply(model, 1.0)
    for name, stays in find_mask(state).items():
        weight = model.get_parameter(name).detach().numpy()
        assert (weight[~stays] == 0.0).all()
        assert (weight[stays] != 0.0).all()
    assert float(model.head.weight.detach().abs().min()) > 0


def test_a_refit_that_would_fill_zeros_is_refused() -> None:
    state, batch = sparse_state(), toy_batch(20)
    ladders = build_ladders(state, batch, rng=np.random.default_rng(0))
    target = PruneTarget(ratio=0.5)
    with pytest.raises(UserError, match="would fill the zeros"):
        prune_to(state, ladders, batch, target)
    plain = dataclasses.replace(target, is_refitted=False)
    small, _ = prune_to(state, ladders, batch, plain)
    assert count_zeros(small.weights)["share"] > 0.3
