"""Gradients of the margin: against finite differences, and in the right places."""

import numpy as np
import pytest
import torch

from tests.support.toy_models import toy_architecture, toy_batch, toy_state
from thinfer.compress.sensitivity import Sensitivity, measure_sensitivity
from thinfer.compress.walk import Packed, classify, embed, list_blocks, pack
from thinfer.core.progress import SilentProgress
from thinfer.nn.encoder import EncoderClassifier

BATCH = toy_batch(40)


def measure(
    layers: tuple[tuple[int, int], ...], classes: int = 3
) -> tuple[EncoderClassifier, Packed, Sensitivity]:
    state = toy_state(toy_architecture(layers, classes=classes))
    packed = pack(BATCH, np.argsort(BATCH.lengths, kind="stable"))
    rng = np.random.default_rng(0)
    module = state.module()
    return module, packed, measure_sensitivity(module, packed, rng=rng, progress=SilentProgress())


def test_in_the_last_ffn_only_the_first_token_counts() -> None:
    _, packed, felt = measure(((4, 32), (4, 32)))
    first = np.zeros(len(packed.ids), dtype=np.bool_)
    first[packed.first.numpy()] = True
    last = felt.token_weights[-1]
    assert last[~first].max() < 0.1  # the evenly spread share alone
    assert last[first].mean() > 5.0
    np.testing.assert_allclose(felt.token_weights.mean(1), 1.0, rtol=1e-4)
    assert felt.token_weights[0][~first].min() > last[~first].max()


def test_a_caller_may_have_switched_gradients_off() -> None:
    _, _, felt = measure(((2, 8),))
    with torch.no_grad():
        _, _, found = measure(((2, 8),))
    np.testing.assert_array_equal(found.token_weights, felt.token_weights)
    np.testing.assert_array_equal(found.metrics, felt.metrics)


def test_metric_equals_finite_differences() -> None:
    """Two classes leave one rival: the margin's change along a direction is gᵀd, known exactly."""
    module, packed, felt = measure(((2, 8),), classes=2)
    block = list_blocks(module)[1]
    direction = torch.randn(16, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        states = embed(module, packed)
        states = list_blocks(module)[0].finish(states, list_blocks(module)[0].read(states, packed))
        added = block.project(block.read(states, packed))
        outcomes = [
            classify(module, block.norm(states + added + step * direction), packed).double()
            for step in (0.0, 1e-3)
        ]
    answer = outcomes[0].argmax(1, keepdim=True)
    before, after = (
        (each.gather(1, answer) - each.gather(1, 1 - answer))[:, 0] for each in outcomes
    )
    slopes = (after - before) / 1e-3
    expected = float((slopes.square() / (before.square() + 9.0)).mean())
    metric, plain = felt.metrics[1], direction.double().numpy()
    gram = metric.T @ metric
    # The even share is taken out again: G = 0.95 G₀ + 0.05 mean(eig) I, which keeps the trace.
    even = 0.05 * float(np.trace(gram)) / 16
    found = (float(plain @ gram @ plain) - even * float(plain @ plain)) / 0.95
    assert found == pytest.approx(expected, rel=0.02)


def test_constant_blocks_and_single_outputs_are_measured_too() -> None:
    _, _, felt = measure(((0, 8), (2, 0)), classes=1)
    assert all(np.isfinite(metric).all() for metric in felt.metrics)
    assert felt.token_weights.min() > 0.0
