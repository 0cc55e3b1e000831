"""What the pruning benchmarks share: a teacher, its ladders and prices, and the judging of states.

All states of a case are timed in the same engine and precision, in turn. Accuracy is the FP32
model's on the test rows that did not leak: precision takes no part in the comparison.
"""

from __future__ import annotations

import tempfile
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from benchmarks.settings import RealSet, Settings
from thinfer.compress.costs import BlockCosts
from thinfer.compress.ladder import Ladders
from thinfer.compress.prune import Pruner, PruneSettings, build_ladders
from thinfer.compress.state import State
from thinfer.core.clock import SystemClock
from thinfer.core.progress import SilentProgress
from thinfer.engine.base import Engine, Precision
from thinfer.engine.pool import choose_parallel
from thinfer.engine.registry import available_engines, open_engine_folder
from thinfer.export.write import ExportRequest, write_engine
from thinfer.measure.probe import HostProbe
from thinfer.measure.timing import time_interleaved
from thinfer.nn.checkpoint import load_checkpoint
from thinfer.pipeline.data import DataRequest, DataSets, load_sets
from thinfer.pipeline.latency import LatencyTable
from thinfer.pipeline.original import state_of
from thinfer.pipeline.price import TableRequest, measure_table
from thinfer.quality.labels import LabelSet
from thinfer.text.batch import Batch

__all__ = [
    "ENGINE",
    "PRECISION",
    "Case",
    "find_sets",
    "judge_states",
    "load_case",
    "make_case",
    "time_states",
]

ENGINE = "onnxruntime"
PRECISION: Precision = "int8"
_CALIBRATION_TEXTS = 2048
_BATCHES, _BATCH_TEXTS, _ROUNDS = 12, 32, 6

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Case:
    """One teacher with all that the methods share."""

    state: State
    sets: DataSets
    ladders: Ladders
    calibration: Batch
    table: LatencyTable
    costs: BlockCosts
    pruner: Pruner
    threads: int
    seconds: Mapping[str, float]

    @property
    def price(self) -> float:
        """Seconds of all blocks as they are."""
        blocks = zip(self.costs.heads, self.costs.neurons, strict=True)
        return sum(float(heads[-1] + neurons[-1]) for heads, neurons in blocks)

    def budget(self, speedup: float) -> float:
        """Give the seconds of all blocks together that make the whole so much faster."""
        times = self.table.workloads["batch"]
        shape = self.state.architecture
        fixed = times.base + (len(shape.layers) - 1) * times.layer
        return self.table.predict(shape, "batch") / speedup - fixed


def load_case(settings: Settings, item: RealSet) -> Case:
    """Read a teacher and its sets, build the ladders, and measure the prices."""
    checkpoint = load_checkpoint(str(settings.teacher(item)))
    sets = find_sets(settings, item, checkpoint.labels)
    return make_case(settings, state_of(checkpoint), sets)


def find_sets(settings: Settings, item: RealSet, labels: Sequence[str]) -> DataSets:
    """Read the three parts of a set."""
    parts = {part: settings.file(item, part)[0] for part in ("train", "dev", "test")}
    column = None if settings.limit else item.text_column
    return load_sets(DataRequest(**parts, text_column=column), LabelSet(labels, normal=None))


def make_case(settings: Settings, state: State, sets: DataSets) -> Case:
    """Build the ladders of a state and measure the prices of its widths."""
    clock = SystemClock()
    rng = np.random.default_rng(settings.seed)
    rows = sorted(rng.choice(len(sets.train), min(_CALIBRATION_TEXTS, len(sets.train)), False))
    calibration = sets.train.encode(state.tokenizer).batch.select([int(row) for row in rows])
    started = clock.monotonic()
    ladders = build_ladders(state, calibration, rng=rng, settings=PruneSettings(keep_moments=True))
    built = clock.monotonic()
    request = TableRequest(
        architecture=state.architecture,
        engine=ENGINE,
        precision=PRECISION,
        options={"parallel": choose_parallel(state.architecture, PRECISION, {})},
        threads=settings.threads,
        lengths=calibration.lengths,
    )
    table = measure_table(request, rng=rng, progress=SilentProgress(), clock=clock)
    seconds = {"ladders": built - started, "latency table": clock.monotonic() - built}
    costs = table.costs(ladders, "batch")
    return Case(
        state=state,
        sets=sets,
        ladders=ladders,
        calibration=calibration,
        table=table,
        costs=costs,
        pruner=Pruner(state, ladders, calibration, costs=costs),
        threads=settings.threads,
        seconds=seconds,
    )


