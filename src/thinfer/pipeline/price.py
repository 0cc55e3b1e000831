"""Measure a latency table: small models of one and of five equal layers, timed in turn.

Each has one kind of block at one width, and every other block empty; differences of their times
are the prices. Weights and token ids are random: dense products take the same time whatever they
multiply.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from thinfer.architecture import Architecture, LayerShape
from thinfer.core.clock import Clock
from thinfer.core.progress import Progress
from thinfer.engine.base import Engine, Precision
from thinfer.engine.registry import open_engine_folder
from thinfer.errors import UserError
from thinfer.export.write import ExportRequest, write_engine
from thinfer.measure.probe import HostProbe
from thinfer.measure.timing import time_interleaved
from thinfer.nn.encoder import EncoderClassifier
from thinfer.pipeline.latency import BlockTimes, LatencyTable
from thinfer.pipeline.price_parts import DEPTH, Key, PriceParts, split_prices, split_sizes
from thinfer.text.batch import Batch

__all__ = ["TableRequest", "measure_table"]

_ROUNDS = 12
# Of a timed sample at least: prices are differences, and one short text takes a few tenths of a
# millisecond, of which a clock and a scheduler leave little.
_SAMPLE_S = 5e-3
_MOST_CALLS = 32
_VOCABULARY = 512
# Of the calibration texts' lengths: what stands for a short, a typical and a long text.
_QUANTILES = {"short": 0.1, "typical": 0.5, "long": 0.95}
_BATCH_TEXTS = 32
_BATCHES = 2
_SHARED_WORK = "shared_work"  # an option of the native engine
_SHARED_FROM = 500_000_000  # `kSharedWork` of native/src/engine.hpp; a test compares them
_USUAL, _SHARED = "usual", "shared"


def _nothing(texts: int) -> None:
    """Prepare nothing: token ids are what the engine is given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TableRequest:
    """What a table is measured for.

    Attributes:
        architecture: the dense model; all its layers have one shape.
        engine: name of the engine.
        precision: of its matrix products.
        options: the engine's options of the dense form (how it uses its threads).
        threads: threads of one call.
        lengths: tokens of calibration texts, int64 `[texts]`.
        head_sizes: smaller sizes of a head to measure too, rising.
        prepare: what is done with so many texts before each call, tokenising: it is timed too, and
            leaves the caches as a service finds them.
    """

    architecture: Architecture
    engine: str
    precision: Precision
    options: Mapping[str, int | float | str | bool]
    threads: int
    lengths: NDArray[np.int64]
    head_sizes: tuple[int, ...] = ()
    prepare: Callable[[int], object] = _nothing


def measure_table(
    request: TableRequest, *, rng: np.random.Generator, progress: Progress, clock: Clock
) -> LatencyTable:
    """Export small models of every width and time them in turn.

    Args:
        request: for what.
        rng: draws weights, token ids and the texts of a batch.
        progress: told of the work.
        clock: times it.

    Returns:
        The table.

    Raises:
        UserError: the layers of the model differ: nothing was measured.
    """
    shape = request.architecture.layers[0]
    if any(layer != shape for layer in request.architecture.layers):
        what = "a latency table wants a model whose layers are alike"
        raise UserError(what, got=str(request.architecture.layers))
    head_widths = _spread(shape.heads, (1 / 4, 1 / 2, 3 / 4))
    neuron_widths = _spread(shape.ffn, (1 / 8, 1 / 4, 1 / 2, 3 / 4))
    sized_widths = _halves(shape.heads) if request.head_sizes else ()
    shapes = [replace(shape, heads=heads, ffn=0) for heads in head_widths]
    shapes += [replace(shape, heads=0, ffn=ffn) for ffn in neuron_widths[1:]]
    shapes += _resize(shape, request.head_sizes, sized_widths[1:])
    batches = _draw_batches(request, rng)
    modes = _list_modes(request)
    engines: dict[str, dict[Key, Engine]] = {mode: {} for mode in modes}
    with tempfile.TemporaryDirectory(prefix="thinfer-") as root:
        try:
            with progress.task("small models for the latency table", 2 * len(shapes)) as advance:
                for layer in shapes:
                    for depth in (1, DEPTH):
                        folder = Path(root) / f"{shapes.index(layer)}-{depth}"
                        opened = _open_small(request, layer, depth, folder, batches, modes)
                        for mode, engine in opened.items():
                            engines[mode][layer, depth] = engine
                        advance(1)
            asked = _list_timed(batches, modes)
            times: dict[str, dict[str, BlockTimes]] = {mode: {} for mode in modes}
            with progress.task("latency table", len(asked)) as advance:
                for mode, name in asked:
                    seconds = _time(request, engines[mode], batches[name], clock=clock)
                    parts_of = PriceParts(seconds, replace(shape, heads=0, ffn=0))
                    times[mode][name] = replace(
                        split_prices(parts_of, head_widths, neuron_widths),
                        sized=split_sizes(parts_of, request.head_sizes, sized_widths),
                    )
                    advance(1)
        finally:
            for of_mode in engines.values():
                for engine in of_mode.values():
                    engine.close()
    return LatencyTable(
        engine=request.engine,
        precision=request.precision,
        threads=request.threads,
        hidden=request.architecture.hidden,
        head_size=shape.value_size,
        head_widths=head_widths,
        neuron_widths=neuron_widths,
        lengths={
            name: tuple(int(n) for part in parts for n in part.lengths)
            for name, parts in batches.items()
        },
        workloads=times[_USUAL],
        head_sizes=request.head_sizes,
        sized_widths=sized_widths,
        shared=times.get(_SHARED, {}),
        shared_from=_SHARED_FROM if _SHARED in modes else 0,
    )


