"""Cut and resize together: layers keep their places, and the law of full sizes holds."""

import dataclasses

import numpy as np
import torch

from tests.support.toy_models import logits_of, toy_batch, toy_state, wide_architecture
from thinfer.architecture import PruningMask
from thinfer.compress.headsize import HeadOption
from thinfer.compress.rank import PruneSettings, build_ladders
from thinfer.compress.resize import cut_sized, resize_layer, sized_architecture
from thinfer.compress.surgery import cut

STATE = toy_state(wide_architecture(3))
BATCH = toy_batch(60)
LADDERS = build_ladders(
    STATE, BATCH, rng=np.random.default_rng(0), settings=PruneSettings(resize_heads=True)
)
SMALL = HeadOption(heads=2, qk_size=8, value_size=16)


def test_no_options_are_a_plain_cut() -> None:
    mask = PruningMask.keep_all(STATE.architecture)
    mask = dataclasses.replace(mask, heads=(np.array([True, False]), *mask.heads[1:]))
    one, other = cut_sized(STATE, mask, LADDERS.sized, {}), cut(STATE, mask)
    assert one.architecture == other.architecture
    for name, array in other.weights.items():
        np.testing.assert_array_equal(one.weights[name], array)


def test_a_resized_layer_takes_the_place_that_a_dropped_one_left() -> None:
    mask = dataclasses.replace(PruningMask.keep_all(STATE.architecture), layers=(False, True, True))
    small = cut_sized(STATE, mask, LADDERS.sized, {2: SMALL})
    assert [layer.qk_size for layer in small.architecture.layers] == [16, 8]
    assert small.weights["layers.1.attention.query.weight"].shape == (16, 16)
    np.testing.assert_array_equal(
        small.weights["layers.0.attention.query.weight"],
        STATE.weights["layers.1.attention.query.weight"],
    )
    assert torch.isfinite(logits_of(small, BATCH)).all()
    assert small.history[-1].details["head_sizes"] == [[16, 16], [8, 16]]


def test_weights_of_a_layer_carry_the_name_asked_for() -> None:
    mask = PruningMask.keep_all(STATE.architecture)
    small = resize_layer(STATE, 1, LADDERS.sized[1], SMALL, mask, name="layers.7")
    assert {name.split(".attention.")[0] for name in small} == {"layers.7"}
    assert len(small) == 8


def test_only_the_layers_named_change_size() -> None:
    shape = sized_architecture(STATE.architecture, {1: SMALL})
    assert [(layer.qk_size, layer.value_size) for layer in shape.layers] == [
        (16, 16),
        (8, 16),
        (16, 16),
    ]
