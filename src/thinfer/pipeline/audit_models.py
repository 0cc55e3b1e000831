"""The two models of an audit: a bundle in its engine, or a checkpoint in torch; text to classes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from thinfer.classifier import Classifier
from thinfer.core.codec import to_json
from thinfer.core.digest import digest_parts, sha256_bytes
from thinfer.errors import EngineError, UserError
from thinfer.nn.checkpoint import Checkpoint, load_checkpoint
from thinfer.nn.predict import compute_logits
from thinfer.pipeline.evaluate import is_bundle
from thinfer.pipeline.operate import read_declared_point
from thinfer.quality.labels import LabelSet
from thinfer.quality.operating import Decider, OperatingPoint

__all__ = ["AuditModel", "open_model"]

Answers = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AuditModel:
    """A model that answers texts.

    Attributes:
        labels: its classes, in the order of its answers.
        normal_label: the one that is no finding, where the model says so.
        digest: SHA-256 of what decides its answers.
        quality: what the manifest of a bundle says was measured; empty for a checkpoint.
        answer: from texts and perhaps their pairs to int64 `[texts]`.
    """

    labels: tuple[str, ...]
    normal_label: str | None
    digest: str
    quality: dict[str, object]
    answer: Callable[[Sequence[str], Sequence[str] | None], Answers]


@contextmanager
def open_model(
    model: str | Path,
    *,
    engine: str | None = None,
    threads: int | None = None,
    beside: str | Path | None = None,
) -> Iterator[AuditModel]:
    """Open a bundle or a checkpoint for the block.

    Args:
        model: a bundle, a checkpoint directory or a hub name.
        engine: an engine of the bundle; its chosen one when absent. A checkpoint runs in torch.
        threads: of one call of a bundle's engine.
        beside: the bundle that a checkpoint became: its report knows the thresholds at which the
            checkpoint was judged.

    Raises:
        UserError: it gives several labels a text.
    """
    if not is_bundle(model):
        point = OperatingPoint() if beside is None else read_declared_point(beside)
        yield _of_checkpoint(load_checkpoint(model), str(model), point)
        return
    with Classifier.open(str(model), engine=engine, threads=threads) as classifier:
        manifest = classifier.bundle.manifest
        _check_single(manifest.problem_type, str(model))
        yield AuditModel(
            labels=classifier.labels,
            normal_label=manifest.normal_label,
            digest=manifest.content_digest,
            quality=dict(manifest.quality),
            answer=lambda texts, pairs: _answer_by_engine(classifier, texts, pairs),
        )


def _of_checkpoint(checkpoint: Checkpoint, name: str, point: OperatingPoint) -> AuditModel:
    _check_single(checkpoint.problem_type, name)
    decider = Decider(LabelSet(checkpoint.labels), point)

    def answer(texts: Sequence[str], pairs: Sequence[str] | None) -> Answers:
        encoded = checkpoint.tokenizer.encode(texts, pairs)
        pad_id = checkpoint.tokenizer.pad_id
        logits = compute_logits(checkpoint.model, encoded.batch, pad_id=pad_id)
        return _to_answers(logits, decider)

    return AuditModel(
        labels=checkpoint.labels,
        normal_label=None,
        digest=_digest_of(checkpoint, point),
        quality={},
        answer=answer,
    )


def _answer_by_engine(
    classifier: Classifier, texts: Sequence[str], pairs: Sequence[str] | None
) -> Answers:
    encoded = classifier.tokenizer.encode(texts, pairs, long_text=classifier.long_text)
    logits = classifier.pool(classifier.run_batch(encoded.batch), encoded)
    return _to_answers(logits, classifier.decider)


def _to_answers(logits: NDArray[np.float32], decider: Decider) -> Answers:
    if not np.isfinite(logits).all():
        what = "a model gave no finite logits"
        raise EngineError(what, got=f"row {int(np.argmin(np.isfinite(logits).all(axis=1)))}")
    return decider.answer(logits)


def _check_single(problem_type: str, name: str) -> None:
    if problem_type.startswith("multi_label"):
        what = f"'{name}' cannot be audited"
        raise UserError(what, expected="one label for each text", got="several")


def _digest_of(checkpoint: Checkpoint, point: OperatingPoint) -> str:
    """Digest weights, tokenizer, labels and thresholds, whatever files they came from."""
    parts = {
        f"weights/{name}": sha256_bytes(
            np.ascontiguousarray(value.detach().cpu().numpy()).tobytes()
        )
        for name, value in checkpoint.model.state_dict().items()
    }
    facts = json.dumps([list(checkpoint.labels), checkpoint.max_length, to_json(point)])
    parts["tokenizer"] = sha256_bytes(checkpoint.tokenizer.to_json().encode())
    return digest_parts({**parts, "facts": sha256_bytes(facts.encode())})
