"""Losses of smaller heads lie on the ladder's scale, and are what a refit loses."""

import functools

import numpy as np
import pytest
import torch

from tests.support.toy_models import toy_architecture, toy_batch, toy_state, wide_architecture
from thinfer.compress.calibrate import measure_moments
from thinfer.compress.headloss import Dense, measure_sizes
from thinfer.compress.headsize import HeadOption, SizedHeads, resize_attention
from thinfer.compress.surgeon import Damped, damp, eliminate_groups
from thinfer.compress.walk import Block, Packed, embed, list_blocks, pack
from thinfer.errors import InternalError

STATE = toy_state(wide_architecture(1))
BATCH = toy_batch(80, seed=4)
ORDER = np.array([0, 1])  # of removal, as the surgeon has it too
OPTIONS = [
    HeadOption(heads=heads, qk_size=qk_size, value_size=value_size)
    for heads in (1, 2)
    for qk_size in (16, 8, 1)
    for value_size in (16, 8, 1)
]


@functools.cache
def case() -> tuple[Block, torch.Tensor, Packed, torch.Tensor, np.ndarray, Damped]:
    module = STATE.module().requires_grad_(False)
    packed = pack(BATCH, np.argsort(BATCH.lengths, kind="stable"))
    block, states = list_blocks(module)[0], embed(module, packed)
    weights = torch.from_numpy(np.random.default_rng(0).random(len(states)).astype(np.float32))
    metric = np.random.default_rng(1).normal(size=(16, 16))
    damped = damp(measure_moments(block.read(states, packed), weights).cov_xx, 0.01)
    return block, states, packed, weights, metric, damped


@functools.cache
def measured() -> SizedHeads:
    block, states, packed, weights, metric, damped = case()
    dense = Dense(block, states, packed, weights)
    return measure_sizes(dense, damped.matrix, metric, OPTIONS, order=ORDER, damping=damped.ratio)


def loss_of(heads: int, qk_size: int, value_size: int) -> float:
    option = HeadOption(heads=heads, qk_size=qk_size, value_size=value_size)
    return float(measured().errors[measured().options.index(option)])


def test_heads_of_full_size_lose_what_the_ladder_says() -> None:
    block, *_, metric, damped = case()
    weight = metric @ block.projection.get_parameter("weight").double().numpy()
    whole = float(np.sum((weight @ damped.matrix) * weight))
    assert loss_of(2, 16, 16) == pytest.approx(0.0, abs=1e-5 * whole)
    gone = eliminate_groups(weight, damped.inverse, 16)
    assert gone.order.tolist() == ORDER.tolist()
    assert loss_of(1, 16, 16) == pytest.approx(gone.errors[1], rel=1e-4)


def test_less_of_anything_loses_more() -> None:
    for qk_size in (16, 8, 1):
        losses = [loss_of(2, qk_size, value_size) for value_size in (16, 8, 1)]
        assert losses == sorted(losses)
    assert loss_of(2, 16, 16) < loss_of(2, 8, 16) < loss_of(2, 1, 16)
    assert loss_of(2, 8, 8) < loss_of(1, 8, 8)


@pytest.mark.parametrize("option", OPTIONS)
def test_a_loss_is_what_the_resized_block_really_loses(option: HeadOption) -> None:
    _, states, packed, weights, metric, _ = case()
    keep = np.array([option.heads == 2, True])
    prefix = "layers.0.attention."
    part = {n.removeprefix(prefix): a for n, a in STATE.weights.items() if n.startswith(prefix)}
    shape = STATE.architecture.layers[0]
    small = resize_attention(part, shape, measured(), option, keep)
    outputs = [_output(part, states, packed, 2), _output(small, states, packed, option.heads)]
    change = (outputs[0] - outputs[1]).double().numpy() @ metric.T
    share = weights.double().numpy() / float(weights.double().sum())
    middle = share @ change
    seen = float(share @ ((change - middle) ** 2).sum(1))
    predicted = loss_of(option.heads, option.qk_size, option.value_size)
    # The prediction holds the damping's part too, and never less than what is seen.
    assert seen <= predicted * 1.001 + 1e-3
    assert abs(middle).max() < 1e-2 * np.abs(change).max() + 1e-4  # the bias takes the mean


def _output(
    part: dict[str, np.ndarray], states: torch.Tensor, packed: Packed, heads: int
) -> torch.Tensor:
    """The block's output from bare weights, text by text."""
    tensors = {name: torch.from_numpy(np.array(array)) for name, array in part.items()}
    rows = []
    for text in torch.split(
        states, [*torch.diff(packed.first).tolist(), len(states) - int(packed.first[-1])]
    ):
        query, key, value = (
            (text @ tensors[f"{name}.weight"].T + tensors[f"{name}.bias"])
            .view(len(text), heads, -1)
            .transpose(0, 1)
            for name in ("query", "key", "value")
        )
        shares = (query @ key.transpose(1, 2) / query.shape[-1] ** 0.5).softmax(-1)
        context = (shares @ value).transpose(0, 1).flatten(1)
        rows.append(context @ tensors["output.weight"].T + tensors["output.bias"])
    return torch.cat(rows)


def test_a_block_without_heads_is_refused() -> None:
    state = toy_state(toy_architecture(((0, 8),)))
    _, states, packed, weights, *_ = case()
    block = list_blocks(state.module())[0]
    with pytest.raises(InternalError, match="without heads"):
        Dense(block, states, packed, weights)
