import copy

import numpy as np
import pytest
import torch

from tests.support.tiny_shapes import draw_batch, make_shape
from thinfer.errors import DataError
from thinfer.nn.encoder import EncoderClassifier
from thinfer.nn.predict import compute_logits, pad_inputs
from thinfer.nn.presets import draw_encoder


def make_model(*layers: tuple[int, int]) -> EncoderClassifier:
    model = draw_encoder(make_shape(*layers), np.random.default_rng(0))
    rng = np.random.default_rng(1)
    with torch.no_grad():
        for value in model.parameters():
            value.add_(torch.from_numpy(rng.normal(0, 0.2, value.shape).astype(np.float32)))
    return model


def test_parameter_names_are_the_canonical_ones() -> None:
    names = set(make_model((2, 8), (0, 0)).weights())
    assert "embeddings.type.weight" in names
    assert "embeddings.task.weight" in names
    assert {"layers.0.attention.query.weight", "layers.0.ffn.up.bias"} <= names
    dropped = {name for name in names if name.startswith("layers.1.")}
    assert dropped == {
        "layers.1.attention.output.bias",
        "layers.1.attention.norm.weight",
        "layers.1.attention.norm.bias",
        "layers.1.ffn.down.bias",
        "layers.1.ffn.norm.weight",
        "layers.1.ffn.norm.bias",
    }


def test_weights_round_trip() -> None:
    model = make_model((2, 8), (1, 0), (0, 4))
    again = EncoderClassifier.from_weights(model.architecture, model.weights())
    batch = draw_batch([3, 7, 1])
    np.testing.assert_array_equal(
        compute_logits(model, batch, pad_id=0), compute_logits(again, batch, pad_id=0)
    )


def test_weights_are_copies() -> None:
    model = make_model((2, 8))
    weights = model.weights()
    weights["head.bias"][:] = 99
    assert float(model.head.bias.detach().max()) < 99
    again = EncoderClassifier.from_weights(model.architecture, weights)
    weights["head.bias"][:] = 0
    assert float(again.head.bias.detach().max()) == 99


@pytest.mark.parametrize("damage", ["missing", "unknown", "shape"])
def test_wrong_weights_are_refused(damage: str) -> None:
    model = make_model((2, 8))
    weights = model.weights()
    if damage == "missing":
        del weights["layers.0.ffn.up.weight"]
    elif damage == "unknown":
        weights["layers.1.ffn.up.weight"] = weights["layers.0.ffn.up.weight"]
    else:
        weights["layers.0.ffn.up.weight"] = weights["layers.0.ffn.up.weight"][:-1]
    with pytest.raises(DataError, match=r"ffn\.up\.weight"):
        EncoderClassifier.from_weights(model.architecture, weights)


def test_a_closed_head_gate_equals_a_head_without_value() -> None:
    model = make_model((3, 8), (3, 8))
    inputs = pad_inputs(draw_batch([4, 6]), 0)
    gates = [torch.ones(3), torch.tensor([1.0, 0.0, 1.0])]
    with torch.no_grad():
        gated = model(*inputs, head_gates=gates)
        cut = copy.deepcopy(model)
        weight = cut.state_dict()["layers.1.attention.output.weight"]
        weight[:, 4:8] = 0  # columns of the second head
        torch.testing.assert_close(cut(*inputs), gated)
        assert not torch.allclose(model(*inputs), gated)


def test_a_closed_neuron_gate_equals_a_neuron_without_output() -> None:
    model = make_model((3, 8), (3, 8))
    inputs = pad_inputs(draw_batch([4, 6]), 0)
    gates = [torch.ones(8), torch.ones(8)]
    gates[0][5] = 0
    with torch.no_grad():
        gated = model(*inputs, neuron_gates=gates)
        cut = copy.deepcopy(model)
        cut.state_dict()["layers.0.ffn.down.weight"][:, 5] = 0
        torch.testing.assert_close(cut(*inputs), gated)


def test_gates_have_gradients() -> None:
    model = make_model((3, 8))
    heads, neurons = torch.ones(3, requires_grad=True), torch.ones(8, requires_grad=True)
    logits = model(*pad_inputs(draw_batch([4]), 0), head_gates=[heads], neuron_gates=[neurons])
    grads = torch.autograd.grad(logits.sum(), [heads, neurons])
    assert all(bool((grad != 0).all()) for grad in grads)


def test_padding_does_not_change_a_row() -> None:
    model = make_model((3, 8), (2, 0), (0, 8))
    alone, long = draw_batch([3]), draw_batch([12], seed=5)
    together = type(alone).concatenate([alone, long])
    with torch.no_grad():
        padded = model(*pad_inputs(together, 0))[0]
        torch.testing.assert_close(padded, model(*pad_inputs(alone, 0))[0], atol=1e-6, rtol=0)


def test_position_offset_shifts_the_rows() -> None:
    plain = make_model((2, 8))
    shifted_shape = make_shape((2, 8), position_offset=2)
    weights = plain.weights()
    table = weights["embeddings.position.weight"]
    weights["embeddings.position.weight"] = np.concatenate([np.full_like(table[:2], 7), table])
    shifted = EncoderClassifier.from_weights(shifted_shape, weights)
    batch = draw_batch([5, 2])
    np.testing.assert_array_equal(
        compute_logits(plain, batch, pad_id=0), compute_logits(shifted, batch, pad_id=0)
    )


def test_the_trace_covers_dropped_blocks() -> None:
    model = make_model((2, 8), (0, 0))
    trace = model.forward_traced(*pad_inputs(draw_batch([4, 2]), 0))
    assert [tuple(states.shape) for states in trace.hidden] == [(2, 4, 12)] * 3
    assert [tuple(shares.shape) for shares in trace.attention] == [(2, 2, 4, 4), (2, 0, 4, 4)]
    torch.testing.assert_close(trace.attention[0].sum(-1), torch.ones(2, 2, 4))


def test_dropout_acts_in_training_only() -> None:
    model = make_model((2, 8))
    inputs = pad_inputs(draw_batch([4, 6]), 0)
    model.set_dropout(0.5)
    with torch.no_grad(), torch.random.fork_rng():
        torch.testing.assert_close(model.eval()(*inputs), model(*inputs))
        assert not torch.allclose(model.train()(*inputs), model(*inputs))
