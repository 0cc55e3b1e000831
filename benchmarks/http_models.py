"""The models of `benchmarks.http`, each in the forms that the services read."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.engines import draw_model
from benchmarks.record import run_tool
from benchmarks.settings import RealSet, Settings, write_rows
from thinfer.architecture import LayerShape
from thinfer.bundle import (
    LAYOUT,
    EngineEntry,
    GoldenSet,
    Manifest,
    draw_sequences,
    encode_weights,
    open_bundle,
    write_bundle,
)
from thinfer.compress.state import State
from thinfer.core.digest import sha256_bytes
from thinfer.engine.base import EngineSpec
from thinfer.engine.fake import fake_logits
from thinfer.engine.registry import available_engines
from thinfer.export.graph import build_graph
from thinfer.nn.checkpoint import Checkpoint
from thinfer.nn.presets import draw_encoder
from thinfer.nn.save import save_checkpoint
from thinfer.pipeline.finish import BundleParts, assemble_bundle
from thinfer.pipeline.original import state_of
from thinfer.text.tokenizer import Tokenizer

__all__ = ["Forms", "write_drawn", "write_fake", "write_nothing", "write_pruned"]


_CALIBRATION = 300  # texts


@dataclass(frozen=True, slots=True, kw_only=True)
class Forms:
    """One model on disk.

    Attributes:
        name: as the tables call it.
        onnx: folder with `model.onnx`, `tokenizer.json` and `facts.json`, for the peers.
        same: a bundle whose engine reads the very same `model.onnx`.
        chosen: a bundle with the engine that thinfer chooses; None where there is none.
        teacher: a Hugging Face directory; None where that format cannot hold the widths.
        digest: of the graph that they all read.
        facts: of the model.
    """

    name: str
    onnx: Path
    same: Path
    chosen: Path | None
    teacher: Path | None
    digest: str
    facts: dict[str, Any]


def write_drawn(settings: Settings, shape: str, root: Path, item: RealSet) -> Forms:
    """Write a model of drawn weights; its chosen form is INT8, calibrated on texts of a set.

    Args:
        settings: where the teacher lies whose tokenizer it has.
        shape: a name of `benchmarks.engines.SHAPES`.
        root: an empty folder.
        item: the set; some hundred of its training texts are used.
    """
    checkpoint = draw_model(settings, shape)
    teacher, chosen = root / "teacher", root / "chosen"
    save_checkpoint(checkpoint, teacher)
    calibrate = root / "calibrate.jsonl"
    write_rows(calibrate, settings.corpus(item, "train", most=_CALIBRATION))
    engine = "onnxruntime" if available_engines()["native"] else "native"
    words = ("--engine", engine, "--precision", "int8", "--calibrate", calibrate)
    run_tool("pack", teacher, "--out", chosen, *words, "--threads", settings.threads)
    forms = _write(state_of(checkpoint), shape, root, settings)
    return replace(forms, teacher=teacher, chosen=chosen)


def write_pruned(settings: Settings, item: RealSet, bundle: Path, root: Path) -> Forms:
    """Write the weights of a bundle of `compress_sets` once more, as a plain FP32 graph.

    Args:
        settings: threads and seed.
        item: the set, for its name.
        bundle: of `compress_sets`; served as it is as the chosen form.
        root: an empty folder.
    """
    opened = open_bundle(bundle)
    manifest = opened.manifest
    state = State(
        weights=opened.weights(),
        architecture=manifest.architecture,
        tokenizer=Tokenizer.from_json(opened.tokenizer_text(), max_length=manifest.max_length),
        labels=manifest.labels,
        max_length=manifest.max_length,
        pad_id=manifest.pad_id,
    )
    forms = _write(state, f"{item.name}, compressed", root, settings)
    return replace(forms, chosen=bundle)


def write_nothing(settings: Settings, root: Path) -> Forms:
    """Write a model with next to no arithmetic: what it costs is all that is not the model.

    Args:
        settings: where the teacher lies whose tokenizer it has.
        root: an empty folder.
    """
    checkpoint = _shrink(draw_model(settings, "6 × 384"), settings.seed)
    teacher = root / "teacher"
    save_checkpoint(checkpoint, teacher)
    forms = _write(state_of(checkpoint), "next to nothing", root, settings)
    return replace(forms, teacher=teacher)


def write_fake(forms: Forms, root: Path) -> Path:
    """Write a bundle with the engine that computes nothing, for the same texts and labels.

    Args:
        forms: whose tokenizer, labels and weights it has.
        root: an empty folder.
    """
    source = open_bundle(forms.same)
    manifest = source.manifest
    tokenizer = Tokenizer.from_json(source.tokenizer_text(), max_length=manifest.max_length)
    batch = draw_sequences(
        np.random.default_rng(0),
        vocab=tokenizer.vocab_size,
        max_length=min(manifest.max_length, 64),
        first=tokenizer.cls_id,
        last=tokenizer.sep_id,
        avoid=(tokenizer.pad_id, tokenizer.unk_id),
    )
    golden = GoldenSet(batch=batch, logits=fake_logits(batch, classes=len(manifest.labels)))
    entry = EngineEntry(
        name="fake", precision="fp32", files=(LAYOUT.weights,), options={}, chosen=True
    )
    body = Manifest(
        architecture=manifest.architecture,
        labels=manifest.labels,
        normal_label=None,
        problem_type="single_label_classification",
        max_length=manifest.max_length,
        pad_id=manifest.pad_id,
        engines=(entry,),
    )
    files: dict[str, bytes | Path] = {
        LAYOUT.tokenizer: source.tokenizer_text().encode(),
        LAYOUT.weights: encode_weights(source.weights()),
        LAYOUT.golden: golden.encode(),
        LAYOUT.card: b"# A service without a model\n",
    }
    return write_bundle(root / "fake", body, files=files).path


def _write(state: State, name: str, root: Path, settings: Settings) -> Forms:
    """The plain graph once, and a bundle that reads it."""
    graph = build_graph(state.weights, state.architecture, fused=False)
    data = graph.SerializeToString(deterministic=True)
    folder = root / "onnx"
    folder.mkdir(parents=True)
    (folder / LAYOUT.graph).write_bytes(data)
    (folder / "tokenizer.json").write_text(state.tokenizer.to_json(), encoding="utf-8")
    said = {"labels": state.labels, "max_length": state.max_length, "pad_id": state.pad_id}
    (folder / "facts.json").write_text(json.dumps(said), encoding="utf-8")
    parts = BundleParts(
        state=state,
        spec=EngineSpec(name="onnxruntime", precision="fp32", files=(LAYOUT.graph,)),
        folder=folder,
        normal_label=None,
        problem_type="single_label_classification",
        quality={"floors": [], "verdicts": [], "n": 0, "judgements": []},
        threads=settings.threads,
        seed=settings.seed,
        documents={LAYOUT.card: b"# The plain graph, to be served\n"},
    )
    bundle = assemble_bundle(root / "same", parts)
    if (bundle.path / LAYOUT.graph).read_bytes() != data:
        message = "the bundle does not hold the graph that the peers read"
        raise RuntimeError(message)
    layers = [(layer.heads, layer.ffn) for layer in state.architecture.layers]
    return Forms(
        name=name,
        onnx=folder,
        same=bundle.path,
        chosen=None,
        teacher=None,
        digest=sha256_bytes(data),
        facts={
            "layers": len(layers),
            "hidden": state.architecture.hidden,
            "heads_and_ffn": layers,
            "max_length": state.max_length,
        },
    )


def _shrink(checkpoint: Checkpoint, seed: int) -> Checkpoint:
    """One layer, eight wide."""
    layer = LayerShape(heads=1, qk_size=8, value_size=8, ffn=8)
    shape = replace(checkpoint.architecture, hidden=8, layers=(layer,))
    return replace(
        checkpoint, model=draw_encoder(shape, np.random.default_rng(seed)), architecture=shape
    )
