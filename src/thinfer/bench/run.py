"""`bench`: the engines of a bundle and its peers, in turn, on the same texts and threads."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np

from thinfer.bench.contender import Contender, open_bundle_contenders
from thinfer.bench.tables import make_rows
from thinfer.bundle import Bundle, open_bundle
from thinfer.core.clock import Clock
from thinfer.core.codec import to_json
from thinfer.core.cores import usable_cores
from thinfer.core.progress import Progress
from thinfer.errors import DataError, EngineError, UserError
from thinfer.measure.machine import describe_machine
from thinfer.measure.probe import HostProbe
from thinfer.measure.timing import time_interleaved
from thinfer.measure.workload import Workload, batch_texts, make_texts
from thinfer.text.corpus import read_corpus
from thinfer.text.tokenizer import Tokenizer

__all__ = ["BenchRequest", "OpenPeer", "bench"]

_SHAPES = ("1x32", "8x32", "16x128")
_CORPUS = "corpus:"
_BATCH = 32
_TEXTS = 1024  # of a corpus, the first ones


class OpenPeer(Protocol):
    """What opens a peer by its name; it may need libraries that a serving machine lacks."""

    def __call__(self, wish: str, *, bundle: Bundle, folder: Path, threads: int) -> Contender:
        """Open the peer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchRequest:
    """One run of `bench`.

    Attributes:
        bundle: its path.
        against: peers, the first of which is the baseline; chosen from what is here when empty.
        lengths: `32x8` is 32 sequences of 8 tokens, `corpus:FILE` a file's first 1,024 texts in
            batches of 32; three usual shapes when empty.
        threads: threads of one call; the usable cores when absent.
        rounds: calls of each on each workload; a corpus is run to its end at least once.
        text_column: of the corpora.
        seed: draws the texts of shapes and resamples the rounds.
    """

    bundle: Path
    against: tuple[str, ...] = ()
    lengths: tuple[str, ...] = ()
    threads: int | None = None
    rounds: int = 20
    text_column: str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.rounds < 1 or (self.threads is not None and self.threads < 1):
            what = "rounds and threads make no sense"
            raise UserError(
                what, expected="1 or more", got=f"{self.rounds} rounds, {self.threads} threads"
            )
        if len(set(self.against)) < len(self.against):
            what = "a peer is named twice"
            raise UserError(what, expected="each peer once", got=", ".join(self.against))


def bench(
    request: BenchRequest, *, open_peer: OpenPeer | None, progress: Progress, clock: Clock
) -> dict[str, Any]:
    """Time every engine of a bundle that is usable here, and its peers, interleaved.

    Args:
        request: what to measure.
        open_peer: opens peers; None where their libraries are missing.
        progress: told of the work.
        clock: times it.

    Returns:
        The result of `bench --json`: `machine`, `rows`, and also `bundle`, `version`, `baseline`
        with `baseline_reason`, `skipped`, and `threads`.
    """
    bundle = open_bundle(request.bundle)
    threads = request.threads or usable_cores()
    workloads = _make_workloads(request, bundle)
    with ExitStack() as stack:
        own, skipped = open_bundle_contenders(bundle, threads=threads)
        for contender in own:
            stack.callback(contender.close)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))

        def open_one(wish: str) -> Contender:
            place = Path(tempfile.mkdtemp(dir=folder))
            peer = cast("OpenPeer", open_peer)(wish, bundle=bundle, folder=place, threads=threads)
            stack.callback(peer.close)
            return peer

        peers, reason = _open_peers(request.against, open_one if open_peer else None)
        contenders = [*own, *peers]
        baseline = (peers or [_weakest(own)])[0].name
        rows: list[dict[str, Any]] = []
        with progress.task("bench", len(workloads)) as advance:
            for workload in workloads:
                rows += _measure(contenders, workload, request, baseline, clock)
                advance(1)
    return {
        "bundle": str(request.bundle),
        "version": bundle.version,
        "baseline": baseline,
        "baseline_reason": reason,
        "threads": threads,
        "rows": rows,
        "skipped": to_json(skipped),
        "machine": describe_machine(),
    }


def _open_peers(
    wishes: Sequence[str], open_one: Callable[[str], Contender] | None
) -> tuple[list[Contender], str]:
    """Give the peers, the baseline first, and why that one is the baseline."""
    if open_one is None:
        if wishes:
            what = "peers need libraries that are not installed here"
            raise EngineError(what, got=", ".join(wishes), do="pip install 'thinfer[compress]'")
        return [], "the libraries of the peers are not installed: an engine of the bundle"
    if wishes:
        return [open_one(wish) for wish in wishes], "the first --against"
    try:
        return [open_one("transformers")], "transformers runs the bundle's own weights"
    except (DataError, EngineError) as error:
        reason = f"transformers cannot run the bundle's own weights ({error})"
        return [open_one("onnxruntime")], f"{reason}: they run in ONNX Runtime FP32"


def _weakest(own: Sequence[Contender]) -> Contender:
    """Where nothing else is here: the engine that loads anywhere, or whatever there is."""
    return next((item for item in own if item.engine == "onnxruntime"), own[0])


def _make_workloads(request: BenchRequest, bundle: Bundle) -> list[Workload]:
    longest = bundle.manifest.max_length
    tokenizer = Tokenizer.from_json(bundle.tokenizer_text(), max_length=longest)
    rng = np.random.default_rng(request.seed)
    wishes = request.lengths or _usual_shapes(longest)
    workloads = []
    for wish in wishes:
        if wish.startswith(_CORPUS):
            place = Path(wish.removeprefix(_CORPUS))
            corpus = read_corpus(place, text_column=request.text_column, need_labels=False)
            name = f"{_CORPUS}{place.name}"
            workloads.append(batch_texts(name, corpus.texts, batch_size=_BATCH, limit=_TEXTS))
        else:
            workloads.append(make_texts(wish, tokenizer=tokenizer, rng=rng))
    return workloads


def _usual_shapes(longest: int) -> tuple[str, ...]:
    """The usual shapes, no sequence longer than the model runs."""
    pairs = [tuple(map(int, shape.split("x"))) for shape in _SHAPES]
    return tuple(dict.fromkeys(f"{rows}x{min(length, longest)}" for rows, length in pairs))


def _measure(
    contenders: Sequence[Contender],
    workload: Workload,
    request: BenchRequest,
    baseline: str,
    clock: Clock,
) -> list[dict[str, Any]]:
    batches = len(workload.batches)
    # One whole pass unseen: what compiles for every new shape has met them all.
    samples = time_interleaved(
        {item.name: _stepper(item, workload.batches) for item in contenders},
        # A service runs one of them; here they take turns, and push each other out of the caches.
        recall={item.name: _stepper(item, workload.batches[:1]) for item in contenders},
        rounds=batches * math.ceil(request.rounds / batches),
        clock=clock,
        probe=HostProbe(threads=max(item.threads for item in contenders), clock=clock),
        warmups=batches,
    )
    rng = np.random.default_rng(request.seed)
    return make_rows(contenders, samples, workload, baseline=baseline, warmups=batches, rng=rng)


def _stepper(contender: Contender, batches: Sequence[Sequence[str]]) -> Callable[[], object]:
    """Give a call that runs the next batch each time: all contenders walk the same road."""
    road = cycle(batches)
    return lambda: contender.run(next(road))