def _list_modes(request: TableRequest) -> dict[str, dict[str, int]]:
    """Give the options under which the small models are timed.

    The native engine shares one text out among its threads where the model is large. A small model
    would never do so, and one that it stands for may: it is timed both ways.
    """
    if request.engine != "native" or request.threads == 1:
        return {_USUAL: {}}
    return {_USUAL: {_SHARED_WORK: 2**62}, _SHARED: {_SHARED_WORK: 0}}


def _list_timed(batches: Iterable[str], modes: Iterable[str]) -> list[tuple[str, str]]:
    """Give modes with their workloads; several texts are taken side by side in any mode."""
    asked = [(mode, name) for mode in modes for name in batches]
    return [(mode, name) for mode, name in asked if mode == _USUAL or name != "batch"]


def _resize(shape: LayerShape, sizes: Sequence[int], widths: Sequence[int]) -> list[LayerShape]:
    """Give attention blocks of which queries and keys, or values, are smaller."""
    return [
        replace(shape, heads=heads, ffn=0, **{name: size})
        for size in sizes
        for heads in widths
        for name in ("qk_size", "value_size")
    ]


def _spread(most: int, parts: Sequence[float]) -> tuple[int, ...]:
    return tuple(sorted({0, min(1, most), *(round(most * part) for part in parts), most}))


def _halves(most: int) -> tuple[int, ...]:
    return tuple(sorted({0, most // 2, most}))


def _draw_batches(request: TableRequest, rng: np.random.Generator) -> dict[str, tuple[Batch, ...]]:
    lengths = np.minimum(request.lengths, request.architecture.max_length)

    def draw(sizes: NDArray[np.int64]) -> Batch:
        ids = [rng.integers(0, _VOCABULARY, size=int(size)).tolist() for size in sizes]
        return Batch.from_sequences(ids)

    batches: dict[str, tuple[Batch, ...]] = {
        name: (draw(np.array([round(float(np.quantile(lengths, part)))])),)
        for name, part in _QUANTILES.items()
    }
    batches["batch"] = tuple(draw(rng.choice(lengths, size=_BATCH_TEXTS)) for _ in range(_BATCHES))
    return batches


def _open_small(
    request: TableRequest,
    layer: LayerShape,
    depth: int,
    folder: Path,
    batches: Mapping[str, tuple[Batch, ...]],
    modes: Mapping[str, Mapping[str, int]],
) -> dict[str, Engine]:
    architecture = replace(request.architecture, layers=(layer,) * depth, vocab=_VOCABULARY)
    folder.mkdir()
    spec = write_engine(
        request.engine,
        request.precision,
        ExportRequest(
            weights=EncoderClassifier(architecture).weights(),
            architecture=architecture,
            folder=folder,
            pad_id=0,
            calibration=batches["batch"][0],
        ),
    )
    # A small model would use its threads in another way than the one that it stands for.
    return {
        mode: open_engine_folder(
            folder,
            replace(spec, options={**spec.options, **request.options, **options}),
            architecture,
            pad_id=0,
            threads=request.threads,
        )
        for mode, options in modes.items()
    }


def _time(
    request: TableRequest,
    engines: Mapping[Key, Engine],
    batches: Sequence[Batch],
    *,
    clock: Clock,
) -> dict[Key, float]:
    def repeat(engine: Engine, times: int) -> Callable[[], None]:
        def call() -> None:
            for _ in range(times):
                for batch in batches:
                    request.prepare(len(batch))
                    engine.run(batch)

        return call

    names = {str(place): key for place, key in enumerate(engines)}
    once = {name: repeat(engines[key], 1) for name, key in names.items()}
    times = {name: _count_calls(call, clock) for name, call in once.items()}
    samples = time_interleaved(
        {name: repeat(engines[key], times[name]) for name, key in names.items()},
        rounds=_ROUNDS,
        recall=once,  # as candidates are timed: with what they read in the caches
        most_rounds=_ROUNDS * 5 // 4,
        warmups=1,
        clock=clock,
        probe=HostProbe(threads=request.threads, clock=clock),
    )
    return {
        key: samples[name].median_s / (times[name] * len(batches)) for name, key in names.items()
    }


def _count_calls(call: Callable[[], None], clock: Clock) -> int:
    """Give how many calls fill a sample; the first, which may compile or allocate, is not asked."""
    call()
    start = clock.monotonic()
    call()
    seconds = clock.monotonic() - start
    return min(_MOST_CALLS, math.ceil(_SAMPLE_S / max(seconds, _SAMPLE_S / _MOST_CALLS)))
