"""The loss of each block when it alone is rounded."""

import dataclasses

import numpy as np
import pytest

from tests.support.toy_models import toy_architecture, toy_batch, toy_state
from thinfer.compress.state import State
from thinfer.export.block_loss import measure_block_losses
from thinfer.export.blocks import list_blocks_to_round
from thinfer.export.ranges import measure_ranges
from thinfer.export.rounded import round_model
from thinfer.nn.predict import compute_logits
from thinfer.text.batch import Batch

CALIBRATION = toy_batch(150, seed=3)


def with_outlier(state: State, index: int) -> State:
    """The same answers in FP32, from one FFN neuron far larger than what INT8 can hold beside."""
    weights = {name: array.copy() for name, array in state.weights.items()}
    prefix = f"layers.{index}.ffn"
    weights[f"{prefix}.up.weight"][0] = 0.0
    weights[f"{prefix}.up.bias"][0] = 30.0  # always 30 behind the activation
    weights[f"{prefix}.down.weight"][:, 0] = 40.0
    weights[f"{prefix}.down.bias"] -= 1200.0
    return dataclasses.replace(state, weights=weights)


def measure(state: State, calibration: Batch = CALIBRATION) -> dict[str, tuple[float, float, int]]:
    ranges = measure_ranges(state.weights, state.architecture, calibration)
    losses = measure_block_losses(state.weights, state.architecture, calibration, ranges=ranges)
    assert [loss.kl for loss in losses] == sorted((loss.kl for loss in losses), reverse=True)
    assert {loss.texts for loss in losses} == {len(calibration)}
    return {loss.block: (loss.kl, loss.squared_error, loss.flips) for loss in losses}


def test_a_loss_is_that_of_the_model_with_one_block_rounded() -> None:
    state = toy_state(toy_architecture(((4, 32), (0, 32), (2, 0))))
    found = measure(state)
    blocks = list_blocks_to_round(state.architecture)
    assert set(found) == set(blocks)
    module = state.module()
    ranges = measure_ranges(state.weights, state.architecture, CALIBRATION)
    wanted = compute_logits(module, CALIBRATION, pad_id=0)
    for block in blocks:
        others = [name for name in blocks if name != block]
        got = compute_logits(round_model(module, ranges, others), CALIBRATION, pad_id=0)
        assert found[block][1] == pytest.approx(np.square(got - wanted).mean(), rel=0.02)
        assert found[block][2] == (got.argmax(1) != wanted.argmax(1)).sum()
        assert found[block][0] > 0


@pytest.mark.parametrize("index", [0, 1])
def test_the_block_with_an_outlier_comes_first(index: int) -> None:
    state = toy_state()
    before, after = measure(state), measure(with_outlier(state, index))
    name = f"layers.{index}.ffn"
    assert next(iter(after)) == name
    assert after[name][0] > 20 * before[name][0]


def test_one_class_is_ordered_by_squared_error() -> None:
    state = with_outlier(toy_state(toy_architecture(classes=1)), 1)
    found = measure(state)
    assert {kl for kl, _, _ in found.values()} == {0.0}
    assert next(iter(found)) == "layers.1.ffn"


def test_a_model_without_layers_and_a_single_text() -> None:
    state = toy_state(toy_architecture(()))
    assert set(measure(state, toy_batch(1, seed=5))) == {"embeddings", "pooler"}


def test_fewer_tokens_are_looked_at_where_so_asked() -> None:
    state = toy_state()
    ranges = measure_ranges(state.weights, state.architecture, CALIBRATION)
    (first, *_) = measure_block_losses(
        state.weights, state.architecture, CALIBRATION, ranges=ranges, max_tokens=200
    )
    assert 1 <= first.texts < 40


def test_of_several_labels_the_loss_is_the_sum_of_their_divergences() -> None:
    state = toy_state()
    ranges = measure_ranges(state.weights, state.architecture, CALIBRATION)
    losses = measure_block_losses(
        state.weights, state.architecture, CALIBRATION, ranges=ranges, is_multi_label=True
    )
    module = state.module()
    wanted = compute_logits(module, CALIBRATION, pad_id=0).astype(np.float64)
    first = losses[0]
    others = [name for name in list_blocks_to_round(state.architecture) if name != first.block]
    got = compute_logits(round_model(module, ranges, others), CALIBRATION, pad_id=0)
    p, q = (1 / (1 + np.exp(-each)) for each in (wanted, got.astype(np.float64)))
    kl = p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))
    assert first.kl == pytest.approx(kl.sum(axis=1).mean(), rel=0.05)
    assert first.flips == ((wanted >= 0) != (got >= 0)).any(axis=1).sum()
