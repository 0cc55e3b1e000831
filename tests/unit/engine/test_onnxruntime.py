"""The settings of the ONNX Runtime engine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
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
from thinfer.architecture import LayerShape
from thinfer.engine.base import EngineSpec, Feed, Precision
from thinfer.engine.pool import GroupPool, choose_parallel
from thinfer.errors import EngineError, UserError
from thinfer.export.write import ExportRequest, write_engine
from thinfer.text.batch import Batch

SHAPE = SHAPES["uneven"]


def write(folder: Path) -> EngineSpec:
    request = ExportRequest(
        weights=random_weights(SHAPE), architecture=SHAPE, folder=folder, pad_id=0
    )
    return write_engine("onnxruntime", "fp32", request)


@pytest.mark.parametrize("parallel", ["groups", "inside"])
@pytest.mark.parametrize("threads", [1, 3])
def test_it_starts_as_many_threads_as_asked_for(
    tmp_path: Path, threads: int, parallel: str
) -> None:
    spec = replace(write(tmp_path), options={"parallel": parallel, "overhead_tokens": 0})
    before = psutil.Process().num_threads()
    engine = open_tiny(tmp_path, spec, SHAPE, threads=threads)
    for _ in range(3):  # a pool starts its threads as it needs them
        engine.run(Batch.from_sequences([[1] * length for length in (2, 4, 6, 8) * 8]))
    assert psutil.Process().num_threads() - before == threads - 1  # the caller is one of them
    assert engine.info.threads == threads
    engine.close()


def test_a_threading_that_is_not_known_is_refused(tmp_path: Path) -> None:
    spec = replace(write(tmp_path), options={"parallel": "sideways"})
    with pytest.raises(UserError, match="parallel"):
        open_tiny(tmp_path, spec, SHAPE, threads=2)


def test_groups_side_by_side_answer_as_one_after_another(tmp_path: Path) -> None:
    spec = write(tmp_path)
    batch = Batch.from_sequences([[1 + n % 7] * (1 + n % 9) for n in range(40)])
    answers = [
        open_tiny(
            tmp_path, replace(spec, options={"parallel": parallel}), SHAPE, threads=threads
        ).run(batch)
        for parallel, threads in (("groups", 3), ("inside", 3), ("inside", 1))
    ]
    for other in answers[1:]:
        np.testing.assert_allclose(answers[0], other, atol=1e-5)


def test_an_error_in_a_group_reaches_the_caller() -> None:
    def fail(feed: Feed) -> Any:  # noqa: ANN401 - never answers
        what = "no answer"
        raise EngineError(what, got=str(feed["input_ids"].shape))

    pool = GroupPool(3)
    feeds: list[Feed] = [{"input_ids": np.zeros((1, 2), dtype=np.int64)}] * 5
    with pytest.raises(EngineError, match="no answer"):
        pool.map(fail, feeds)
    pool.close()


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
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (1, 1)
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


@pytest.mark.parametrize(
    ("ffn", "precision", "wish"),
    [
        (1536, "fp32", "groups"),
        (3072, "fp32", "inside"),
        (3072, "int8", "groups"),
        (9216, "int8", "inside"),
    ],
)
def test_the_size_at_which_threads_go_inside_depends_on_the_precision(
    ffn: int, precision: Precision, wish: str
) -> None:
    layer = LayerShape(heads=12, qk_size=32, value_size=32, ffn=ffn)
    shape = replace(SHAPE, hidden=384, layers=(layer,) * 6)  # 1,536 neurons: 9 million a token
    assert choose_parallel(shape, precision, {}) == wish
    assert choose_parallel(shape, precision, {"grouping": "none"}) == "inside"
    assert choose_parallel(shape, precision, {"parallel": "groups"}) == "groups"
