"""INT8 with ranges from the user's text: no batch changes a text's answer, and little is lost."""

import dataclasses
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from tests.support.toy_models import toy_architecture, toy_batch, toy_state
from thinfer.compress.state import State
from thinfer.engine.base import EngineSpec
from thinfer.engine.registry import open_engine_folder
from thinfer.export.ranges import measure_ranges
from thinfer.export.write import ExportRequest, write_engine
from thinfer.text.batch import Batch

pytest.importorskip("onnxruntime", reason="the graph is run")

CALIBRATION = toy_batch(200, seed=3)
TEXTS = toy_batch(60, seed=4)


def spread_state() -> State:
    """A state in which some channels of every input are far wider than the others."""
    state = toy_state(toy_architecture(((4, 32), (4, 32), (2, 16))))
    weights = {name: array.copy() for name, array in state.weights.items()}
    for index in range(3):
        for norm in ("attention.norm", "ffn.norm"):
            weights[f"layers.{index}.{norm}.weight"][:2] *= 12.0
        weights[f"layers.{index}.attention.value.weight"][:1] *= 15.0
        weights[f"layers.{index}.ffn.up.weight"][:1] *= 15.0
    return dataclasses.replace(state, weights=weights)


def run(state: State, folder: Path, calibration: Batch | None, texts: list[Batch]) -> np.ndarray:
    folder.mkdir()
    request = ExportRequest(
        weights=state.weights,
        architecture=state.architecture,
        folder=folder,
        pad_id=state.pad_id,
        calibration=calibration,
    )
    spec: EngineSpec = write_engine("onnxruntime", "int8", request)
    engine = open_engine_folder(folder, spec, state.architecture, pad_id=state.pad_id, threads=1)
    try:
        return np.concatenate([engine.run(batch) for batch in texts])
    finally:
        engine.close()


def test_a_text_alone_has_the_bits_that_it_has_in_a_batch(tmp_path: Path) -> None:
    state = spread_state()
    alone = [TEXTS.select([row]) for row in range(len(TEXTS))]
    together = run(state, tmp_path / "batch", CALIBRATION, [TEXTS])
    np.testing.assert_array_equal(together, run(state, tmp_path / "alone", CALIBRATION, alone))
    # Without text to measure on, the engine finds a range for each call, and answers depend on it.
    loose = run(state, tmp_path / "loose", None, [TEXTS])
    assert (loose != run(state, tmp_path / "loose-alone", None, alone)).any()


def test_measured_ranges_are_closer_to_fp32_than_ranges_of_each_call(tmp_path: Path) -> None:
    state = spread_state()
    inputs = [torch.from_numpy(part) for part in TEXTS.padded(state.pad_id)]
    with torch.no_grad():
        wanted = state.module()(*inputs).numpy()
    errors = [
        float(np.square(run(state, tmp_path / name, text, [TEXTS]) - wanted).mean())
        for name, text in (("fixed", CALIBRATION), ("loose", None))
    ]
    assert errors[0] < 0.5 * errors[1]


def test_every_product_has_a_range_and_wide_channels_are_smoothed() -> None:
    state = spread_state()
    ranges = measure_ranges(state.weights, state.architecture, CALIBRATION)
    parts = ("attention.input", "attention.output", "ffn.up", "ffn.down")
    names = {f"layers.{index}.{part}" for index in range(3) for part in parts}
    assert set(ranges) == {*names, "pooler"}
    assert all(each.scale > 0 and 0 <= each.zero_point <= 255 for each in ranges.values())
    smoothed = ranges["layers.1.attention.input"].smoothing
    assert smoothed is not None
    assert smoothed[:2].min() > smoothed[2:].max()


def test_dropped_blocks_have_no_range() -> None:
    state = toy_state(toy_architecture(((0, 32), (4, 0))))
    ranges = measure_ranges(state.weights, state.architecture, CALIBRATION)
    assert set(ranges) == {
        "layers.0.ffn.up",
        "layers.0.ffn.down",
        "layers.1.attention.input",
        "layers.1.attention.output",
        "pooler",
    }


def test_the_same_text_writes_the_same_bytes_and_fixed_ranges_alone(tmp_path: Path) -> None:
    state = spread_state()
    for name in ("one", "two"):
        run(state, tmp_path / name, CALIBRATION, [TEXTS])
    files = ("model.onnx", "engines/onnxruntime/model.onnx")
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
        kinds = {node.op_type for node in onnx.load(tmp_path / "one" / file).graph.node}
        assert "MatMulIntegerToFloat" in kinds
        assert not {"DynamicQuantizeMatMul", "DynamicQuantizeLinear"} & kinds
