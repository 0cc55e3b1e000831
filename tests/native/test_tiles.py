"""The kernels for a tile unit, with the unit in plain C++ and, where there is one, the real one.

Their attention is in BF16: logits are near those of the other kernels, not the same bits.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("thinfer.engine._native", reason="built without a C++ compiler")

from tests.support.export_models import (
    LONGEST,
    SHAPES,
    layer,
    random_batch,
    random_weights,
    shape_of,
)
from tests.support.native_build import WIDE, classify, write_weights
from thinfer.architecture import Architecture
from thinfer.engine import _native as native
from thinfer.engine.base import Precision
from thinfer.export.native import encode_native
from thinfer.export.smoothing import Smoothing
from thinfer.text.batch import Batch

DEEP = shape_of(layer(heads=4, qk_size=32, value_size=32, ffn=200), hidden=128)
# Heads that begin inside a panel of 32 columns and end in the next one.
ODD = shape_of(layer(heads=5, qk_size=20, value_size=12, ffn=75), layer(heads=3, ffn=40), hidden=72)
ALL = {**SHAPES, "wide": WIDE, "deep": DEEP, "odd": ODD}
TILED = [
    isa for isa in ("amx", "amx-emulated") if isa == "amx-emulated" or isa in native.usable_isas()
]
DOWN = "layers.0.ffn.down.weight"
LENGTHS = ([1], [3], [LONGEST], [1 + (7 * row) % LONGEST for row in range(25)])

pytestmark = pytest.mark.skipif(
    "avx512" not in native.usable_isas(), reason="needs AVX-512 VNNI beside the tiles"
)


def error(found: NDArray[np.float32], truth: NDArray[np.float32]) -> float:
    return float(np.abs(found - truth).max())


@pytest.mark.parametrize("isa", TILED)
@pytest.mark.parametrize("precision", ["int8", "bf16"])
@pytest.mark.parametrize("name", list(ALL))
def test_tiles_are_as_near_to_fp32_as_vectors_are(
    tools: Path, isa: str, precision: Precision, name: str, tmp_path: Path
) -> None:
    shape = ALL[name]
    weights = write_weights(tmp_path, shape, precision)
    exact = tmp_path / "fp32.thinfer"
    exact.write_bytes(encode_native(random_weights(shape), shape, precision="fp32"))
    errors = []
    for lengths in LENGTHS:
        batch = random_batch(shape, lengths)
        truth = classify([tools / "classify", exact, "1", "avx512"], batch).logits
        tiled = classify([tools / "classify", weights, "2", isa], batch)
        vectors = classify([tools / "classify", weights, "1", "avx512"], batch).logits
        assert tiled.isa == isa
        errors.append((error(tiled.logits, truth), error(vectors, truth), float(np.ptp(truth))))
    worst, expected, spread = (max(column) for column in zip(*errors, strict=True))
    assert worst <= 2 * expected + 0.01 * spread + 1e-3


@pytest.mark.parametrize("isa", TILED)
@pytest.mark.parametrize("precision", ["int8", "bf16"])
@pytest.mark.parametrize("name", ["wide", "odd"])
def test_a_text_has_the_same_bits_alone_and_in_a_batch(
    tools: Path, isa: str, precision: Precision, name: str, tmp_path: Path
) -> None:
    shape = ALL[name]
    weights = write_weights(tmp_path, shape, precision)
    batch = random_batch(shape, LENGTHS[-1])
    whole = classify([tools / "classify", weights, "1", isa], batch).logits
    for row in (0, 7, 24):
        alone = classify([tools / "classify", weights, "2", isa], batch.select([row])).logits
        np.testing.assert_array_equal(alone, whole[[row]])


@pytest.mark.skipif("amx" not in TILED, reason="needs AMX")
@pytest.mark.parametrize("name", ["wide", "deep", "odd"])
def test_the_unit_gives_what_its_stand_in_gives(tools: Path, name: str, tmp_path: Path) -> None:
    """But for codes that lie between two numbers, which FP16 rounds once and FP32 twice."""
    shape = ALL[name]
    weights = write_weights(tmp_path, shape, "int8")
    batch = random_batch(shape, LENGTHS[-1])
    real = classify([tools / "classify", weights, "1", "amx"], batch).logits
    emulated = classify([tools / "classify", weights, "1", "amx-emulated"], batch).logits
    apart = np.sqrt(np.mean((real - emulated) ** 2))
    assert apart <= 0.02 * float(np.ptp(emulated))


def sharp_weights(shape: Architecture, factor: float) -> dict[str, NDArray[np.float32]]:
    """Scores so large that a power of them leaves the range of a float."""
    weights = random_weights(shape)
    for name, values in weights.items():
        if ".query." in name or ".key." in name:
            weights[name] = values * np.float32(factor)
    return weights


@pytest.mark.parametrize("isa", TILED)
@pytest.mark.parametrize("factor", [8.0, 40.0])
def test_scores_beyond_the_range_of_their_powers_are_taken_relative_to_the_largest(
    tools: Path, isa: str, factor: float, tmp_path: Path
) -> None:
    shape = shape_of(layer(heads=2, qk_size=32, value_size=32, ffn=64), hidden=64)
    weights = sharp_weights(shape, factor)
    files = {}
    for precision in ("fp32", "bf16"):
        files[precision] = tmp_path / f"{precision}.thinfer"
        files[precision].write_bytes(encode_native(weights, shape, precision=precision))
    batch = random_batch(shape, LENGTHS[-1])
    vectors = classify([tools / "classify", files["bf16"], "1", "avx512"], batch).logits
    tiled = classify([tools / "classify", files["bf16"], "1", isa], batch).logits
    assert np.isfinite(tiled).all()
    # Where two scores are near each other, BF16 may prefer either: most texts agree closely.
    near = np.abs(tiled - vectors).max(axis=1) <= 0.05 * float(np.ptp(vectors))
    assert near.mean() >= 0.8


@pytest.mark.parametrize("isa", TILED)
def test_rows_too_small_or_too_large_for_fp16_keep_their_precision(
    tools: Path, isa: str, tmp_path: Path
) -> None:
    shape = shape_of(layer(heads=2, qk_size=32, value_size=32, ffn=64), hidden=64)
    for factor in (1e-4, 1e4):
        weights = random_weights(shape)
        weights["layers.0.attention.value.weight"] *= np.float32(factor)
        weights["layers.0.attention.value.bias"] *= np.float32(factor)
        weights["layers.0.attention.output.weight"] /= np.float32(factor)
        path = tmp_path / "scaled.thinfer"
        path.write_bytes(encode_native(weights, shape, precision="int8"))
        batch: Batch = random_batch(shape, LENGTHS[-1])
        vectors = classify([tools / "classify", path, "1", "avx512"], batch).logits
        tiled = classify([tools / "classify", path, "1", isa], batch).logits
        assert np.sqrt(np.mean((tiled - vectors) ** 2)) <= 0.02 * float(np.ptp(vectors))


@pytest.mark.parametrize("isa", TILED)
@pytest.mark.parametrize("most", [1.0, 30.0, 3e3])
def test_what_leaves_gelu_is_smoothed_in_fp16_where_the_factors_allow_it(
    tools: Path, isa: str, most: float, tmp_path: Path
) -> None:
    """Beyond 1,024 the factors are multiplied in FP32; either way the logits stay near FP32's."""
    shape = shape_of(layer(heads=2, qk_size=32, value_size=32, ffn=75), hidden=64)
    weights = random_weights(shape)
    factors = np.geomspace(1.0 / most, most, 75).astype(np.float32)
    smoothing = Smoothing(factors=factors, mean=np.zeros(75, np.float32))
    files = {}
    for precision in ("fp32", "int8"):
        files[precision] = tmp_path / f"{precision}.thinfer"
        data = encode_native(
            # Rows of a size that all factors share alike.
            {**weights, DOWN: weights[DOWN] / factors},
            shape,
            precision=precision,
            smoothings={"layers.0.ffn.down": smoothing},
        )
        files[precision].write_bytes(data)
    batch = random_batch(shape, LENGTHS[-1])
    truth = classify([tools / "classify", files["fp32"], "1", "avx512"], batch).logits
    vectors = classify([tools / "classify", files["int8"], "1", "avx512"], batch).logits
    tiled = classify([tools / "classify", files["int8"], "1", isa], batch).logits
    spread = float(np.ptp(truth))
    assert error(tiled, truth) <= 2 * error(vectors, truth) + 0.01 * spread + 1e-3
