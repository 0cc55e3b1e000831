"""A process that answers texts of all lengths keeps its size.

Measured in a process of its own: its resident memory after a warm-up, and after many more
batches of random sizes and lengths.

ONNX Runtime has no control here: measured with 1.31.1 over 3,000 batches of up to 8 texts of up
to 256 tokens (3 layers of width 64), memory plans took 9 MiB more from the beginning and then
grew by 2 MiB, as without them; without the arena the process took 10 MiB more and grew by 4.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from thinfer.core.optional import is_available

pytest.importorskip("onnx")

ROOT = Path(__file__).parents[2]
MIB = 2**20

_SCRIPT = """
import dataclasses, json, sys
from pathlib import Path
import numpy as np
import psutil
from tests.support.export_models import layer, open_tiny, random_batch, random_weights, shape_of
from thinfer.export.write import ExportRequest, write_engine

folder, name, precision, options, warm, calls = sys.argv[1:7]
shape = shape_of(*[layer(2, 16, 16, 128 - 16 * i) for i in range(3)],
                 hidden=32, vocab=300, positions=128)
spec = write_engine(name, precision, ExportRequest(
    weights=random_weights(shape), architecture=shape, folder=Path(folder), pad_id=0))
engine = open_tiny(Path(folder), dataclasses.replace(spec, options=json.loads(options)), shape)
rng = np.random.default_rng(0)

def answer(count):
    for _ in range(count):
        lengths = rng.integers(1, 129, size=int(rng.integers(1, 9)))
        engine.run(random_batch(shape, lengths))
    return psutil.Process().memory_info().rss

engine.run(random_batch(shape, [128] * 8))
print(json.dumps([answer(int(warm)), *(answer(int(calls) // 4) for _ in range(4))]))
"""


def sizes(
    folder: Path,
    engine: str,
    *,
    precision: str = "fp32",
    warm: int = 400,
    calls: int = 1600,
    **options: str,
) -> list[int]:
    """Resident bytes after the warm-up and after each quarter of the calls."""
    arguments = [str(folder), engine, precision, json.dumps(options), str(warm), str(calls)]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _SCRIPT, *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    measured: list[int] = json.loads(done.stdout)
    return measured


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_onnx_runtime_does_not_grow(tmp_path: Path, precision: str) -> None:
    rss = sizes(tmp_path, "onnxruntime", precision=precision, grouping="none")
    assert rss[-1] - rss[0] < 12 * MIB, rss


@pytest.mark.skipif(not is_available("openvino"), reason="OpenVINO is not installed")
def test_openvino_does_not_grow_while_lengths_come_in_steps(tmp_path: Path) -> None:
    steps, exact = tmp_path / "steps", tmp_path / "exact"
    steps.mkdir()
    exact.mkdir()
    rss = sizes(steps, "openvino", grouping="none")
    assert rss[-1] - rss[0] < 25 * MIB, rss
    # The control: with every length as it is, the store of compiled shapes fills for long.
    control = sizes(exact, "openvino", warm=100, calls=600, grouping="none", widths="exact")
    assert control[-1] - control[0] > 40 * MIB, control
