"""Which layers to drop: the idle one first."""

import dataclasses

import numpy as np
import pytest

from tests.support.toy_models import toy_architecture, toy_batch, toy_state
from thinfer.compress.layers import choose_layers
from thinfer.compress.state import State
from thinfer.errors import UserError


def with_idle_layer(layer: int) -> State:
    """A state whose layer adds nothing to its residual (its norms change little after a norm)."""
    state = toy_state(toy_architecture(((2, 8), (2, 8), (2, 8))))
    weights = {
        name: np.zeros_like(array)
        if name.startswith((f"layers.{layer}.attention.output", f"layers.{layer}.ffn.down"))
        else array
        for name, array in state.weights.items()
    }
    return dataclasses.replace(state, weights=weights)


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_the_idle_layer_goes_first(layer: int) -> None:
    rng = np.random.default_rng(0)
    assert choose_layers(with_idle_layer(layer), toy_batch(30), 1, rng=rng) == (layer,)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_as_many_as_asked_for(count: int) -> None:
    chosen = choose_layers(with_idle_layer(1), toy_batch(30), count, rng=np.random.default_rng(0))
    assert len(chosen) == count
    assert list(chosen) == sorted(set(chosen))


@pytest.mark.parametrize("count", [-1, 3])
def test_all_or_less_than_none_is_refused(count: int) -> None:
    with pytest.raises(UserError, match="layers can be dropped"):
        choose_layers(with_idle_layer(0), toy_batch(5), count, rng=np.random.default_rng(0))
