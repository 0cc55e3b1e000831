"""Where the time of the native engine goes: each step beside what the machine could do at most.

One thread, INT8, 6 × 768 with drawn weights. Two limits are measured in the same run: INT8
multiply-accumulates in registers (`Kernels::measure_peak`; attention is not in INT8: a float takes
the place of four codes, and BF16, on AMX, that of two), and reading memory (a BLAS dot product of
256 MB with itself). A step's limit is the longer of its arithmetic and of reading its weights
once. Both change with the clock and the neighbours of a shared machine, so shares are rough.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.engines import draw_batches, draw_model
from benchmarks.record import save
from benchmarks.settings import Settings, make_parser, say, to_settings
from thinfer.architecture import Architecture
from thinfer.engine.registry import available_engines
from thinfer.export.write import ExportRequest, write_engine
from thinfer.text.batch import Batch

SHAPE = "6 × 768"
_CODES = {"amx": 2}  # in the place of one of attention's numbers, BF16 there
_USUAL_CODES = 4  # and floats elsewhere
_READ_FLOATS = 1 << 26


def measure(settings: Settings, rounds: int) -> dict[str, Any]:
    """Time the steps of every shape."""
    from thinfer.engine import _native

    checkpoint = draw_model(settings, SHAPE)
    shape = checkpoint.architecture
    with tempfile.TemporaryDirectory(prefix="thinfer-") as root:
        request = ExportRequest(
            weights=checkpoint.model.weights(),
            architecture=shape,
            folder=Path(root),
            pad_id=checkpoint.tokenizer.pad_id,
        )
        spec = write_engine("native", "int8", request)
        engine = _native.Engine(str(Path(root) / spec.files[0]), 1, "")
        peak, bandwidth = engine.measure_peak(), _measure_reading()
        rows = {}
        for name, (batch,) in draw_batches(settings, shape.vocab).items():
            taken = [
                engine.time_steps(batch.ids, batch.type_ids, batch.offsets) for _ in range(rounds)
            ]
            steps = {step: float(np.median([each[step] for each in taken])) for step in taken[0]}
            codes = _CODES.get(engine.isa, _USUAL_CODES)
            rows[name] = _describe(steps, count_steps(shape, batch), (peak, codes), bandwidth)
    return {
        "shape": SHAPE,
        "isa": engine.isa,
        "peak_macs_per_second": peak,
        "bytes_per_second": bandwidth,
        "workloads": rows,
    }


def count_steps(shape: Architecture, batch: Batch) -> dict[str, tuple[float, float, float]]:
    """Count what each step does, over all layers.

    Args:
        shape: the model; the last layer computes queries, attention and FFN of first tokens alone.
        batch: the lengths.

    Returns:
        step → INT8 and FP32 multiply-accumulates, and bytes of weights.
    """
    found = dict.fromkeys(("project", "attend", "output", "expand", "contract"), (0.0, 0.0, 0.0))
    lengths, hidden = batch.lengths.astype(float), shape.hidden
    tokens, texts = float(lengths.sum()), float(len(batch))

    def add(step: str, int8: float, fp32: float, size: float) -> None:
        found[step] = tuple(  # type: ignore[assignment]  # three again
            one + other for one, other in zip(found[step], (int8, fp32, size), strict=True)
        )

    for index, layer in enumerate(shape.layers):
        is_last = index + 1 == len(shape.layers)
        rows = texts if is_last else tokens
        queries, keys = layer.heads * layer.qk_size, layer.heads * layer.qk_size
        values = layer.heads * layer.value_size
        weights = hidden * (queries + keys + values)
        add("project", hidden * (rows * queries + tokens * (keys + values)), 0.0, weights)
        pairs = float(lengths.sum() if is_last else (lengths**2).sum())
        add("attend", 0.0, pairs * (queries + values), 0.0)
        add("output", rows * values * hidden, 0.0, values * hidden)
        add("expand", rows * hidden * layer.ffn, 0.0, hidden * layer.ffn)
        add("contract", rows * hidden * layer.ffn, 0.0, hidden * layer.ffn)
    return found


def _describe(
    steps: Mapping[str, float],
    counts: Mapping[str, tuple[float, float, float]],
    limit: tuple[float, int],
    bandwidth: float,
) -> dict[str, Any]:
    (peak, codes), rows = limit, {}
    for step, seconds in steps.items():
        int8, fp32, size = counts.get(step, (0.0, 0.0, 0.0))
        arithmetic = (int8 + codes * fp32) / peak if peak else None
        rows[step] = {
            "seconds": seconds,
            "macs": int8 + fp32,
            "weight_bytes": size,
            "arithmetic_s": arithmetic,
            "reading_s": size / bandwidth,
        }
    return rows


def _measure_reading() -> float:
    """Give bytes in a second that one thread reads from memory."""
    values = np.ones(_READ_FLOATS, dtype=np.float32)
    best = np.inf
    for _ in range(8):
        started = time.perf_counter()
        np.dot(values, values)
        best = min(best, time.perf_counter() - started)
    return values.nbytes / best


def main() -> None:
    """Measure once, on one thread."""
    parser = make_parser(__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    arguments = parser.parse_args()
    settings = to_settings(arguments)
    absent = available_engines()["native"]
    if absent:
        sys.exit(f"the native engine is absent: {absent}")
    found = measure(settings, arguments.rounds)
    save(settings, "roofline", {SHAPE: found})
    say(f"{found['isa']}: {found['peak_macs_per_second'] / 1e12:.2f} TMAC/s")


if __name__ == "__main__":
    main()
