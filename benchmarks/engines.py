"""The engines on one model, in turn: token ids to logits, no tokenising.

The weights of the 6 × 768 and 6 × 384 shapes are drawn, not trained: only time is quoted. Every
engine gets what `compress` would ship for it, and the peers what their own tools write. A level
below the machine's own runs in a process whose environment forbids the rest.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.quantise import Source, write_dynamic, write_original
from benchmarks.record import save
from benchmarks.settings import ROOT, Settings, make_parser, say, to_settings
from thinfer.compress.state import State
from thinfer.core.clock import SystemClock
from thinfer.core.codec import to_json
from thinfer.engine.base import Engine, Precision
from thinfer.engine.registry import available_engines, open_engine_folder
from thinfer.export.graph import build_graph
from thinfer.export.write import ExportRequest, write_engine
from thinfer.measure.compare import throughput_ratio
from thinfer.measure.probe import HostProbe
from thinfer.measure.timing import time_interleaved
from thinfer.nn.checkpoint import Checkpoint, load_checkpoint
from thinfer.nn.presets import build_preset
from thinfer.pipeline.original import state_of
from thinfer.text.batch import Batch

SHAPES = {"6 × 768": "ernie-3.0-medium", "6 × 384": "ernie-3.0-mini"}
SIZES = ((1, 20), (1, 32), (1, 128), (8, 32), (16, 128))
LEVELS: Mapping[str, Mapping[str, str]] = {
    "own": {},
    "avx2": {"THINFER_ISA": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"},
    "amx": {"THINFER_ISA": "amx"},  # the machine's own, under a name: refused where there is none
    "amx off": {"THINFER_ISA": "avx512bf16", "ONEDNN_MAX_CPU_ISA": "AVX512_CORE_BF16"},
}
_USUAL = "own,avx2"
OURS: tuple[tuple[str, Precision], ...] = (
    ("native", "int8"),
    ("native", "bf16"),
    ("native", "fp32"),
    ("openvino", "int8"),
    ("openvino", "bf16"),
    ("openvino", "fp32"),
    ("onnxruntime", "int8"),
)
_TEXTS, _BATCH = 256, 32
# Calls of an engine before one of them counts: a last-level cache that takes only what leaves the
# second one keeps a weight once it has come back a few times, as it does in a service.
_SETTLING = 3
_CALIBRATION = 300
_PEERS = {
    "ONNX Runtime FP32, plain": write_original,
    "ONNX Runtime quantize_dynamic": write_dynamic,
}
_EVERY = (*(f"{name} {precision}" for name, precision in OURS), *_PEERS)


def measure(
    settings: Settings, shape: str, rounds: int, names: Sequence[str] = _EVERY
) -> dict[str, Any]:
    """Time some engines on every workload, with the threads of the settings."""
    state = state_of(draw_model(settings, shape))
    work = _make_workloads(settings, state)
    with tempfile.TemporaryDirectory(prefix="thinfer-") as root, ExitStack() as stack:
        engines = _open_all(settings, state, work["thuc"], Path(root), names)
        for engine in engines.values():
            stack.enter_context(closing(engine))
        versions = {name: engine.info.version for name, engine in engines.items()}
        rows = {name: time_engines(engines, each, settings, rounds) for name, each in work.items()}
    return {"shape": shape, "engines": versions, "workloads": rows}


def draw_model(settings: Settings, shape: str) -> Checkpoint:
    """Give a model of drawn weights with the tokenizer of the titles' teacher."""
    item = next(each for each in settings.sets if each.name == "thuc")
    teacher = load_checkpoint(str(settings.teacher(item)))
    return build_preset(
        SHAPES[shape],
        tokenizer=teacher.tokenizer,
        labels=teacher.labels,
        max_length=128,
        seed=settings.seed,
    )


def draw_batches(settings: Settings, vocab: int) -> dict[str, list[Batch]]:
    """Give one batch of drawn ids for each of the sizes."""
    rng = np.random.default_rng(settings.seed)
    work = {}
    for count, length in SIZES:
        ids = [rng.integers(5, vocab, length).tolist() for _ in range(count)]
        work[f"{count}x{length}"] = [Batch.from_sequences(ids, [[0] * length for _ in ids])]
    return work


def _make_workloads(settings: Settings, state: State) -> dict[str, list[Batch]]:
    work = draw_batches(settings, state.architecture.vocab)
    for item in settings.sets:
        if item.name in ("thuc", "cold") and item.file("test").exists():
            texts = settings.corpus(item, "test", most=_TEXTS).texts
            work[item.name] = [
                state.tokenizer.encode(texts[start : start + _BATCH]).batch
                for start in range(0, len(texts), _BATCH)
            ]
    return work


