"""The settings of the ONNX Runtime engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnxruntime
import psutil
import pytest

pytest.importorskip("onnx")

from tests.support.export_models import (
    SHAPES,
    open_tiny,
    random_batch,
    random_weights,
)
from thinfer.engine.base import EngineSpec
from thinfer.errors import EngineError
from thinfer.export.write import ExportRequest, write_engine

SHAPE = SHAPES["uneven"]


def write(folder: Path) -> EngineSpec:
    request = ExportRequest(
        weights=random_weights(SHAPE), architecture=SHAPE, folder=folder, pad_id=0
    )
    return write_engine("onnxruntime", "fp32", request)


@pytest.mark.parametrize("threads", [1, 3])
def test_it_starts_as_many_threads_as_asked_for(tmp_path: Path, threads: int) -> None:
    spec = write(tmp_path)
    before = psutil.Process().num_threads()
    engine = open_tiny(tmp_path, spec, SHAPE, threads=threads)
    engine.run(random_batch(SHAPE))
    assert psutil.Process().num_threads() - before == threads - 1  # the caller is one of them
    assert engine.info.threads == threads


def test_memory_plans_are_off_and_idle_threads_sleep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    real = onnxruntime.InferenceSession

    def open_session(path: str, options: Any, **rest: Any) -> Any:  # noqa: ANN401
        seen.append(options)
        return real(path, options, **rest)

    monkeypatch.setattr(onnxruntime, "InferenceSession", open_session)
    open_tiny(tmp_path, write(tmp_path), SHAPE, threads=2)
    (options,) = seen
    assert not options.enable_mem_pattern
    assert options.get_session_config_entry("session.force_spinning_stop") == "1"
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (2, 1)
    everything = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    assert options.graph_optimization_level == everything


def test_a_graph_with_other_inputs_fails_as_an_engine(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    spec = write(tmp_path)
    model = onnx.load(str(tmp_path / spec.files[0]))
    model.graph.input[0].name = "tokens"
    for node in model.graph.node:
        names = ["tokens" if name == "input_ids" else name for name in node.input]
        del node.input[:]
        node.input.extend(names)
    onnx.save(model, str(tmp_path / spec.files[0]))
    engine = open_tiny(tmp_path, spec, SHAPE)
    with pytest.raises(EngineError, match="failed to run a batch"):
        engine.run(random_batch(SHAPE))
