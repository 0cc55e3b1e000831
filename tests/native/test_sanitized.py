"""The kernels and the reader under AddressSanitizer and UndefinedBehaviorSanitizer."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

pytest.importorskip("thinfer.engine._native", reason="built without a C++ compiler")

from tests.support.export_models import LONGEST, SHAPES, random_batch
from tests.support.native_build import PRECISIONS, WIDE, build_tools, classify, write_weights
from thinfer.engine import _native as native

EVERY = {**SHAPES, "wide": WIDE}


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("c++") is None:
        pytest.skip("needs c++")
    folder = tmp_path_factory.mktemp("sanitized")
    return build_tools(folder, THINFER_SANITIZE="ON", THINFER_EMULATED_TILES="ON")


@pytest.mark.parametrize("name", EVERY)
def test_no_kernel_reads_or_writes_beside_its_arrays(
    tools: Path, name: str, tmp_path: Path
) -> None:
    shape = EVERY[name]
    isas = list(native.usable_isas())
    if "avx512" in isas:
        isas.append("amx-emulated")
    for precision in PRECISIONS:
        weights = write_weights(tmp_path, shape, precision)
        for isa in isas:
            for lengths in ([1], [LONGEST], [1 + (7 * row) % LONGEST for row in range(25)]):
                batch = random_batch(shape, lengths)
                answer = classify([tools / "classify", weights, "3", isa], batch)
                assert answer.logits.shape == (len(lengths), shape.classes)


def test_damaged_files_are_refused_or_harmless(tools: Path, tmp_path: Path) -> None:
    seeds = []
    for name in ("uneven", "no heads in a layer", "reduced heads", "wide"):
        folder = tmp_path / name.replace(" ", "-")
        folder.mkdir()
        seeds += [write_weights(folder, EVERY[name], precision) for precision in PRECISIONS]
    words = [str(tools / "fuzz_weights"), "20000", "0", *map(str, seeds)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    accepted = int(done.stdout.split()[0])
    assert 0 < accepted < 20_000  # some changes hit weights alone, most a size
