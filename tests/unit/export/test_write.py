"""`write_engine`: which files each pair writes, and which pairs it refuses."""

from __future__ import annotations

import sys
from pathlib import Path

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
    assert written == set(spec.files)
    engine = open_tiny(tmp_path, spec, SHAPE)
    assert engine.info.precision == precision
    assert engine.run(random_batch(SHAPE)).shape == (8, 3)


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
