"""`write_engine`: which files each pair writes, and which pairs it refuses."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx")

from tests.support.export_models import (
    SHAPES,
    open_tiny,
    random_batch,
    random_weights,
)
from thinfer.core.optional import is_available
from thinfer.engine.base import Precision
from thinfer.errors import EngineError, UserError
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
