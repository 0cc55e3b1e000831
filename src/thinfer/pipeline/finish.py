"""From a chosen candidate to a bundle: golden set, manifest, files."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thinfer.bundle import (
    LAYOUT,
    Bundle,
    EngineEntry,
    GoldenSet,
    Manifest,
    choose_golden,
    draw_sequences,
    encode_weights,
    measure_margins,
    write_bundle,
)
from thinfer.bundle.manifest import ProblemType
from thinfer.compress.state import State
from thinfer.core.codec import to_json
from thinfer.engine.base import EngineSpec
from thinfer.engine.registry import open_engine_folder
from thinfer.errors import DataError
from thinfer.export.graph import build_graph
from thinfer.measure.machine import describe_machine
from thinfer.nn.checkpoint import Checkpoint
from thinfer.nn.predict import compute_logits
from thinfer.quality.labels import LabelSet
from thinfer.quality.operating import OperatingPoint
from thinfer.text.batch import Batch

__all__ = ["BundleParts", "assemble_bundle", "label_set_of", "problem_type_of"]

# A bound holds on the machine that measured it; elsewhere rounding differs a little.
_SLACK = 3.0
_LEAST_BOUND = {"fp32": 1e-3, "bf16": 2e-2, "fp16": 2e-2, "int8": 5e-2}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BundleParts:
    """What a bundle is made of.

    Attributes:
        state: the model.
        spec: the chosen engine.
        folder: where the files of the spec are.
        normal_label: the label that is no finding, if there is one.
        problem_type: softmax or sigmoid.
        point: how the logits are read.
        quality: the manifest's `quality`.
        threads: threads of one call, for the golden set.
        seed: draws the golden sequences.
        documents: report and card, name → bytes.
        recipe: the steps that made the model; the state's own history when absent.
    """

    state: State
    spec: EngineSpec
    folder: Path
    normal_label: str | None
    problem_type: ProblemType
    quality: Mapping[str, Any]
    threads: int
    seed: int
    documents: Mapping[str, bytes]
    recipe: Sequence[Mapping[str, Any]] | None = None
    point: OperatingPoint = dataclasses.field(default_factory=OperatingPoint)


def label_set_of(checkpoint: Checkpoint, *, normal: str | None) -> LabelSet:
    """Give the classes of a checkpoint.

    Args:
        checkpoint: the model as it was brought.
        normal: the label that is no finding, if there is one.
    """
    return LabelSet(checkpoint.labels, normal=normal, is_multi_label=checkpoint.is_multi_label)


def problem_type_of(checkpoint: Checkpoint) -> ProblemType:
    """Give a checkpoint's problem type by the name that the manifest stores."""
    if checkpoint.problem_type == "multi_label":
        return "multi_label_classification"
    return "single_label_classification"


def assemble_bundle(target: Path, parts: BundleParts) -> Bundle:
    """Write the bundle of a chosen candidate.

    The chosen engine's files come with an FP32 `model.onnx` that ONNX Runtime alone loads
    (where the chosen engine is ONNX Runtime, that file has its precision).

    Args:
        target: the bundle's folder.
        parts: what it is made of.

    Returns:
        The bundle.
    """
    state = parts.state
    golden, bound = _make_golden(parts)
    chosen = _entry(parts.spec, bound, is_chosen=True)
    files: dict[str, bytes | Path] = {
        LAYOUT.tokenizer: state.tokenizer.to_json().encode(),
        LAYOUT.weights: encode_weights(state.weights),
        LAYOUT.golden: golden.encode(),
        **{name: parts.folder / name for name in parts.spec.files if name != LAYOUT.weights},
        **parts.documents,
    }
    entries = [chosen]
    if (parts.folder / LAYOUT.graph).exists():
        files[LAYOUT.graph] = parts.folder / LAYOUT.graph
    if LAYOUT.graph not in files:
        graph = build_graph(state.weights, state.architecture, fused=True)
        files[LAYOUT.graph] = graph.SerializeToString(deterministic=True)
        portable = EngineSpec(name="onnxruntime", precision="fp32", files=(LAYOUT.graph,))
        entries.append(_entry(portable, 1e-2, is_chosen=False))
    if parts.spec.name != "torch":
        torch = EngineSpec(name="torch", precision="fp32", files=(LAYOUT.weights,))
        entries.append(_entry(torch, 1e-2, is_chosen=False))
    machine = describe_machine()
    manifest = Manifest(
        architecture=state.architecture,
        labels=state.labels,
        normal_label=parts.normal_label,
        problem_type=parts.problem_type,
        operating=parts.point,
        max_length=state.max_length,
        pad_id=state.pad_id,
        engines=tuple(entries),
        recipe=_recipe(parts),
        quality=parts.quality,
        machine={key: value for key, value in machine.items() if key != "libraries"},
        libraries=machine.get("libraries", {}),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    return write_bundle(target, manifest, files=files)


def _recipe(parts: BundleParts) -> tuple[Mapping[str, Any], ...]:
    if parts.recipe is not None:
        return tuple(parts.recipe)
    return tuple(to_json(report) for report in parts.state.history)


def _entry(spec: EngineSpec, bound: float, *, is_chosen: bool) -> EngineEntry:
    return EngineEntry(
        name=spec.name,
        precision=spec.precision,
        files=spec.files,
        logits_bound=bound,
        options=dict(spec.options),
        chosen=is_chosen,
    )


def _make_golden(parts: BundleParts) -> tuple[GoldenSet, float]:
    """Give golden rows whose label no accepted difference can flip, and the accepted difference."""
    state = parts.state
    batch = _draw(state, np.random.default_rng(parts.seed))
    reference = compute_logits(state.module(), batch, pad_id=state.pad_id)
    engine = open_engine_folder(
        parts.folder, parts.spec, state.architecture, pad_id=state.pad_id, threads=parts.threads
    )
    try:
        apart = np.abs(engine.run(batch) - reference).max(axis=1)  # [sequences]
        # Synthetic text is rougher than real text: the calmest half of it makes the golden set,
        # so that the bound stays tight enough to notice a damaged engine.
        calm = np.flatnonzero(apart <= np.median(apart))
        least = _LEAST_BOUND[parts.spec.precision]
        bound = max(least, _SLACK * float(apart[calm].max()))
        golden = _choose(batch.select(calm), reference[calm], bound, state.is_multi_label)
        # An engine that scales activations per call answers a smaller batch a little differently.
        alone = float(np.abs(engine.run(golden.batch) - golden.logits).max())
    finally:
        engine.close()
    return golden, max(bound, _SLACK * alone)


def _choose(batch: Batch, logits: NDArray[np.float32], bound: float, several: bool) -> GoldenSet:
    try:
        return choose_golden(batch, logits, bound=bound, is_multi_label=several)
    except DataError:
        # No row has so clear a label (a nearly untrained model): the rows with the clearest one
        # still hold the logits to the bound.
        margin = float(measure_margins(logits, is_multi_label=several).max())
        half = 0.5 * margin if np.isfinite(margin) else 0.5
        return choose_golden(batch, logits, bound=half, is_multi_label=several)


def _draw(state: State, rng: np.random.Generator) -> Batch:
    tokenizer = state.tokenizer
    special = [tokenizer.pad_id, tokenizer.unk_id]
    return draw_sequences(
        rng,
        vocab=min(tokenizer.vocab_size, state.architecture.vocab),
        max_length=min(state.max_length, 64),
        first=tokenizer.cls_id,
        last=tokenizer.sep_id,
        avoid=[token for token in special if token >= 0],
    )
