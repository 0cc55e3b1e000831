"""What every engine that runs a real model promises, tried on each of them."""

from __future__ import annotations

import dataclasses
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx")

from tests.support.export_models import (
    LONGEST,
    SHAPES,
    open_tiny,
    random_batch,
    random_weights,
)
from thinfer.engine.base import Engine, EngineSpec
from thinfer.engine.registry import available_engines
from thinfer.errors import DataError, EngineError, UserError
from thinfer.export.write import ExportRequest, write_engine
from thinfer.text.batch import Batch

SHAPE = SHAPES["uneven"]
NAMES = [
    name
    for name in ("native", "onnxruntime", "openvino", "torch")
    if available_engines()[name] is None
]


@pytest.fixture(params=NAMES, scope="module")
def made(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, EngineSpec]:
    folder = tmp_path_factory.mktemp(request.param)
    export = ExportRequest(
        weights=random_weights(SHAPE), architecture=SHAPE, folder=folder, pad_id=0
    )
    return folder, write_engine(request.param, "fp32", export)


@pytest.fixture
def engine(made: tuple[Path, EngineSpec]) -> Engine:
    return open_tiny(*made, SHAPE)


def test_it_says_what_it_is(engine: Engine, made: tuple[Path, EngineSpec]) -> None:
    info = engine.info
    assert (info.name, info.precision, info.threads) == (made[1].name, "fp32", 1)
    assert (info.max_length, info.vocab, info.classes) == (LONGEST, 40, 3)
    assert info.version[0].isdigit()


def test_rows_come_in_the_order_of_the_batch(engine: Engine) -> None:
    batch = random_batch(SHAPE, (20, 1, 19, 1, 5, 5, 20))
    logits = engine.run(batch)
    assert logits.dtype == np.float32
    assert logits.shape == (7, 3)
    order = [6, 0, 3, 2, 5, 1, 4]
    np.testing.assert_allclose(engine.run(batch.select(order)), logits[order], atol=1e-5)


def test_the_answer_is_the_callers_own(engine: Engine) -> None:
    batch = random_batch(SHAPE, (5, 5))
    first = engine.run(batch)
    kept = first.copy()
    engine.run(random_batch(SHAPE, (5, 5), seed=9))
    np.testing.assert_array_equal(first, kept)
    first[:] = 0  # writable
    np.testing.assert_array_equal(engine.run(batch), kept)


def test_the_empty_batch_has_no_rows(engine: Engine) -> None:
    assert engine.run(Batch.from_sequences([])).shape == (0, 3)


@pytest.mark.parametrize(
    ("sequences", "types", "reason"),
    [
        ([[1], [40]], None, "token id of sequence 1"),
        ([[-1]], None, "token id of sequence 0"),
        ([[2**40]], None, "token id of sequence 0"),
        ([[1, 1]], [[0, 2]], "token type id of sequence 0"),
        ([[1], []], None, "sequence 1 has an impossible length"),
        ([[1] * (LONGEST + 1)], None, "sequence 0 has an impossible length"),
    ],
)
def test_what_is_out_of_range_is_refused_and_does_no_harm(
    engine: Engine, sequences: list[list[int]], types: list[list[int]] | None, reason: str
) -> None:
    batch = random_batch(SHAPE)
    before = engine.run(batch)
    with pytest.raises(DataError, match=reason):
        engine.run(Batch.from_sequences(sequences, types))
    np.testing.assert_array_equal(engine.run(batch), before)


def test_threads_that_call_at_once_get_their_own_rows(engine: Engine) -> None:
    batches = [random_batch(SHAPE, (1 + seed % LONGEST, 7, 3), seed) for seed in range(24)]
    expected = [engine.run(batch) for batch in batches]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            got = list(pool.map(engine.run, batches))
            for left, right in zip(got, expected, strict=True):
                np.testing.assert_allclose(left, right, atol=1e-5)


def test_closing_twice_is_harmless_and_running_then_is_refused(engine: Engine) -> None:
    engine.run(random_batch(SHAPE))
    engine.close()
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        engine.run(random_batch(SHAPE))


@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "noise"])
def test_a_damaged_model_is_refused(
    made: tuple[Path, EngineSpec], tmp_path: Path, damage: str
) -> None:
    folder, spec = made
    for name in spec.files:
        raw = (folder / name).read_bytes()
        bad = {"empty": b"", "cut": raw[: len(raw) // 2], "noise": b"\x99" * len(raw)}.get(damage)
        target = tmp_path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if bad is not None:
            target.write_bytes(bad)
    with pytest.raises(EngineError, match=r"cannot (load|open)"):
        open_tiny(tmp_path, spec, SHAPE)


@pytest.mark.parametrize(
    "options",
    [
        {"grouping": "shape"},
        {"overhead_tokens": "many"},
        {"overhead_tokens": -1},
        {"widths": "any"},
    ],
)
def test_options_that_cannot_be_read_are_refused(
    made: tuple[Path, EngineSpec], options: dict[str, str | int]
) -> None:
    folder, spec = made
    if spec.name == "native":
        pytest.skip("it does not pad")
    with pytest.raises(UserError, match="padding options"):
        open_tiny(folder, dataclasses.replace(spec, options=options), SHAPE)


def test_a_precision_it_does_not_have_is_refused(made: tuple[Path, EngineSpec]) -> None:
    folder, spec = made
    if spec.name == "onnxruntime":
        pytest.skip("its graph holds the precision")
    with pytest.raises(EngineError, match="no precision 'int4'"):
        open_tiny(folder, dataclasses.replace(spec, precision="int4"), SHAPE)  # type: ignore[arg-type]


def test_a_directory_that_transformers_cannot_read_is_refused(tmp_path: Path) -> None:
    if available_engines()["transformers"] is not None:
        pytest.skip("transformers is not installed")
    spec = EngineSpec(name="transformers", precision="fp32", files=())
    with pytest.raises(EngineError, match="transformers cannot load"):
        open_tiny(tmp_path, spec, SHAPE)
    config = {"model_type": "bert", "architectures": ["BertForSequenceClassification"]}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "model.safetensors").write_bytes(b"\x99" * 100)
    with pytest.raises(EngineError, match="transformers cannot load"):
        open_tiny(tmp_path, spec, SHAPE)
