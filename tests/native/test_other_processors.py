"""Processors that are not here: older ones and ARM, emulated by QEMU."""

from __future__ import annotations

import platform
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.support.export_models import LONGEST, SHAPES, random_batch
from tests.support.native_build import (
    PRECISIONS,
    WIDE,
    build_tools,
    classify,
    run_classify,
    write_weights,
)
from thinfer.architecture import Architecture
from thinfer.engine.base import Precision

LENGTHS = [1 + (7 * row) % LONGEST for row in range(30)]
ARM_ROOT = Path("/usr/aarch64-linux-gnu")


def needs(*programs: str) -> None:
    """Skip where one of them is not installed."""
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"needs {program}")
    if platform.machine() != "x86_64":
        pytest.skip("compares with an x86-64 machine")


@pytest.fixture(scope="module")
def arm_tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    needs("qemu-aarch64", "aarch64-linux-gnu-g++", "aarch64-linux-gnu-gcc")
    return build_tools(
        tmp_path_factory.mktemp("arm"),
        CMAKE_SYSTEM_NAME="Linux",
        CMAKE_SYSTEM_PROCESSOR="aarch64",
        CMAKE_C_COMPILER="aarch64-linux-gnu-gcc",
        CMAKE_CXX_COMPILER="aarch64-linux-gnu-g++",
    )


def arm(cpu: str, program: Path) -> list[str | Path]:
    """Give the words that run a program on an emulated ARM processor."""
    return ["qemu-aarch64", "-L", ARM_ROOT, "-cpu", cpu, program]


@pytest.mark.parametrize(("cpu", "isa"), [("Nehalem", "scalar"), ("Haswell", "avx2")])
def test_an_older_processor_runs_what_it_has(
    tools: Path, cpu: str, isa: str, tmp_path: Path
) -> None:
    needs("qemu-x86_64")
    weights = write_weights(tmp_path, WIDE, "int8")
    batch = random_batch(WIDE, LENGTHS)
    emulated: list[str | Path] = ["qemu-x86_64", "-cpu", cpu, tools / "classify", weights, "2"]
    answer = classify(emulated, batch)
    assert answer.isa == isa
    here = classify([tools / "classify", weights, "1", isa], batch)
    np.testing.assert_array_equal(answer.logits, here.logits)
    refused = run_classify([*emulated, "avx512"], "1 2\n")
    assert refused.returncode == 1
    assert "this processor cannot run the instruction set 'avx512'" in refused.stderr


@pytest.mark.parametrize(
    ("cpu", "isa"), [("cortex-a72", "scalar"), ("neoverse-n1", "dotprod"), ("max", "i8mm")]
)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_arm_gives_the_logits_of_plain_code(
    tools: Path, arm_tools: Path, cpu: str, isa: str, precision: Precision, tmp_path: Path
) -> None:
    weights = write_weights(tmp_path, WIDE, precision)
    batch = random_batch(WIDE, LENGTHS)
    expected = classify([tools / "classify", weights, "1", "scalar"], batch)
    answer = classify([*arm(cpu, arm_tools / "classify"), weights, "2"], batch)
    assert answer.isa == isa
    np.testing.assert_allclose(answer.logits, expected.logits, atol=2e-5)
    single = classify([*arm(cpu, arm_tools / "classify"), weights], batch.select([7]))
    np.testing.assert_array_equal(single.logits, answer.logits[[7]])


@pytest.mark.parametrize("name", SHAPES)
def test_arm_takes_every_shape(tools: Path, arm_tools: Path, name: str, tmp_path: Path) -> None:
    shape: Architecture = SHAPES[name]
    weights = write_weights(tmp_path, shape, "int8")
    batch = random_batch(shape)
    expected = classify([tools / "classify", weights, "1", "scalar"], batch)
    answer = classify([*arm("max", arm_tools / "classify"), weights], batch)
    # A code on the edge between two may round the other way after a float step of another order.
    np.testing.assert_allclose(answer.logits, expected.logits, atol=0.05)


def test_arm_refuses_what_the_processor_lacks(arm_tools: Path, tmp_path: Path) -> None:
    weights = write_weights(tmp_path, WIDE, "int8")
    words = [*arm("neoverse-n1", arm_tools / "classify"), weights, "1", "i8mm"]
    done = run_classify(words, "1 2\n")
    assert done.returncode == 1
    assert "this processor cannot run the instruction set 'i8mm'" in done.stderr
