"""`write_engine`: which files each pair writes, and which pairs it refuses."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx")

import onnx

from tests.support.export_models import (
    SHAPES,
    open_tiny,
    random_batch,
    random_weights,
)
from thinfer.core.optional import is_available
from thinfer.engine.base import EngineSpec, Precision
from thinfer.errors import EngineError, UserError
from thinfer.export.blocks import list_blocks_to_round
from thinfer.export.fusion import count_operators
from thinfer.export.write import EXPORTERS, ExportRequest, write_engine
from thinfer.text.batch import Batch

SHAPE = SHAPES["uneven"]


def make_request(folder: Path, calibration: Batch | None = None) -> ExportRequest:
    return ExportRequest(
        weights=random_weights(SHAPE),
        architecture=SHAPE,
        folder=folder,
        pad_id=0,
        calibration=calibration,
    )


PAIRS = [pair for pair in EXPORTERS if pair != ("openvino", "int8")]  # tested with the IR


@pytest.mark.parametrize("pair", PAIRS)
def test_what_the_spec_names_is_written_and_runs(
    tmp_path: Path, pair: tuple[str, Precision]
) -> None:
    name, precision = pair
    if name == "openvino" and not is_available("openvino"):
        pytest.skip("OpenVINO is not installed")
    spec = write_engine(name, precision, make_request(tmp_path))
    assert (spec.name, spec.precision) == pair
    written = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    portable = {"model.onnx"} if name == "onnxruntime" else set()
    assert written == {*spec.files, *portable}
    engine = open_tiny(tmp_path, spec, SHAPE)
    assert engine.info.precision == precision
    assert engine.run(random_batch(SHAPE)).shape == (8, 3)


def test_int8_has_a_portable_fused_graph_beside_the_faster_plain_one(tmp_path: Path) -> None:
    spec = write_engine("onnxruntime", "int8", make_request(tmp_path))
    blocks = sum(layer.heads > 0 for layer in SHAPE.layers)
    assert count_operators(tmp_path / "model.onnx")["SkipLayerNormalization"] >= blocks
    assert count_operators(tmp_path / spec.files[0])["SkipLayerNormalization"] == 0
    fast = open_tiny(tmp_path, spec, SHAPE)
    portable = open_tiny(tmp_path, replace(spec, files=("model.onnx",), options={}), SHAPE)
    batch = random_batch(SHAPE)
    np.testing.assert_allclose(fast.run(batch), portable.run(batch), atol=0.05)


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_kept_blocks_have_float_products_and_the_rest_its_int8_ones(tmp_path: Path) -> None:
    kept = ("layers.1.attention", "layers.2.ffn")
    folders = {}
    for name, blocks in (("all", ()), ("some", kept), ("none", list_blocks_to_round(SHAPE))):
        folders[name] = tmp_path / name
        folders[name].mkdir()
        request = make_request(folders[name], random_batch(SHAPE))
        spec = write_engine("onnxruntime", "int8", replace(request, kept_fp32=tuple(blocks)))
        assert spec.options.get("kept_fp32", "") == ",".join(blocks)
        codes = {
            part.name
            for part in onnx.load(folders[name] / "model.onnx").graph.initializer
            if part.data_type == onnx.TensorProto.INT8
        }
        if name == "all":
            rounded = codes
        elif name == "some":
            assert {part for part in rounded - codes if not part.startswith(kept)} == set()
            assert not [part for part in codes if part.startswith(kept)]
            assert rounded - codes
        else:
            assert not codes
    write_engine("onnxruntime", "fp32", make_request(tmp_path))
    plain = open_tiny(
        tmp_path, EngineSpec(name="onnxruntime", precision="fp32", files=("model.onnx",)), SHAPE
    )
    batch = random_batch(SHAPE)
    same = open_tiny(folders["none"], spec, SHAPE)
    np.testing.assert_allclose(same.run(batch), plain.run(batch), atol=1e-4)


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_a_block_that_is_not_there_cannot_be_kept(tmp_path: Path, engine: str) -> None:
    request = replace(make_request(tmp_path, random_batch(SHAPE)), kept_fp32=("layers.7.ffn",))
    with pytest.raises(UserError, match=r"not in the model.*got layers\.7\.ffn"):
        write_engine(engine, "int8", request)
    assert not list(tmp_path.iterdir())


def test_an_engine_that_cannot_leave_blocks_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(EXPORTERS, ("torch", "int8"), EXPORTERS["torch", "fp32"])
    request = replace(make_request(tmp_path, random_batch(SHAPE)), kept_fp32=("pooler",))
    with pytest.raises(EngineError, match="'torch' cannot leave blocks in FP32"):
        write_engine("torch", "int8", request)
    assert not list(tmp_path.iterdir())


def test_other_precisions_write_the_same_bytes_whatever_is_kept(tmp_path: Path) -> None:
    for name, kept in (("one", ()), ("two", ("pooler",))):
        (tmp_path / name).mkdir()
        spec = write_engine(
            "onnxruntime", "fp32", replace(make_request(tmp_path / name), kept_fp32=kept)
        )
        assert "kept_fp32" not in spec.options
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_a_pair_that_nobody_writes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"'onnxruntime' has no precision 'bf16'.*openvino int8"):
        write_engine("onnxruntime", "bf16", make_request(tmp_path))
    with pytest.raises(UserError, match="'warp' has no precision"):
        write_engine("warp", "fp32", make_request(tmp_path))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("calibration", [None, Batch.from_sequences([])])
def test_openvino_int8_without_text_is_refused(tmp_path: Path, calibration: Batch | None) -> None:
    with pytest.raises(UserError, match=r"needs text to calibrate on.*--calibrate"):
        write_engine("openvino", "int8", make_request(tmp_path, calibration))


def test_without_openvino_the_message_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(EngineError, match=r"pip install 'thinfer\[openvino\]'"):
        write_engine("openvino", "fp32", make_request(tmp_path))


def test_without_nncf_the_message_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not is_available("openvino"):
        pytest.skip("OpenVINO is not installed")
    monkeypatch.setitem(sys.modules, "nncf", None)
    with pytest.raises(EngineError, match=r"'nncf'.*pip install 'thinfer\[openvino\]'"):
        write_engine("openvino", "int8", make_request(tmp_path, random_batch(SHAPE)))
