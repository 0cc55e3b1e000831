"""`pack`: checkpoint → bundle, nothing removed."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thinfer.bundle import LAYOUT, Bundle, check_place
from thinfer.compress.embedding import prune_positions
from thinfer.compress.state import State
from thinfer.core.cores import usable_cores
from thinfer.core.progress import Progress
from thinfer.engine.base import EngineSpec, Precision
from thinfer.export.write import ExportRequest, write_engine
from thinfer.nn.checkpoint import load_checkpoint
from thinfer.pipeline.candidate import describe_candidate
from thinfer.pipeline.finish import BundleParts, assemble_bundle, label_set_of, problem_type_of
from thinfer.pipeline.original import state_of
from thinfer.pipeline.profile import profile_corpus
from thinfer.quality.operating import Decider, parse_operating_point
from thinfer.text.corpus import Corpus

__all__ = ["PackRequest", "pack"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PackRequest:
    """One run of `pack`.

    Attributes:
        model: a checkpoint directory or a hub name.
        out: the bundle's folder.
        engine: the engine that the bundle chooses.
        precision: of its matrix products.
        calibrate: text that fixes the input ranges of INT8; OpenVINO needs it, and ONNX
            Runtime without it finds a range for each call.
        normal_label: the label that is no finding, if there is one.
        thresholds: `LABEL=SCORE` each: from which score a label is answered.
        priority: labels with a threshold, separated by commas, the first that is reached wins.
        threads: threads of one call.
        seed: draws the golden sequences.
    """

    model: str
    out: Path
    engine: str = "onnxruntime"
    precision: Precision = "fp32"
    calibrate: Corpus | None = None
    normal_label: str | None = None
    thresholds: tuple[str, ...] = ()
    priority: str | None = None
    threads: int | None = None
    seed: int = 0


def pack(request: PackRequest, *, progress: Progress) -> tuple[Bundle, dict[str, Any]]:
    """Write a bundle that answers as the checkpoint does.

    Only position rows above the checkpoint's own longest text are left out.

    Args:
        request: what to do.
        progress: told of the work.

    Returns:
        The bundle, and the result as JSON.
    """
    check_place(request.out)
    checkpoint = load_checkpoint(request.model)
    labels = label_set_of(checkpoint, normal=request.normal_label)
    point = parse_operating_point(request.thresholds, request.priority, labels)
    state, _ = prune_positions(state_of(checkpoint), checkpoint.max_length)
    calibration = None
    if request.calibrate is not None:
        corpus = request.calibrate
        calibration = state.tokenizer.encode(corpus.texts, corpus.pairs).batch
    origin = f"From a {checkpoint.family} checkpoint; nothing was removed."
    card = f"# Text classifier, packed by thinfer\n\n{origin}\n"
    with tempfile.TemporaryDirectory() as folder, progress.task("pack", 2) as advance:
        export = ExportRequest(
            weights=state.weights,
            architecture=state.architecture,
            folder=Path(folder),
            pad_id=state.pad_id,
            calibration=calibration,
        )
        spec = write_engine(request.engine, request.precision, export)
        describe_candidate(Path(folder), spec, state)
        documents = {LAYOUT.card: card.encode()}
        if request.calibrate is not None:
            decider, threads = Decider(labels, point), request.threads
            documents |= _profile(request.calibrate, state, spec, Path(folder), decider, threads)
        advance(1)
        bundle = assemble_bundle(
            request.out,
            BundleParts(
                state=state,
                spec=spec,
                folder=Path(folder),
                normal_label=request.normal_label,
                problem_type=problem_type_of(checkpoint),
                point=point,
                quality={"floors": [], "verdicts": [], "n": 0, "judgements": []},
                threads=request.threads or usable_cores(),
                seed=request.seed,
                documents=documents,
            ),
        )
        advance(1)
    return bundle, {
        "bundle": str(request.out),
        "version": bundle.version,
        "engine": spec.name,
        "precision": spec.precision,
        "size_bytes": bundle.size_bytes(),
        "leftovers": list(checkpoint.leftovers),
    }


def _profile(
    corpus: Corpus,
    state: State,
    spec: EngineSpec,
    folder: Path,
    decider: Decider,
    threads: int | None,
) -> dict[str, bytes]:
    """Give the profile of the calibration text, by its name in the bundle."""
    raw = profile_corpus(
        corpus,
        state,
        spec,
        folder=folder,
        decider=decider,
        threads=threads or usable_cores(),
        source="calibrate",
    )
    return {LAYOUT.profile: raw}
