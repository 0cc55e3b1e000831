"""The native engine gives torch's logits: every shape, every instruction set of this machine."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("thinfer.engine._native", reason="built without a C++ compiler")

import torch

from tests.support.export_models import LONGEST, SHAPES, open_tiny, random_batch, random_weights
from thinfer.architecture import Architecture
from thinfer.engine import _native as native
from thinfer.engine.base import Engine, Precision
from thinfer.export.blocks import list_blocks_to_round
from thinfer.export.write import ExportRequest, write_engine
from thinfer.nn.encoder import EncoderClassifier
from thinfer.text.batch import Batch

ISAS = native.usable_isas()


def expected_logits(shape: Architecture, batch: Batch) -> NDArray[np.float32]:
    module = EncoderClassifier.from_weights(shape, random_weights(shape))
    rows = []
    with torch.inference_mode():
        for row in range(len(batch)):
            parts = batch.select([row]).padded(0)
            rows.append(module(*(torch.from_numpy(part) for part in parts))[0].numpy())
    return np.stack(rows)


def open_native(
    shape: Architecture, folder: Path, precision: Precision, *, threads: int = 1
) -> Engine:
    request = ExportRequest(
        weights=random_weights(shape),
        architecture=shape,
        folder=folder,
        pad_id=0,
        calibration=random_batch(shape, range(1, LONGEST + 1), seed=3),
    )
    return open_tiny(folder, write_engine("native", precision, request), shape, threads=threads)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("name", SHAPES)
def test_every_shape_gives_torchs_logits(
    name: str, isa: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THINFER_ISA", isa)
    shape = SHAPES[name]
    batch = random_batch(shape)
    expected = expected_logits(shape, batch)
    exact = open_native(shape, tmp_path, "fp32")
    assert exact.info.version.endswith(f" {isa}")
    np.testing.assert_allclose(exact.run(batch), expected, atol=1e-4)
    spread = float(expected.std(axis=0).max())
    halves = open_native(shape, tmp_path, "bf16").run(batch)
    assert 0 < np.abs(halves - expected).max() < max(0.05, 0.1 * spread)
    rounded = open_native(shape, tmp_path, "int8").run(batch)
    assert np.abs(rounded - expected).max() < max(0.1, 0.5 * spread)
    assert np.corrcoef(rounded.ravel(), expected.ravel())[0, 1] > 0.98


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8"])
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_a_text_has_the_same_bits_alone_in_any_batch_and_with_any_threads(
    precision: Precision,
    isa: str,
    threads: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("THINFER_ISA", isa)
    shape = SHAPES["uneven"]
    engine = open_native(shape, tmp_path, precision, threads=threads)
    lengths = [1 + (7 * row) % LONGEST for row in range(40)]
    batch = random_batch(shape, lengths)
    alone = open_native(shape, tmp_path, precision)
    expected = np.concatenate([alone.run(batch.select([row])) for row in range(len(batch))])
    np.testing.assert_array_equal(engine.run(batch), expected)
    order = np.random.default_rng(1).permutation(len(batch))
    np.testing.assert_array_equal(engine.run(batch.select(order)), expected[order])
    for row in range(5):
        np.testing.assert_array_equal(engine.run(batch.select([row])), expected[[row]])


def test_the_sets_of_kernels_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """INT8 sums are exact, so what is left is the rounding of float steps between them."""
    shape = SHAPES["uneven"]
    batch = random_batch(shape)
    found = []
    for isa in ISAS:
        monkeypatch.setenv("THINFER_ISA", isa)
        found.append(open_native(shape, tmp_path, "int8").run(batch))
    for other in found[1:]:
        np.testing.assert_allclose(other, found[0], atol=0.05)


@pytest.mark.parametrize("name", ["uneven", "no heads in a layer", "no layers"])
def test_blocks_kept_in_fp32_bring_the_logits_nearer(name: str, tmp_path: Path) -> None:
    shape = SHAPES[name]
    batch = random_batch(shape)
    expected = expected_logits(shape, batch)
    request = ExportRequest(
        weights=random_weights(shape), architecture=shape, folder=tmp_path, pad_id=0
    )
    blocks = list_blocks_to_round(shape)
    far = []
    for kept in ((), blocks[: len(blocks) // 2], blocks):
        spec = write_engine("native", "int8", dataclasses.replace(request, kept_fp32=kept))
        logits = open_tiny(tmp_path, spec, shape).run(batch)
        far.append(float(np.abs(logits - expected).max()))
    assert far[2] < 1e-4 < far[0]
    assert far[1] != far[0]
