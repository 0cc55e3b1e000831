"""Laws of shared weights: ordering changes no logit; a width cut out is the width under mask."""

import dataclasses
import functools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.toy_models import logits_of, toy_architecture, toy_batch, toy_state
from thinfer.architecture import Architecture
from thinfer.compress.adaptive import front_mask, order_by_importance
from thinfer.compress.ladder import Ladders
from thinfer.compress.prune import PruneSettings, build_ladders
from thinfer.compress.state import State
from thinfer.compress.surgery import cut

STATE = toy_state(toy_architecture(((4, 12), (3, 8))))
BATCH = toy_batch(5, seed=3)


@functools.cache
def ladders() -> Ladders:
    calibration = toy_batch(60, seed=4)
    return build_ladders(
        STATE, calibration, rng=np.random.default_rng(0), settings=PruneSettings(neuron_step=1)
    )


def ordered() -> State:
    return order_by_importance(STATE, ladders())


def shaped(*widths: tuple[int, int]) -> Architecture:
    layers = zip(STATE.architecture.layers, widths, strict=True)
    return dataclasses.replace(
        STATE.architecture,
        layers=tuple(dataclasses.replace(each, heads=h, ffn=n) for each, (h, n) in layers),
    )


def test_at_width_one_the_logits_are_the_originals() -> None:
    torch.testing.assert_close(logits_of(ordered(), BATCH), logits_of(STATE, BATCH))
    whole = cut(ordered(), front_mask(STATE.architecture, STATE.architecture))
    np.testing.assert_array_equal(logits_of(whole, BATCH), logits_of(ordered(), BATCH))


WIDTHS = st.tuples(
    st.tuples(st.integers(0, 4), st.integers(0, 12)),
    st.tuples(st.integers(0, 3), st.integers(0, 8)),
)


@settings(max_examples=25, deadline=None)
@given(WIDTHS)
def test_a_front_part_is_the_ladders_choice(widths: tuple[tuple[int, int], ...]) -> None:
    """Cut from the ordered weights, and cut by the ladder's own mask from those before."""
    front = cut(ordered(), front_mask(STATE.architecture, shaped(*widths)))
    mask = dataclasses.replace(
        front_mask(STATE.architecture, STATE.architecture),
        heads=tuple(ladders().heads[at].keep(h) for at, (h, _) in enumerate(widths)),
        neurons=tuple(ladders().neurons[at].keep(n) for at, (_, n) in enumerate(widths)),
    )
    torch.testing.assert_close(
        logits_of(front, BATCH), logits_of(cut(STATE, mask), BATCH), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("widths", [((4, 12), (3, 8)), ((2, 5), (1, 3)), ((0, 0), (0, 0))])
def test_the_cut_model_is_the_shared_model_under_its_mask(
    widths: tuple[tuple[int, int], ...],
) -> None:
    mask = front_mask(STATE.architecture, shaped(*widths))
    inputs = [torch.from_numpy(part) for part in BATCH.padded(STATE.pad_id)]
    with torch.no_grad():
        masked = ordered().module()(
            *inputs,
            head_gates=[torch.from_numpy(part.astype(np.float32)) for part in mask.heads],
            neuron_gates=[torch.from_numpy(part.astype(np.float32)) for part in mask.neurons],
        )
    found = logits_of(cut(ordered(), mask), BATCH)
    torch.testing.assert_close(found, masked, rtol=1e-4, atol=1e-5)
