"""The native weight file: its layout, its bytes, and that a damaged one is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support.export_models import SHAPES, layer, random_weights, shape_of
from thinfer.engine.base import Precision
from thinfer.export.native import encode_native

SHAPE = SHAPES["uneven"]
PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16", "int8")


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_same_weights_give_the_same_bytes(precision: Precision) -> None:
    first = encode_native(random_weights(SHAPE), SHAPE, precision=precision)
    again = encode_native(random_weights(SHAPE), SHAPE, precision=precision)
    other = encode_native(random_weights(SHAPE, seed=1), SHAPE, precision=precision)
    assert first == again
    assert first != other
    assert len(first) == len(other)
    assert len(first) % 64 == 0


def test_int8_takes_about_a_quarter_and_bf16_half_where_matrices_are_large() -> None:
    shape = shape_of(*(layer(heads=8, qk_size=32, value_size=32, ffn=1024),) * 2, hidden=256)
    weights = random_weights(shape)
    sizes = [len(encode_native(weights, shape, precision=precision)) for precision in PRECISIONS]
    assert 0.25 < sizes[2] / sizes[0] < 0.3
    assert 0.5 < sizes[1] / sizes[0] < 0.52


def test_a_zero_weight_is_a_zero_code() -> None:
    weights = random_weights(SHAPE)
    name = "layers.0.ffn.up.weight"
    before = encode_native(weights, SHAPE, precision="int8")
    half = {**weights, name: np.where(np.arange(weights[name].size) % 2, weights[name].ravel(), 0)}
    half[name] = half[name].reshape(weights[name].shape).astype(np.float32)
    after = encode_native(half, SHAPE, precision="int8")
    changed = np.frombuffer(after, np.uint8) != np.frombuffer(before, np.uint8)
    assert int((np.frombuffer(after, np.uint8)[changed] == 0).sum()) >= weights[name].size // 2 - 8


@pytest.mark.parametrize("precision", PRECISIONS)
def test_every_cut_and_every_added_byte_is_refused(tmp_path: Path, precision: Precision) -> None:
    native = pytest.importorskip("thinfer.engine._native", reason="built without a C++ compiler")
    data = encode_native(random_weights(SHAPE), SHAPE, precision=precision)
    path = tmp_path / "model.thinfer"
    path.write_bytes(data)
    native.Engine(str(path), 1, "")
    cuts = [*range(0, 120), *range(120, len(data), 997), len(data) - 64, len(data) - 1]
    for cut in cuts:
        path.write_bytes(data[:cut])
        with pytest.raises(native.FormatError):
            native.Engine(str(path), 1, "")
    path.write_bytes(data + b"\0" * 64)
    with pytest.raises(native.FormatError, match="expected"):
        native.Engine(str(path), 1, "")


@pytest.mark.parametrize("word", range(16))
def test_impossible_numbers_in_the_header_are_refused(tmp_path: Path, word: int) -> None:
    native = pytest.importorskip("thinfer.engine._native", reason="built without a C++ compiler")
    data = bytearray(encode_native(random_weights(SHAPE), SHAPE, precision="int8"))
    data[4 * word : 4 * word + 4] = b"\xff\xff\xff\xff"
    path = tmp_path / "model.thinfer"
    path.write_bytes(bytes(data))
    with pytest.raises(native.FormatError, match="damaged"):
        native.Engine(str(path), 1, "")