def _open_all(
    settings: Settings,
    state: State,
    calibration: list[Batch],
    root: Path,
    names: Sequence[str],
) -> dict[str, Engine]:
    texts = [batch.select([row]) for batch in calibration for row in range(len(batch))]
    sample = Batch.concatenate(texts[:_CALIBRATION])
    graph = build_graph(state.weights, state.architecture, fused=False, first_token_only=False)
    source = Source(
        state=state, graph=graph.SerializeToString(deterministic=True), calibration=sample
    )
    absent = available_engines()
    engines = {}
    for name, precision in OURS:
        if f"{name} {precision}" not in names:
            continue
        if absent[name]:
            say(f"{name}: left out, {absent[name]}")
            continue
        folder = root / f"{name}-{precision}"
        folder.mkdir()
        say(f"writing {name} {precision}")
        request = ExportRequest(
            weights=state.weights,
            architecture=state.architecture,
            folder=folder,
            pad_id=state.pad_id,
            calibration=sample,
        )
        spec = write_engine(name, precision, request)
        engines[f"{name} {precision}"] = open_engine_folder(
            folder, spec, state.architecture, pad_id=state.pad_id, threads=settings.threads
        )
    for label, write in _PEERS.items():
        if label not in names:
            continue
        folder = root / str(len(engines))
        folder.mkdir()
        spec = write(source, folder)
        engines[label] = open_engine_folder(
            folder, spec, state.architecture, pad_id=state.pad_id, threads=settings.threads
        )
    return engines


def time_engines(
    engines: Mapping[str, Engine], batches: list[Batch], settings: Settings, rounds: int
) -> dict[str, Any]:
    """Time engines in turn on the same batches; the native INT8 one as a ratio to each other.

    Args:
        engines: name → engine; `native int8` is the one that the ratios are of.
        batches: all of them are one call.
        settings: the threads of the probe, and the seed of the intervals.
        rounds: calls of each; a quarter of them, six at least, for several batches.
    """
    clock = SystemClock()

    def call(engine: Engine, times: int = 1) -> None:
        for batch in batches * times:
            engine.run(batch)

    calls = {name: lambda engine=engine: call(engine) for name, engine in engines.items()}
    settling = {
        name: lambda engine=engine: call(engine, _SETTLING) for name, engine in engines.items()
    }
    samples = time_interleaved(
        calls,
        recall=settling if len(batches) == 1 else None,
        rounds=rounds if len(batches) == 1 else max(6, rounds // 4),
        clock=clock,
        probe=HostProbe(threads=settings.threads, clock=clock),
    )
    rng = np.random.default_rng(settings.seed)

    def compare(name: str, other: str) -> dict[str, Any] | None:
        if name not in samples or other not in samples:
            return None
        return dict(to_json(throughput_ratio(samples[other], samples[name], rng=rng)))

    return {
        name: {
            "ms": 1000 * taken.median_s,
            "p95_ms": 1000 * taken.p95_s,
            "is_disturbed": taken.is_disturbed,
            "native_over": None if name == "native int8" else compare("native int8", name),
        }
        for name, taken in samples.items()
    }


def main() -> None:
    """Run each shape, level and number of threads in a process of its own."""
    parser = make_parser(__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--shape", choices=list(SHAPES), help="one, in this process; to stdout")
    parser.add_argument("--levels", default=_USUAL, help=f"some of {', '.join(LEVELS)}")
    parser.add_argument("--only", action="append", help="like '6 × 768, amx, 2': one of the runs")
    parser.add_argument("--engine", action="append", choices=_EVERY, help="some; else all")
    arguments = parser.parse_args()
    settings, names = to_settings(arguments), arguments.engine or _EVERY
    if arguments.shape:
        print(json.dumps(measure(settings, arguments.shape, arguments.rounds, names)))
        return
    for level in arguments.levels.split(","):
        for shape in SHAPES if level in ("own", "amx") else ("6 × 768",):
            for threads in range(1, settings.threads + 1):
                key = f"{shape}, {level}, {threads}"
                if arguments.only and key not in arguments.only:
                    continue
                argv = [sys.executable, "-m", "benchmarks.engines", *sys.argv[1:]]
                argv += ["--shape", shape, "--threads", str(threads)]
                done = subprocess.run(
                    argv,
                    cwd=ROOT,
                    stdout=subprocess.PIPE,
                    text=True,
                    check=True,
                    env={**os.environ, **LEVELS[level]},
                )
                found = json.loads(done.stdout)
                save(settings, "engines", {key: {**found, "level": level, "ran_with": threads}})
                say(key)


if __name__ == "__main__":
    main()
