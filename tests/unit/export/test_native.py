"""The native weight file: its layout, its bytes, and that a damaged one is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support.export_models import SHAPES, layer, random_weights, shape_of
from thinfer.export.native import encode_native

SHAPE = SHAPES["uneven"]


@pytest.mark.parametrize("is_int8", [False, True])
def test_the_same_weights_give_the_same_bytes(is_int8: bool) -> None:
    first = encode_native(random_weights(SHAPE), SHAPE, is_int8=is_int8)
    again = encode_native(random_weights(SHAPE), SHAPE, is_int8=is_int8)
    other = encode_native(random_weights(SHAPE, seed=1), SHAPE, is_int8=is_int8)
    assert first == again
    assert first != other
    assert len(first) == len(other)
    assert len(first) % 64 == 0


def test_int8_takes_about_a_quarter_where_matrices_are_large() -> None:
    shape = shape_of(*(layer(heads=8, qk_size=32, value_size=32, ffn=1024),) * 2, hidden=256)
    weights = random_weights(shape)
    sizes = [len(encode_native(weights, shape, is_int8=is_int8)) for is_int8 in (True, False)]
    assert 0.25 < sizes[0] / sizes[1] < 0.3


def test_a_zero_weight_is_a_zero_code() -> None:
    weights = random_weights(SHAPE)
    name = "layers.0.ffn.up.weight"
    before = encode_native(weights, SHAPE, is_int8=True)
    half = {**weights, name: np.where(np.arange(weights[name].size) % 2, weights[name].ravel(), 0)}
    half[name] = half[name].reshape(weights[name].shape).astype(np.float32)
    after = encode_native(half, SHAPE, is_int8=True)
    changed = np.frombuffer(after, np.uint8) != np.frombuffer(before, np.uint8)
    assert int((np.frombuffer(after, np.uint8)[changed] == 0).sum()) >= weights[name].size // 2 - 8


@pytest.mark.parametrize("is_int8", [False, True])
def test_every_cut_and_every_added_byte_is_refused(tmp_path: Path, is_int8: bool) -> None:
    native = pytest.importorskip("thinfer.engine._native", reason="built without a C++ compiler")
    data = encode_native(random_weights(SHAPE), SHAPE, is_int8=is_int8)
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
    data = bytearray(encode_native(random_weights(SHAPE), SHAPE, is_int8=True))
    data[4 * word : 4 * word + 4] = b"\xff\xff\xff\xff"
    path = tmp_path / "model.thinfer"
    path.write_bytes(bytes(data))
    with pytest.raises(native.FormatError, match="damaged"):
        native.Engine(str(path), 1, "")
