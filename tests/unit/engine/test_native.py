"""The native engine's own refusals; what it shares with the others is in test_contract.py."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("thinfer.engine._native", reason="built without a C++ compiler")

from tests.support.export_models import SHAPES, open_tiny, random_weights
from thinfer.engine import _native as native
from thinfer.errors import EngineError
from thinfer.export.write import ExportRequest, write_engine

SHAPE = SHAPES["uneven"]


def test_an_unknown_instruction_set_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = ExportRequest(
        weights=random_weights(SHAPE), architecture=SHAPE, folder=tmp_path, pad_id=0
    )
    spec = write_engine("native", "int8", request)
    monkeypatch.setenv("THINFER_ISA", "abacus")
    with pytest.raises(EngineError, match=r"'abacus' is not known; there are:.*scalar"):
        open_tiny(tmp_path, spec, SHAPE)


def test_a_file_of_another_model_is_refused(tmp_path: Path) -> None:
    other = dataclasses.replace(SHAPE, classes=2)
    request = ExportRequest(
        weights=random_weights(other), architecture=other, folder=tmp_path, pad_id=0
    )
    spec = write_engine("native", "fp32", request)
    with pytest.raises(EngineError, match="belongs to another model"):
        open_tiny(tmp_path, spec, SHAPE)


def test_a_precision_it_lacks_is_refused(tmp_path: Path) -> None:
    request = ExportRequest(
        weights=random_weights(SHAPE), architecture=SHAPE, folder=tmp_path, pad_id=0
    )
    spec = dataclasses.replace(write_engine("native", "fp32", request), precision="fp16")
    with pytest.raises(EngineError, match="no precision 'fp16'"):
        open_tiny(tmp_path, spec, SHAPE)


def test_the_core_checks_what_it_is_given_by_itself(tmp_path: Path) -> None:
    """The Python side checks as well; a caller of the core alone must be as safe."""
    request = ExportRequest(
        weights=random_weights(SHAPE), architecture=SHAPE, folder=tmp_path, pad_id=0
    )
    spec = write_engine("native", "int8", request)
    engine = native.Engine(str(tmp_path / spec.files[0]), 2, "")
    ids, zeros = np.array([1, 2, 3]), np.zeros(3, dtype=np.int64)
    good = np.array([0, 1, 3])
    assert engine.run(ids, zeros, good).shape == (2, 3)
    for bad_ids, types, offsets in (
        (np.array([1, 2, 40]), zeros, good),
        (np.array([1, -1, 3]), zeros, good),
        (ids, np.array([0, 9, 0]), good),
        (ids, zeros, np.array([0, 0, 3])),
        (ids, zeros, np.array([0, 2, 1, 3])),
        (ids, zeros, np.array([0, 2])),
        (ids, zeros, np.array([1, 3])),
        (ids, zeros[:2], good),
    ):
        with pytest.raises(native.BatchError):
            engine.run(bad_ids, types, offsets)


def test_steps_are_timed_under_their_names_and_refuse_what_a_call_refuses(tmp_path: Path) -> None:
    request = ExportRequest(
        weights=random_weights(SHAPE), architecture=SHAPE, folder=tmp_path, pad_id=0
    )
    spec = write_engine("native", "int8", request)
    engine = native.Engine(str(tmp_path / spec.files[0]), 1, "")
    ids, zeros = np.array([1, 2, 3]), np.zeros(3, dtype=np.int64)
    steps = engine.time_steps(ids, zeros, np.array([0, 1, 3]))
    assert list(steps) == [
        *("embed", "project", "attend", "output", "attention_norm"),
        *("expand", "contract", "ffn_norm", "classify"),
    ]
    assert all(seconds >= 0 for seconds in steps.values())
    assert steps["project"] > 0
    with pytest.raises(native.BatchError):
        engine.time_steps(np.array([1, 2, 40]), zeros, np.array([0, 1, 3]))
    with pytest.raises(native.BatchError):
        engine.time_steps(ids, zeros[:2], np.array([0, 1, 3]))


def test_the_peak_of_plain_code_is_not_known(tmp_path: Path) -> None:
    request = ExportRequest(
        weights=random_weights(SHAPE), architecture=SHAPE, folder=tmp_path, pad_id=0
    )
    spec = write_engine("native", "int8", request)
    assert native.Engine(str(tmp_path / spec.files[0]), 1, "scalar").measure_peak() == 0.0
    own = native.usable_isas()[0]
    if own not in ("scalar", "amx"):
        assert native.Engine(str(tmp_path / spec.files[0]), 1, own).measure_peak() > 1e9
