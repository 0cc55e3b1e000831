"""The C library gives the Python engine's bits, refuses what it must, and never ends a process."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("thinfer.engine._native", reason="built without a C++ compiler")

from tests.support.export_models import (
    LONGEST,
    layer,
    random_batch,
    random_weights,
    shape_of,
)
from tests.support.native_build import (
    PRECISIONS,
    WIDE,
    classify,
    run_classify,
    write_weights,
)
from thinfer.architecture import Architecture
from thinfer.engine import _native as native
from thinfer.engine.base import Precision
from thinfer.export.native import encode_native

LENGTHS = [1 + (7 * row) % LONGEST for row in range(30)]


@pytest.mark.parametrize("isa", native.usable_isas())
@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_example_gives_the_bits_of_the_python_engine(
    tools: Path, isa: str, precision: Precision, tmp_path: Path
) -> None:
    weights = write_weights(tmp_path, WIDE, precision)
    batch = random_batch(WIDE, LENGTHS)
    answer = classify([tools / "classify", weights, "2", isa], batch)
    assert answer.isa == isa
    expected = native.Engine(str(weights), 1, isa).run(batch.ids, batch.type_ids, batch.offsets)
    np.testing.assert_array_equal(answer.logits, expected)


def with_zero_blocks(
    shape: Architecture, rows: int = 1, columns: int = 4, seed: int = 0
) -> dict[str, NDArray[np.float32]]:
    """Weights of which nine in ten blocks of some rows by some columns are zero."""
    rng = np.random.default_rng(seed)
    weights = random_weights(shape)
    for name, values in weights.items():
        if name.startswith("layers.") and values.ndim == 2:
            high, wide = (
                -(-size // step) for size, step in zip(values.shape, (rows, columns), strict=True)
            )
            keep = np.kron(rng.random((high, wide)) < 0.1, np.ones((rows, columns), bool))
            weights[name] = values * keep[: values.shape[0], : values.shape[1]]
    return weights


@pytest.mark.parametrize("isa", [*native.usable_isas(), "amx-emulated"])
def test_skipping_zeros_gives_the_bits_of_multiplying_them(
    tools: Path, isa: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if isa == "amx-emulated" and "avx512" not in native.usable_isas():
        pytest.skip("needs AVX-512 VNNI")
    shape = shape_of(
        layer(heads=4, qk_size=32, value_size=32, ffn=200), layer(heads=1, ffn=30), hidden=130
    )
    blocks = (16, 64) if isa.startswith("amx") else (1, 4)  # what a tile unit can leave out
    path = tmp_path / "sparse.thinfer"
    path.write_bytes(encode_native(with_zero_blocks(shape, *blocks), shape, precision="int8"))
    for lengths in ([1], [3], [LONGEST], [1 + (7 * row) % LONGEST for row in range(25)]):
        batch = random_batch(shape, lengths)
        found = []
        for wish in ("always", "never"):
            monkeypatch.setenv("THINFER_SPARSE", wish)
            found.append(classify([tools / "classify", path, "2", isa], batch).logits)
        np.testing.assert_array_equal(found[0], found[1])


def test_only_matrices_with_many_zeros_are_tried_without_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shape = shape_of(layer(heads=4, qk_size=32, value_size=32, ffn=256), hidden=128)
    path = tmp_path / "model.thinfer"
    path.write_bytes(encode_native(random_weights(shape), shape, precision="int8"))
    assert native.Engine(str(path), 1, "").sparse == []
    has_tiles = native.usable_isas()[0] == "amx"
    sparse = with_zero_blocks(shape, 16, 64, seed=1) if has_tiles else with_zero_blocks(shape)
    path.write_bytes(encode_native(sparse, shape, precision="int8"))
    tried = native.Engine(str(path), 1, "").sparse
    names = ["query_key_value", "output", "up", "down"]
    assert [name for name, *_ in tried] == [f"layers.0.{name}" for name in names]
    assert all(0.7 < zeros < 1.0 and gain > 0 for _, zeros, gain, _ in tried)
    monkeypatch.setenv("THINFER_SPARSE", "never")
    assert native.Engine(str(path), 1, "").sparse == []
    monkeypatch.setenv("THINFER_SPARSE", "always")
    assert all(is_taken for *_, is_taken in native.Engine(str(path), 1, "").sparse)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1 2 3\n4 40\n", "token 4 has an id that is out of range"),
        ("1 -2\n", "token 1 has an id that is out of range"),
        ("1:9\n", "token 0 has an id that is out of range"),
        ("1 2\n\n3\n", "sequence 1 has 0 tokens; 1 to 20 are possible"),
        (" ".join(["1"] * 21), "sequence 0 has 21 tokens; 1 to 20 are possible"),
        ("1 two 3\n", "text 1: a token is no number"),
    ],
)
def test_texts_that_cannot_be_are_refused(
    tools: Path, text: str, reason: str, tmp_path: Path
) -> None:
    weights = write_weights(tmp_path, WIDE, "int8")
    done = run_classify([tools / "classify", weights], text)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1] == reason


def test_the_longest_text_and_no_text_are_answered(tools: Path, tmp_path: Path) -> None:
    weights = write_weights(tmp_path, WIDE, "int8")
    longest = classify([tools / "classify", weights], random_batch(WIDE, [LONGEST]))
    assert longest.logits.shape == (1, 3)
    nothing = run_classify([tools / "classify", weights], "")
    assert (nothing.returncode, nothing.stdout) == (0, "")


def test_files_and_names_that_do_not_fit_are_refused(tools: Path, tmp_path: Path) -> None:
    weights = write_weights(tmp_path, WIDE, "int8")
    cut = tmp_path / "cut.thinfer"
    cut.write_bytes(weights.read_bytes()[:-64])
    for words, reason in (
        ([tmp_path / "absent.thinfer"], "cannot be opened"),
        ([cut], "is damaged"),
        ([weights, "0"], "a path and a thread are needed"),
        ([weights, "1", "abacus"], "'abacus' is not known"),
    ):
        done = run_classify([tools / "classify", *words], "1 2\n")
        assert done.returncode == 1
        assert reason in done.stderr


def test_missing_arrays_are_refused_by_the_library_itself(tools: Path, tmp_path: Path) -> None:
    library = ctypes.CDLL(str(tools / "libthinfer.so"))
    library.thinfer_last_error.restype = ctypes.c_char_p
    weights = str(write_weights(tmp_path, WIDE, "fp32")).encode()
    assert library.thinfer_open(weights, ctypes.c_size_t(1), None, None) == 1
    handle = ctypes.c_void_p()
    assert library.thinfer_open(None, ctypes.c_size_t(1), None, ctypes.byref(handle)) == 1
    assert library.thinfer_open(b"/", ctypes.c_size_t(1), None, ctypes.byref(handle)) == 2
    assert handle.value is None
    assert library.thinfer_open(weights, ctypes.c_size_t(1), None, ctypes.byref(handle)) == 0
    one = ctypes.c_size_t(1)
    assert library.thinfer_run(None, None, None, None, one, one, None) == 1
    assert library.thinfer_run(handle, None, None, None, one, one, None) == 1
    assert library.thinfer_last_error() == b"an array is missing"
    library.thinfer_close(handle)
    library.thinfer_close(None)


def test_no_set_of_kernels_lends_its_instructions_to_another(tools: Path) -> None:
    """A weak symbol of an AVX-512 object could stand for everyone's, and end an older processor."""
    nm = shutil.which("nm")
    if nm is None:
        pytest.skip("needs nm")
    objects = sorted(tools.glob("CMakeFiles/thinfer_core.dir/src/isa_*.o"))
    assert objects
    for item in objects:
        listed = subprocess.run([nm, "-C", item], capture_output=True, text=True, check=True)
        shared = [line for line in listed.stdout.splitlines() if line[17:18] == "W"]
        assert shared == [], f"{item.name}: {shared}"