def judge_states(case: Case, states: Mapping[Key, State]) -> dict[Key, dict[str, Any]]:
    """Give speed to the dense state, and what test says, of each state."""
    sets, state = case.sets, case.state
    test, truth = sets.test.encode(state.tokenizer).batch, sets.test.truth
    dense = _answer(state, test, case.threads)
    ratios = time_states(case, states)
    whole = case.table.predict(state.architecture, "batch")
    judged = {}
    for key, small in states.items():
        answers = _answer(small, test, case.threads)
        judged[key] = {
            "measured": ratios[key],
            "predicted": _predict(case, small, whole),
            "accuracy": float((answers == truth).mean()),
            "kept": float((answers == truth).sum() / (dense == truth).sum()),
            "lost": int(((dense == truth) & (answers != truth)).sum()),
            "gained": int(((dense != truth) & (answers == truth)).sum()),
            "dense_accuracy": float((dense == truth).mean()),
            "layers": [[layer.heads, layer.ffn] for layer in small.architecture.layers],
        }
    return judged


def _answer(state: State, texts: Batch, threads: int) -> NDArray[np.int64]:
    """Give FP32 labels, from the faster of the engines that are here; as its parity test holds."""
    name = "onnxruntime" if available_engines()["native"] else "native"
    with tempfile.TemporaryDirectory(prefix="thinfer-") as root:
        engine = _open(state, name, "fp32", Path(root), threads)
        try:
            parts = [
                engine.run(texts.select(list(range(start, min(start + 256, len(texts))))))
                for start in range(0, len(texts), 256)
            ]
        finally:
            engine.close()
    return np.concatenate(parts).argmax(axis=1)


def _open(state: State, name: str, precision: Precision, folder: Path, threads: int) -> Engine:
    request = ExportRequest(
        weights=state.weights,
        architecture=state.architecture,
        folder=folder,
        pad_id=state.pad_id,
    )
    spec = write_engine(name, precision, request)
    return open_engine_folder(
        folder, spec, state.architecture, pad_id=state.pad_id, threads=threads
    )


def _predict(case: Case, small: State, whole: float) -> float | None:
    """Give the speed that the table promises; it knows one hidden size."""
    if small.architecture.hidden != case.state.architecture.hidden:
        return None
    return whole / case.table.predict(small.architecture, "batch")


def time_states(
    case: Case, states: Mapping[Key, State], precision: Precision = PRECISION
) -> dict[Key, float]:
    """Give the throughput of each state to the dense one's, in turn, without tokenising."""
    clock, texts = SystemClock(), case.sets.dev.encode(case.state.tokenizer).batch
    most = min(len(texts), _BATCHES * _BATCH_TEXTS)
    batches = [
        texts.select(list(range(start, min(start + _BATCH_TEXTS, most))))
        for start in range(0, most, _BATCH_TEXTS)
    ]
    with tempfile.TemporaryDirectory(prefix="thinfer-") as root:
        engines: dict[str, Engine] = {}
        for number, state in enumerate([case.state, *states.values()]):
            folder = Path(root) / str(number)
            folder.mkdir()
            engines[str(number)] = _open(state, ENGINE, precision, folder, case.threads)

        def call(engine: Engine) -> None:
            for batch in batches:
                engine.run(batch)

        samples = time_interleaved(
            {name: lambda engine=engine: call(engine) for name, engine in engines.items()},
            rounds=_ROUNDS,
            clock=clock,
            probe=HostProbe(threads=case.threads, clock=clock),
        )
        for engine in engines.values():
            engine.close()
    dense = samples["0"].median_s
    return {key: dense / samples[str(at + 1)].median_s for at, key in enumerate(states)}
