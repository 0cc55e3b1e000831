"""A zero of the model is a zero of the file: FP32 weights and INT8 codes, smoothed or not."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import pytest

from tests.support.export_models import SHAPES, random_batch, random_weights
from thinfer.architecture import Architecture
from thinfer.compress.zeros import count_zeros, list_matrices
from thinfer.errors import InternalError
from thinfer.export.graph import build_graph
from thinfer.export.ranges import InputRange, measure_ranges
from thinfer.export.write import ExportRequest, write_engine
from thinfer.export.zeros import FileZeros, count_file_zeros, require_zeros

PARTS = ("query", "key", "value")


def sparse_weights(shape: Architecture, share: float) -> dict[str, Any]:
    weights, rng = random_weights(shape), np.random.default_rng(5)
    for name in list_matrices(weights):
        weights[name] *= rng.random(weights[name].shape) >= share
    return weights


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("name", ["even", "uneven", "no heads in a layer", "no ffn in a layer"])
def test_the_files_of_onnx_runtime_hold_all_zeros(tmp_path: Path, name: str, share: float) -> None:
    shape = SHAPES[name]
    weights = sparse_weights(shape, share)
    wanted = count_zeros(weights)
    for precision in ("fp32", "int8"):
        folder = tmp_path / precision
        folder.mkdir()
        spec = write_engine(
            "onnxruntime",
            "int8" if precision == "int8" else "fp32",
            ExportRequest(
                weights=weights,
                architecture=shape,
                folder=folder,
                pad_id=0,
                calibration=random_batch(shape),
            ),
        )
        for file in {*spec.files, "model.onnx"}:
            found = count_file_zeros(folder / file)
            require_zeros(found, zeros=wanted["zeros"], weights=wanted["weights"], name=file)
            if precision == "fp32":
                assert found.zeros == wanted["zeros"]


@pytest.mark.parametrize("is_smoothed", [False, True])
@pytest.mark.parametrize(("fused", "precision"), [(False, "fp32"), (True, "fp32"), (True, "int8")])
def test_every_zero_stands_in_its_place(
    tmp_path: Path, fused: bool, precision: Literal["fp32", "int8"], is_smoothed: bool
) -> None:
    shape = SHAPES["uneven"]
    weights = sparse_weights(shape, 0.6)
    ranges = measure_ranges(weights, shape, random_batch(shape)) if precision == "int8" else {}
    if is_smoothed:
        ranges = {name: _smoothed(each, weights, name) for name, each in ranges.items()}
    model = build_graph(weights, shape, fused=fused, precision=precision, ranges=ranges)
    inside = {item.name: onnx.numpy_helper.to_array(item) for item in model.graph.initializer}
    for name in list_matrices(weights):
        prefix, part = name.split(".")[:3], name.split(".")[3]
        joined = ".".join(prefix) + ".joined.weight"
        if part in PARTS and name not in inside:
            sizes = [len(weights[".".join([*prefix, each, "weight"])]) for each in PARTS]
            if ".".join([*prefix, "query", "weight"]) in inside:  # the last layer's stands alone
                sizes[0] = 0
            place = PARTS.index(part)
            array = inside[joined][:, sum(sizes[:place]) : sum(sizes[: place + 1])]
        else:
            array = inside[name]
        assert (array.T[weights[name] == 0.0] == 0).all()
        assert (array != 0).any()


def _smoothed(each: InputRange, weights: dict[str, Any], name: str) -> InputRange:
    width = weights["pooler.weight"].shape[1]
    if name.endswith(("attention.output", "ffn.down")):
        width = weights[f"{name}.weight"].shape[1]
    factors = np.linspace(0.2, 5.0, width).astype(np.float32)
    return InputRange(scale=each.scale, zero_point=each.zero_point, smoothing=factors)


@pytest.mark.parametrize("found", [FileZeros(zeros=9, weights=20), FileZeros(zeros=12, weights=21)])
def test_a_file_that_lost_zeros_is_refused(found: FileZeros) -> None:
    with pytest.raises(InternalError, match="did not keep the zeros"):
        require_zeros(found, zeros=10, weights=20, name="a file")


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_the_files_of_openvino_hold_them_too(
    tmp_path: Path, precision: Literal["fp32", "int8"]
) -> None:
    openvino = pytest.importorskip("openvino", reason="not installed")
    pytest.importorskip("nncf", reason="not installed")
    shape = SHAPES["even"]
    weights = sparse_weights(shape, 0.5)
    request = ExportRequest(
        weights=weights,
        architecture=shape,
        folder=tmp_path,
        pad_id=0,
        calibration=random_batch(shape),
    )
    spec = write_engine("openvino", precision, request)
    model = openvino.Core().read_model(str(tmp_path / spec.files[0]))
    stored = [np.array(op.data) for op in model.get_ops() if op.get_type_name() == "Constant"]
    for name in list_matrices(weights):
        wanted = weights[name].T
        alike = [array for array in stored if array.shape == wanted.shape]
        assert any((array[wanted == 0.0] == 0).all() for array in alike), name
