"""`evaluate`: quality of a checkpoint or a bundle on labelled text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thinfer.bundle import LAYOUT
from thinfer.classifier import Classifier
from thinfer.core.codec import to_json
from thinfer.core.progress import Progress
from thinfer.errors import UserError
from thinfer.nn.checkpoint import load_checkpoint
from thinfer.nn.predict import compute_logits
from thinfer.pipeline.data import LabelledSet, label_corpus
from thinfer.pipeline.finish import label_set_of
from thinfer.quality.metrics import measure_quality
from thinfer.quality.operating import Decider, parse_operating_point
from thinfer.text.corpus import Corpus
from thinfer.text.tokenizer import Encoding

__all__ = ["evaluate", "is_bundle"]

_BATCH = 32


def is_bundle(path: str | Path) -> bool:
    """Say whether a path is a bundle rather than a checkpoint."""
    return (Path(path) / LAYOUT.manifest).is_file() or (Path(path) / LAYOUT.seal).is_file()


def evaluate(
    model: str | Path,
    corpus: Corpus,
    *,
    engine: str | None,
    normal_label: str | None,
    threads: int | None,
    progress: Progress,
    thresholds: Sequence[str] = (),
    priority: str | None = None,
) -> dict[str, Any]:
    """Answer a labelled corpus and measure the answers.

    Args:
        model: a bundle, a checkpoint directory or a hub name.
        corpus: with labels.
        engine: an engine of the bundle; the chosen one when absent. A checkpoint runs in torch.
        normal_label: the label that is no finding; a bundle's own when absent.
        threads: threads of one call.
        progress: told of the batches.
        thresholds: `LABEL=SCORE` each, in place of a bundle's own; those stay where none is given,
            as its priority does.
        priority: labels with a threshold, separated by commas, the first that is reached wins.

    Returns:
        `n`, `metrics`, `engine`, `precision`, `unknown_token_rate`, `truncated`.

    Raises:
        UserError: an engine other than torch was asked for a checkpoint.
    """
    if is_bundle(model):
        with Classifier.open(str(model), engine=engine, threads=threads) as classifier:
            manifest = classifier.bundle.manifest
            labels = replace(manifest.label_set, normal=normal_label or manifest.normal_label)
            point = manifest.operating
            if thresholds or priority:
                declared = parse_operating_point(thresholds, priority, labels)
                point = replace(
                    point,
                    thresholds=declared.thresholds or point.thresholds,
                    priority=declared.priority or point.priority,
                )
            decider = Decider(labels, point)
            part = label_corpus(corpus, labels)
            encoding = part.encode(classifier.tokenizer)
            logits = _run_in_batches(classifier, encoding, progress)
            info = classifier.engine.info
            return _describe(part, decider, logits, encoding, (info.name, info.precision))
    if engine not in (None, "torch"):
        what = f"a checkpoint has nothing for the engine '{engine}'"
        raise UserError(what, expected="torch", do="make a bundle with `thinfer pack` first")
    checkpoint = load_checkpoint(model)
    labels = label_set_of(checkpoint, normal=normal_label)
    decider = Decider(labels, parse_operating_point(thresholds, priority, labels))
    part = label_corpus(corpus, labels)
    encoding = part.encode(checkpoint.tokenizer)
    pad_id = checkpoint.tokenizer.pad_id
    with progress.task("evaluate", 1) as advance:
        logits = compute_logits(checkpoint.model, encoding.batch, pad_id=pad_id)
        advance(1)
    return _describe(part, decider, logits, encoding, ("torch", "fp32"))


def _run_in_batches(
    classifier: Classifier, encoding: Encoding, progress: Progress
) -> NDArray[np.float32]:
    rows = np.arange(len(encoding.batch))
    parts = []
    with progress.task("evaluate", len(rows)) as advance:
        for start in range(0, len(rows), _BATCH):
            chosen = rows[start : start + _BATCH]
            parts.append(classifier.run_batch(encoding.batch.select(chosen)))
            advance(len(chosen))
    return np.concatenate(parts)


def _describe(
    part: LabelledSet,
    decider: Decider,
    logits: NDArray[np.float32],
    encoding: Encoding,
    engine: tuple[str, str],
) -> dict[str, Any]:
    return {
        "n": len(part),
        "metrics": to_json(measure_quality(part.truth, decider.answer(logits), decider.labels)),
        "engine": engine[0],
        "precision": engine[1],
        "unknown_token_rate": float(encoding.unknown.sum() / max(1, len(encoding.batch.ids))),
        "truncated": int(encoding.truncated.sum()),
    }
