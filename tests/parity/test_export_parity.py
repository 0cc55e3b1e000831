"""What the exporters write gives the logits of the torch form, for every shape of model."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("torch")
pytest.importorskip("onnx")

import torch

from tests.support.export_models import (
    LONGEST,
    SHAPES,
    Weights,
    open_tiny,
    random_batch,
    random_weights,
)
from tests.support.tiny_checkpoints import KINDS, make_model, save_model
from thinfer.architecture import Architecture
from thinfer.bundle import encode_weights
from thinfer.core.optional import is_available
from thinfer.engine.base import EngineSpec, Precision
from thinfer.engine.registry import open_engine_folder
from thinfer.export.graph import build_graph
from thinfer.export.parity import compare_logits
from thinfer.export.write import ExportRequest, write_engine
from thinfer.nn.checkpoint import load_checkpoint
from thinfer.nn.encoder import EncoderClassifier
from thinfer.text.batch import Batch

needs_openvino = pytest.mark.skipif(
    not (is_available("openvino") and is_available("nncf")), reason="OpenVINO is not installed"
)
Logits = NDArray[np.float32]


class Model(NamedTuple):
    architecture: Architecture
    weights: Weights
    batch: Batch
    expected: Logits


def torch_logits(architecture: Architecture, weights: Weights, batch: Batch) -> Logits:
    """Each sequence alone and without padding: nothing of a batch can be in it."""
    module = EncoderClassifier.from_weights(architecture, weights)
    rows = []
    with torch.inference_mode():
        for row in range(len(batch)):
            parts = batch.select([row]).padded(0)
            rows.append(module(*(torch.from_numpy(part) for part in parts))[0].numpy())
    return np.stack(rows)


@pytest.fixture(params=SHAPES, scope="module")
def model(request: pytest.FixtureRequest) -> Model:
    architecture = SHAPES[request.param]
    weights = random_weights(architecture)
    batch = random_batch(architecture)
    return Model(architecture, weights, batch, torch_logits(architecture, weights, batch))


def export(
    model: Model, folder: Path, name: str, precision: Precision, **options: str | int
) -> EngineSpec:
    request = ExportRequest(
        weights=model.weights,
        architecture=model.architecture,
        folder=folder,
        pad_id=0,
        calibration=random_batch(model.architecture, range(1, LONGEST + 1), seed=3),
    )
    return dataclasses.replace(write_engine(name, precision, request), options=options)


def run(model: Model, folder: Path, spec: EngineSpec, batch: Batch | None = None) -> Logits:
    engine = open_tiny(folder, spec, model.architecture)
    logits = engine.run(model.batch if batch is None else batch)
    engine.close()
    return logits


def distance(left: Logits, right: Logits) -> float:
    return compare_logits(left, right).max_abs


@pytest.mark.parametrize("grouping", ["none", "length"])
def test_the_fused_graph_gives_torchs_logits(model: Model, tmp_path: Path, grouping: str) -> None:
    spec = export(model, tmp_path, "onnxruntime", "fp32", grouping=grouping, overhead_tokens=0)
    assert distance(model.expected, run(model, tmp_path, spec)) < 1e-4


def test_the_plain_graph_gives_torchs_logits(model: Model, tmp_path: Path) -> None:
    graph = build_graph(model.weights, model.architecture, fused=False)
    (tmp_path / "model.onnx").write_bytes(graph.SerializeToString())
    spec = EngineSpec(
        name="onnxruntime",
        precision="fp32",
        files=("model.onnx",),
        options={"grouping": "none"},
    )
    assert distance(model.expected, run(model, tmp_path, spec)) < 1e-4


def test_what_stands_in_the_padding_does_not_matter(model: Model, tmp_path: Path) -> None:
    spec = export(model, tmp_path, "onnxruntime", "fp32")
    graph = build_graph(model.weights, model.architecture, fused=False)
    (tmp_path / "plain.onnx").write_bytes(graph.SerializeToString())
    onnxruntime = pytest.importorskip("onnxruntime")
    ids, mask, types = model.batch.padded(0)
    noise = np.random.default_rng(5).integers(0, model.architecture.vocab, ids.shape)
    feed = {
        "input_ids": np.where(mask == 1, ids, noise),
        "attention_mask": mask,
        "token_type_ids": types,
    }
    for name in (spec.files[0], "plain.onnx"):
        session = onnxruntime.InferenceSession(
            str(tmp_path / name), providers=["CPUExecutionProvider"]
        )
        assert distance(model.expected, session.run(["logits"], feed)[0]) < 1e-4


def test_int8_stays_close_and_does_so_per_text(model: Model, tmp_path: Path) -> None:
    spec = export(model, tmp_path, "onnxruntime", "int8")
    spread = float(model.expected.std(axis=0).max())
    logits = run(model, tmp_path, spec)
    assert distance(model.expected, logits) < max(0.1, 0.5 * spread)
    correlation = np.corrcoef(model.expected.ravel(), logits.ravel())[0, 1]
    assert correlation > 0.98


@needs_openvino
@pytest.mark.parametrize("widths", ["exact", "steps"])
def test_openvino_gives_torchs_logits(model: Model, tmp_path: Path, widths: str) -> None:
    spec = export(model, tmp_path, "openvino", "fp32", widths=widths)
    assert distance(model.expected, run(model, tmp_path, spec)) < 1e-4


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_the_torch_engine_gives_torchs_logits(
    model: Model, tmp_path: Path, precision: Precision
) -> None:
    (tmp_path / "weights.safetensors").write_bytes(encode_weights(model.weights))
    spec = EngineSpec(name="torch", precision=precision, files=("weights.safetensors",))
    bound = 1e-5 if precision == "fp32" else 0.08
    assert distance(model.expected, run(model, tmp_path, spec)) < bound


def build(name: str, lengths: tuple[int, ...]) -> Model:
    architecture = SHAPES[name]
    weights = random_weights(architecture, seed=1)
    batch = random_batch(architecture, lengths, seed=2)
    return Model(architecture, weights, batch, torch_logits(architecture, weights, batch))


@needs_openvino
@pytest.mark.parametrize("name", ["uneven", "no type rows"])
def test_openvino_in_lower_precision_stays_close(tmp_path: Path, name: str) -> None:
    model = build(name, (1, LONGEST, 6, 6, 13))
    bounds: Mapping[Precision, float] = {"bf16": 0.1, "int8": 0.6}
    for precision, bound in bounds.items():
        folder = tmp_path / precision
        folder.mkdir()
        spec = export(model, folder, "openvino", precision)
        logits = run(model, folder, spec)
        assert 0 < distance(model.expected, logits) < bound
        assert np.corrcoef(model.expected.ravel(), logits.ravel())[0, 1] > 0.95


@pytest.mark.parametrize("engine", ["onnxruntime", pytest.param("openvino", marks=needs_openvino)])
def test_a_text_alone_has_the_logits_it_has_in_a_batch(tmp_path: Path, engine: str) -> None:
    model = build("uneven", (1, LONGEST, 3, 11, 1, 11))
    spec = export(model, tmp_path, engine, "fp32", grouping="none")
    together = run(model, tmp_path, spec)
    alone = [run(model, tmp_path, spec, model.batch.select([row])) for row in range(6)]
    assert distance(together, np.concatenate(alone)) < 1e-5


@pytest.mark.parametrize("kind", KINDS)
def test_the_transformers_engine_gives_the_same_as_our_own_form(kind: str, tmp_path: Path) -> None:
    save_model(make_model(kind), tmp_path)
    checkpoint = load_checkpoint(tmp_path)
    shape = checkpoint.architecture
    # RoBERTa takes the padding id in a text for padding; a tokenizer never puts it there.
    drawn = random_batch(shape, (1, shape.max_length, 5, 9))
    batch = dataclasses.replace(drawn, ids=np.maximum(drawn.ids, 2))
    spec = EngineSpec(name="transformers", precision="fp32", files=("model.safetensors",))
    pad_id = checkpoint.tokenizer.pad_id
    engine = open_engine_folder(tmp_path, spec, shape, pad_id=pad_id, threads=1)
    expected = torch_logits(shape, checkpoint.model.weights(), batch)
    assert distance(expected, engine.run(batch)) < 1e-5
    assert engine.info.name == "transformers"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
def test_the_torch_engine_on_cuda(tmp_path: Path, precision: Precision) -> None:
    model = build("uneven", (1, LONGEST, 6))
    (tmp_path / "weights.safetensors").write_bytes(encode_weights(model.weights))
    spec = EngineSpec(
        name="torch",
        precision=precision,
        files=("weights.safetensors",),
        options={"device": "cuda"},
    )
    bound = 1e-3 if precision == "fp32" else 0.08
    assert distance(model.expected, run(model, tmp_path, spec)) < bound
