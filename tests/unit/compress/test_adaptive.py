"""Several widths learn in one set of weights."""

import dataclasses
import functools

import numpy as np
import pytest
import torch

from tests.support.toy_models import (
    accuracy_of,
    logits_of,
    toy_architecture,
    toy_state,
    toy_task,
    trained_state,
)
from thinfer.architecture import Architecture
from thinfer.compress.adaptive import front_mask, order_by_importance, train_widths
from thinfer.compress.objective import DistillSettings
from thinfer.compress.prune import build_ladders
from thinfer.compress.state import State
from thinfer.compress.step import StepReport
from thinfer.compress.surgery import cut
from thinfer.core.clock import ManualClock
from thinfer.core.progress import SilentProgress
from thinfer.errors import DataError, UserError
from thinfer.nn.train import Encoded, TrainSettings

TRAIN = TrainSettings(epochs=2, batch_size=32, learning_rate=3e-3, dropout=0.0, precision="fp32")
FULL = toy_architecture(((4, 64), (4, 64)))
SHAPES = [
    toy_architecture(each) for each in (((2, 24), (3, 16)), ((1, 8), (2, 8)), ((1, 4), (0, 0)))
]


@functools.cache
def ordered() -> State:
    batch, _ = toy_task(200, seed=5)
    state = trained_state()
    return order_by_importance(state, build_ladders(state, batch, rng=np.random.default_rng(0)))


def train(
    shapes: list[Architecture], settings: DistillSettings | None = None, texts: int = 1200
) -> tuple[State, StepReport]:
    batch, labels = toy_task(texts, seed=11)
    return train_widths(
        ordered(),
        shapes,
        Encoded(batch=batch, targets=labels),
        settings=settings or DistillSettings(train=TRAIN),
        progress=SilentProgress(),
        clock=ManualClock(),
    )


def at(state: State, shape: Architecture) -> State:
    return cut(state, front_mask(FULL, shape))


def test_every_width_gains_from_one_training() -> None:
    shared, report = train(SHAPES)
    batch, labels = toy_task(800, seed=13)
    assert report.outcome == "applied"
    assert report.details["widths"] == [
        [[layer.heads, layer.ffn] for layer in shape.layers] for shape in SHAPES
    ]
    assert shared.architecture == FULL
    for shape in SHAPES:
        before, after = at(ordered(), shape), at(shared, shape)
        assert after.architecture == shape
        assert accuracy_of(after, batch, labels) > accuracy_of(before, batch, labels) + 0.05


def test_what_no_width_uses_is_not_trained() -> None:
    still = dataclasses.replace(TRAIN, epochs=1, weight_decay=0.0)
    shared, _ = train([SHAPES[0]], DistillSettings(train=still), texts=64)
    name = "layers.0.ffn.up.weight"
    np.testing.assert_array_equal(shared.weights[name][24:], ordered().weights[name][24:])
    assert (shared.weights[name][:24] != ordered().weights[name][:24]).all()


def test_the_same_seed_gives_the_same_weights() -> None:
    one, other = (train(SHAPES, texts=64)[0] for _ in range(2))
    for name, value in one.weights.items():
        np.testing.assert_array_equal(value, other.weights[name])


def test_relations_are_left_out_by_name_where_a_width_has_no_attention() -> None:
    settings = DistillSettings(
        train=dataclasses.replace(TRAIN, epochs=1), relation_weight=1.0, hidden_weight=0.0
    )
    assert train([SHAPES[0]], settings, texts=64)[1].outcome == "applied"
    _, report = train([SHAPES[0], toy_architecture(((0, 8), (0, 8)))], settings, texts=64)
    assert report.outcome == "degraded"
    assert "no layer has attention" in report.reason


@pytest.mark.parametrize(
    "shapes",
    [
        [],
        [toy_architecture(((5, 8), (4, 8)))],
        [toy_architecture(((4, 65), (4, 8)))],
        [toy_architecture(((4, 8),))],
        [toy_architecture(((4, 8), (4, 8)), classes=2)],
    ],
)
def test_widths_outside_the_shared_weights_are_refused(shapes: list[Architecture]) -> None:
    with pytest.raises(UserError, match=r"no width to train|not a part of the shared weights"):
        train(shapes, texts=8)


def test_ladders_of_another_model_are_refused() -> None:
    other = toy_state(toy_architecture(((2, 8), (2, 8))))
    batch, _ = toy_task(20, seed=5)
    ladders = build_ladders(other, batch, rng=np.random.default_rng(0))
    with pytest.raises(DataError, match="another architecture"):
        order_by_importance(trained_state(), ladders)


def test_a_layer_that_is_empty_already_stays_empty() -> None:
    state = toy_state(toy_architecture(((0, 8), (4, 0))))
    batch, _ = toy_task(30, seed=5)
    ladders = build_ladders(state, batch, rng=np.random.default_rng(0))
    found = order_by_importance(state, ladders)
    torch.testing.assert_close(logits_of(found, batch), logits_of(state, batch))
