"""The C library, its example and the fuzzer, built from `native/` for one target."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.export_models import layer, random_weights, shape_of
from thinfer.architecture import Architecture
from thinfer.engine.base import Precision
from thinfer.export.native import encode_native
from thinfer.text.batch import Batch

PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16", "int8")

NATIVE = Path(__file__).resolve().parents[2] / "native"

# Wide enough for whole tiles and for what is left of each, in every set of kernels.
WIDE = shape_of(layer(3, 8, 8, ffn=70), layer(2, 16, 16, ffn=130), hidden=44)


def build_tools(folder: Path, **options: str) -> Path:
    """Build with CMake options; gives the folder with `classify` and `fuzz_weights`."""
    cmake = pytest.importorskip("cmake", reason="needs the packages cmake and ninja")
    ninja = pytest.importorskip("ninja", reason="needs the packages cmake and ninja")
    given = {
        "THINFER_PYTHON": "OFF",
        "THINFER_TOOLS": "ON",
        "CMAKE_MAKE_PROGRAM": str(Path(ninja.BIN_DIR) / "ninja"),
        **options,
    }
    program = str(Path(cmake.CMAKE_BIN_DIR) / "cmake")
    settings = [f"-D{name}={value}" for name, value in given.items()]
    for step in (
        [program, "-S", str(NATIVE), "-B", str(folder), "-G", "Ninja", *settings],
        [program, "--build", str(folder)],
    ):
        done = subprocess.run(step, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    return folder


def write_weights(folder: Path, shape: Architecture, precision: Precision) -> Path:
    """Write a weight file with random weights."""
    target = folder / f"{precision}.thinfer"
    target.write_bytes(encode_native(random_weights(shape), shape, precision=precision))
    return target


def write_ids(batch: Batch) -> str:
    """Give a batch in the words of `classify`: a text a line, `id:type` a token."""
    lines = []
    for row in range(len(batch)):
        tokens = slice(int(batch.offsets[row]), int(batch.offsets[row + 1]))
        pairs = zip(batch.ids[tokens], batch.type_ids[tokens], strict=True)
        lines.append(" ".join(f"{token}:{kind}" for token, kind in pairs) + "\n")
    return "".join(lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What `classify` said."""

    isa: str
    logits: NDArray[np.float32]


def classify(command: Sequence[str | Path], batch: Batch) -> Answer:
    """Run `classify`, which must succeed."""
    done = run_classify(command, write_ids(batch))
    assert done.returncode == 0, done.stderr
    rows = [[float(word) for word in line.split()] for line in done.stdout.splitlines()]
    isa = done.stderr.strip().splitlines()[-1]
    return Answer(isa=isa, logits=np.array(rows, dtype=np.float32))


def run_classify(command: Sequence[str | Path], text: str) -> subprocess.CompletedProcess[str]:
    """Run `classify` on what stands in `text`."""
    words = [str(word) for word in command]
    return subprocess.run(words, input=text, capture_output=True, text=True, check=False)
