"""The torch model that rounds as the INT8 graph does."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tests.support.toy_models import toy_architecture, toy_batch, toy_state
from thinfer.compress.state import State
from thinfer.engine.registry import open_engine_folder
from thinfer.export.blocks import list_blocks_to_round
from thinfer.export.ranges import InputRange, measure_ranges
from thinfer.export.rounded import RoundedEmbedding, RoundedLinear, round_model
from thinfer.export.write import ExportRequest, write_engine
from thinfer.nn.predict import compute_logits

pytest.importorskip("onnxruntime", reason="the graph is run")

CALIBRATION = toy_batch(200, seed=3)
TEXTS = toy_batch(60, seed=4)


def uneven_state() -> State:
    """A state with wide channels, so that ranges are smoothed, and with empty blocks."""
    state = toy_state(toy_architecture(((4, 32), (0, 32), (2, 0), (3, 16))))
    weights = {name: array.copy() for name, array in state.weights.items()}
    for norm in ("layers.0.attention.norm", "layers.0.ffn.norm"):
        weights[f"{norm}.weight"][:2] *= 12.0
    weights["layers.0.attention.value.weight"][:1] *= 15.0
    return dataclasses.replace(state, weights=weights)


def run_graph(state: State, folder: Path, kept: tuple[str, ...]) -> np.ndarray:
    request = ExportRequest(
        weights=state.weights,
        architecture=state.architecture,
        folder=folder,
        pad_id=state.pad_id,
        calibration=CALIBRATION,
        kept_fp32=kept,
    )
    spec = write_engine("onnxruntime", "int8", request)
    engine = open_engine_folder(folder, spec, state.architecture, pad_id=state.pad_id, threads=1)
    try:
        return engine.run(TEXTS)
    finally:
        engine.close()


@pytest.mark.parametrize("kept", [(), ("embeddings", "layers.0.attention", "layers.3.ffn")])
def test_it_gives_the_logits_of_the_graph(tmp_path: Path, kept: tuple[str, ...]) -> None:
    state = uneven_state()
    module = state.module()
    ranges = measure_ranges(state.weights, state.architecture, CALIBRATION)
    assert any(each.smoothing is not None for each in ranges.values())
    plain = compute_logits(module, TEXTS, pad_id=state.pad_id)
    rounded = compute_logits(round_model(module, ranges, kept), TEXTS, pad_id=state.pad_id)
    graph = run_graph(state, tmp_path, kept)
    # A value that lies on the edge of two codes may take the other one: not all bits agree.
    assert np.square(rounded - graph).mean() < 0.05 * np.square(plain - graph).mean()


def test_with_every_block_kept_it_is_the_plain_model() -> None:
    state = uneven_state()
    module = state.module()
    ranges = measure_ranges(state.weights, state.architecture, CALIBRATION)
    same = round_model(module, ranges, list_blocks_to_round(state.architecture))
    np.testing.assert_array_equal(
        compute_logits(same, TEXTS, pad_id=0), compute_logits(module, TEXTS, pad_id=0)
    )


def test_it_shares_the_parameters_and_their_names_and_leaves_the_model_alone() -> None:
    state = uneven_state()
    module = state.module()
    rounded = round_model(
        module, measure_ranges(state.weights, state.architecture, CALIBRATION), ("pooler",)
    )
    ours, theirs = dict(module.named_parameters()), dict(rounded.named_parameters())
    assert [*ours] == [*theirs] == [*rounded.state_dict()]
    assert all(ours[name] is theirs[name] for name in ours)
    kinds = (RoundedLinear, RoundedEmbedding)
    assert not any(isinstance(part, kinds) for part in module.modules())
    # Query, key, value and output three times, up and down three times, and the word rows.
    assert sum(isinstance(part, kinds) for part in rounded.modules()) == 3 * 4 + 3 * 2 + 1


def test_gradients_pass_rounding_and_stop_where_the_range_clips() -> None:
    linear = nn.Linear(3, 2)
    layer = RoundedLinear(linear, InputRange(scale=0.1, zero_point=128))
    inputs = torch.tensor([[0.33, 50.0, -50.0]], requires_grad=True)  # range −12.8 … 12.7
    torch.autograd.backward(layer(inputs).sum())
    assert inputs.grad is not None
    assert linear.weight.grad is not None
    assert inputs.grad[0, 0] != 0
    assert inputs.grad[0, 1:].tolist() == [0.0, 0.0]
    # The gradient of a weight is the rounded input.
    torch.testing.assert_close(linear.weight.grad[0], torch.tensor([0.3, 12.7, -12.8]))


def test_inputs_take_256_values_and_rows_127_on_either_side() -> None:
    layer = RoundedLinear(nn.Linear(1, 1), InputRange(scale=0.5, zero_point=3))
    with torch.no_grad():
        layer.weight.fill_(2.0)
        layer.bias.zero_()
        got = layer(torch.tensor([[-9.0], [-1.4], [0.0], [0.2], [0.3], [900.0]]))
    assert got.flatten().tolist() == [-3.0, -3.0, 0.0, 0.0, 1.0, 252.0]
    table = nn.Embedding(2, 2)
    with torch.no_grad():
        table.weight.copy_(torch.tensor([[127.0, 3.4], [0.0, 0.0]]))
        assert RoundedEmbedding(table)(torch.tensor([0, 1])).tolist() == [[127.0, 3.0], [0.0, 0.0]]
