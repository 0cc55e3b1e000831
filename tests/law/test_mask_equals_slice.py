"""Law: the model under a pruning mask gives the logits of the sliced model."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tests.support.toy_models import logits_of, toy_architecture, toy_batch, toy_state
from thinfer.architecture import PruningMask
from thinfer.compress.state import State
from thinfer.compress.surgery import cut
from thinfer.text.batch import Batch

STATE = toy_state(toy_architecture(((4, 12), (3, 8), (2, 8))))
BATCH = toy_batch(5, seed=3)
SHAPES = [(layer.heads, layer.ffn) for layer in STATE.architecture.layers]


def masked_logits(state: State, batch: Batch, mask: PruningMask) -> torch.Tensor:
    """The soft form: gates shut heads and neurons, and a dropped layer is walked around."""
    module = state.module()
    kept = [index for index, stays in enumerate(mask.layers) if stays]
    module.layers = nn.ModuleList([module.layers[index] for index in kept])
    inputs = [torch.from_numpy(part) for part in batch.padded(state.pad_id)]
    with torch.no_grad():
        result: torch.Tensor = module(
            *inputs,
            head_gates=[torch.from_numpy(mask.heads[index].astype(np.float32)) for index in kept],
            neuron_gates=[torch.from_numpy(mask.neurons[i].astype(np.float32)) for i in kept],
        )
    return result


def assert_law(mask: PruningMask) -> None:
    small = cut(STATE, mask)
    kept = [index for index, stays in enumerate(mask.layers) if stays]
    assert [(layer.heads, layer.ffn) for layer in small.architecture.layers] == [
        (int(mask.heads[index].sum()), int(mask.neurons[index].sum())) for index in kept
    ]
    torch.testing.assert_close(
        logits_of(small, BATCH), masked_logits(STATE, BATCH, mask), rtol=1e-4, atol=1e-5
    )


def change_layer(
    layer: int, *, heads: int | None = None, neurons: int | None = None
) -> PruningMask:
    """The mask that keeps all but in one layer only the first heads or neurons."""
    mask = PruningMask.keep_all(STATE.architecture)
    kept_heads, kept_neurons = list(mask.heads), list(mask.neurons)
    if heads is not None:
        kept_heads[layer] = np.arange(SHAPES[layer][0]) < heads
    if neurons is not None:
        kept_neurons[layer] = np.arange(SHAPES[layer][1]) < neurons
    return dataclasses.replace(mask, heads=tuple(kept_heads), neurons=tuple(kept_neurons))


def test_keep_all_changes_no_bit() -> None:
    small = cut(STATE, PruningMask.keep_all(STATE.architecture))
    assert torch.equal(logits_of(small, BATCH), logits_of(STATE, BATCH))


@pytest.mark.parametrize("layer", range(len(SHAPES)))
@pytest.mark.parametrize("count", [0, 1])
@pytest.mark.parametrize("kind", ["heads", "neurons", "both"])
def test_keep_one_and_keep_none(layer: int, count: int, kind: str) -> None:
    heads = count if kind in ("heads", "both") else None
    neurons = count if kind in ("neurons", "both") else None
    assert_law(change_layer(layer, heads=heads, neurons=neurons))


@pytest.mark.parametrize("count", [0, 1])
def test_keep_one_and_keep_none_everywhere(count: int) -> None:
    mask = PruningMask(
        heads=tuple(np.arange(heads) < count for heads, _ in SHAPES),
        neurons=tuple(np.arange(ffn) < count for _, ffn in SHAPES),
        layers=(True,) * len(SHAPES),
    )
    assert_law(mask)


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_random_masks(data: st.DataObject) -> None:
    def draw(width: int) -> np.ndarray:
        return np.array(data.draw(st.lists(st.booleans(), min_size=width, max_size=width)), bool)

    mask = PruningMask(
        heads=tuple(draw(heads) for heads, _ in SHAPES),
        neurons=tuple(draw(ffn) for _, ffn in SHAPES),
        layers=tuple(bool(stays) for stays in draw(len(SHAPES))),
    )
    assert_law(mask)


def test_a_wrong_slice_breaks_the_law() -> None:
    """The law can refuse: another head than the masked one gives other logits."""
    mask = change_layer(0, heads=1)
    other = dataclasses.replace(mask, heads=(mask.heads[0][::-1].copy(), *mask.heads[1:]))
    with pytest.raises(AssertionError):
        torch.testing.assert_close(
            logits_of(cut(STATE, other), BATCH),
            masked_logits(STATE, BATCH, mask),
            rtol=1e-4,
            atol=1e-5,
        )
