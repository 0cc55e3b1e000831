"""Structured pruning without retraining: ours beside simpler rules, at equal measured speed.

All methods start from the same teacher and share one latency table, so that each fills the same
time budget; all survivors run in the same engine and precision, timed in turn. Accuracy is the
FP32 model's on the test rows that did not leak: precision takes no part in the comparison.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.prune_methods import METHODS, SEEDED, Case
from benchmarks.record import save
from benchmarks.settings import RealSet, Settings, make_parser, say, to_settings
from thinfer.compress.prune import (
    PruneSettings,
    build_ladders,
)
from thinfer.compress.state import State
from thinfer.core.clock import SystemClock
from thinfer.core.progress import SilentProgress
from thinfer.engine.base import Engine
from thinfer.engine.pool import choose_parallel
from thinfer.engine.registry import open_engine_folder
from thinfer.export.write import ExportRequest, write_engine
from thinfer.measure.probe import HostProbe
from thinfer.measure.timing import time_interleaved
from thinfer.nn.checkpoint import load_checkpoint
from thinfer.nn.predict import compute_logits
from thinfer.pipeline.data import DataRequest, load_sets
from thinfer.pipeline.original import state_of
from thinfer.pipeline.price import TableRequest, measure_table
from thinfer.quality.labels import LabelSet
from thinfer.text.batch import Batch

SPEEDUPS = (1.25, 1.5, 2.0, 3.0)
ENGINE, PRECISION = "onnxruntime", "int8"
_CALIBRATION_TEXTS = 2048
_BATCHES, _BATCH_TEXTS, _ROUNDS = 12, 32, 6


def measure_set(settings: Settings, item: RealSet, seeds: int) -> dict[str, Any]:
    """Prune one teacher with every method to every speed-up."""
    checkpoint = load_checkpoint(str(settings.teacher(item)))
    parts = {part: settings.file(item, part)[0] for part in ("train", "dev", "test")}
    column = None if settings.limit else item.text_column
    sets = load_sets(
        DataRequest(**parts, text_column=column), LabelSet(checkpoint.labels, normal=None)
    )
    state, clock = state_of(checkpoint), SystemClock()
    rng = np.random.default_rng(settings.seed)
    rows = sorted(rng.choice(len(sets.train), min(_CALIBRATION_TEXTS, len(sets.train)), False))
    calibration = sets.train.encode(state.tokenizer).batch.select([int(row) for row in rows])
    started = clock.monotonic()
    ladders = build_ladders(state, calibration, rng=rng, settings=PruneSettings(keep_moments=True))
    seconds = {"ladders": clock.monotonic() - started}
    request = TableRequest(
        architecture=state.architecture,
        engine=ENGINE,
        precision=PRECISION,
        options={"parallel": choose_parallel(state.architecture, {})},
        threads=settings.threads,
        lengths=calibration.lengths,
    )
    started = clock.monotonic()
    table = measure_table(request, rng=rng, progress=SilentProgress(), clock=clock)
    seconds["latency table"] = clock.monotonic() - started
    case = Case(
        state=state,
        ladders=ladders,
        calibration=calibration,
        table=table,
        costs=table.costs(ladders, "batch"),
        threads=settings.threads,
    )
    states: dict[tuple[str, float, int], State] = {}
    for name, method in METHODS.items():
        for speedup in SPEEDUPS:
            for seed in range(seeds if name in SEEDED else 1):
                started = clock.monotonic()
                states[name, speedup, seed] = method(case, speedup, settings.seed + seed)
                if (name, seed) == ("thinfer", 0):
                    seconds[f"to {speedup:g}"] = clock.monotonic() - started
                say(f"{item.name}: {name}, {speedup:g}, seed {seed}")
    test, truth = sets.test.encode(state.tokenizer).batch, sets.test.truth
    dense = compute_logits(state.module(), test, pad_id=state.pad_id).argmax(1)
    ratios = _time(case, states, sets.dev.encode(state.tokenizer).batch)
    rows_out = []
    for key, small in states.items():
        answers = compute_logits(small.module(), test, pad_id=state.pad_id).argmax(1)
        rows_out.append(
            {
                "method": key[0],
                "asked": key[1],
                "seed": key[2],
                "measured": ratios[key],
                "predicted": table.predict(state.architecture, "batch")
                / table.predict(small.architecture, "batch"),
                "accuracy": float((answers == truth).mean()),
                "kept": float((answers == truth).sum() / (dense == truth).sum()),
                "lost": int(((dense == truth) & (answers != truth)).sum()),
                "gained": int(((dense != truth) & (answers == truth)).sum()),
                "layers": [[layer.heads, layer.ffn] for layer in small.architecture.layers],
            }
        )
    return {
        "engine": f"{ENGINE} {PRECISION}",
        "rows": len(truth),
        "dense_accuracy": float((dense == truth).mean()),
        "seconds": seconds,
        "states": rows_out,
    }


def _time(
    case: Case, states: Mapping[tuple[str, float, int], State], texts: Batch
) -> dict[tuple[str, float, int], float]:
    """Give the throughput of each state to the dense one's, in turn, without tokenising."""
    clock = SystemClock()
    most = min(len(texts), _BATCHES * _BATCH_TEXTS)
    batches = [
        texts.select(list(range(start, min(start + _BATCH_TEXTS, most))))
        for start in range(0, most, _BATCH_TEXTS)
    ]
    with tempfile.TemporaryDirectory(prefix="thinfer-") as root:
        engines = {}
        for number, (key, state) in enumerate([(None, case.state), *states.items()]):
            folder = Path(root) / str(number)
            folder.mkdir()
            request = ExportRequest(
                weights=state.weights,
                architecture=state.architecture,
                folder=folder,
                pad_id=state.pad_id,
            )
            spec = write_engine(ENGINE, PRECISION, request)
            engines[key] = open_engine_folder(
                folder, spec, state.architecture, pad_id=state.pad_id, threads=case.threads
            )

        def call(engine: Engine) -> None:
            for batch in batches:
                engine.run(batch)

        names = {str(number): key for number, key in enumerate(engines)}
        samples = time_interleaved(
            {name: lambda key=key: call(engines[key]) for name, key in names.items()},
            rounds=_ROUNDS,
            clock=clock,
            probe=HostProbe(threads=case.threads, clock=clock),
        )
        for engine in engines.values():
            engine.close()
    dense = samples["0"].median_s
    return {key: dense / samples[name].median_s for name, key in names.items() if key is not None}


def main() -> None:
    """Run it for every set whose data and teacher are here."""
    parser = make_parser(__doc__)
    parser.add_argument("--seeds", type=int, default=3, help="of ours; one of every other")
    arguments = parser.parse_args()
    settings = to_settings(arguments)
    for item in settings.present():
        save(settings, "prune", {item.name: measure_set(settings, item, arguments.seeds)})


if __name__ == "__main__":
    main()
