"""Retraining of a pruned state against its teacher: outer answers and inner states."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from thinfer.compress.objective import DistillSettings, make_objective
from thinfer.compress.relations import choose_pair
from thinfer.compress.state import State
from thinfer.compress.step import StepReport
from thinfer.core.clock import Clock
from thinfer.core.progress import Progress
from thinfer.errors import DataError
from thinfer.nn.checkpoint import Checkpoint
from thinfer.nn.encoder import EncoderClassifier
from thinfer.nn.predict import compute_logits
from thinfer.nn.train import Encoded, train_classifier
from thinfer.text.batch import Batch

__all__ = ["DistillSettings", "distill"]


def distill(
    state: State,
    teacher: State,
    train: Encoded,
    *,
    dev: Encoded,
    unlabelled: Batch | None = None,
    settings: DistillSettings,
    progress: Progress,
    clock: Clock,
) -> tuple[State, StepReport]:
    """Retrain a state towards its teacher, and keep it only if `dev` agrees.

    Args:
        state: the student; its token ids are the teacher's.
        teacher: the state before pruning, with the same vocabulary.
        train: texts with labels.
        dev: texts with labels that choose the epoch.
        unlabelled: more texts; the teacher's answers stand in for their labels.
        settings: how.
        progress: told of batches and epochs.
        clock: for the time limit.

    Returns:
        The retrained state and its report; refused, with the state unchanged, when the best epoch
        answers fewer of `dev` right than the state did before; degraded when relations were
        asked for and no layer has any.

    Raises:
        DataError: student and teacher have another vocabulary, or other labels.
    """
    theirs, ours = (
        f"{each.architecture.vocab} token rows, labels {each.labels}" for each in (teacher, state)
    )
    if ours != theirs:
        what = "the student does not fit its teacher"
        raise DataError(what, expected=theirs, got=ours, do="prune the vocabulary after it")
    master = teacher.module().requires_grad_(False)
    labelled = len(train.batch)
    train, taught = _answer(master, train, unlabelled, pad_id=teacher.pad_id)
    pair = choose_pair(state.architecture, teacher.architecture, settings.relation_layers)
    loss_fn = make_objective(master, train.targets, taught, settings=settings, pair=pair)
    before = _count_right(state.module(), dev, state.pad_id)
    trained, told = train_classifier(
        _as_checkpoint(state),
        train,
        dev=dev,
        settings=settings.train,
        progress=progress,
        clock=clock,
        loss_fn=loss_fn,
    )
    after = _count_right(trained.model, dev, state.pad_id)
    details = {
        "rows": len(train.batch),
        "unlabelled_rows": len(train.batch) - labelled,
        "epochs": told.epochs,
        "best_epoch": told.best_epoch,
        "stopped": told.stopped,
        "dev_right_before": before,
        "dev_right_after": after,
        "dev_rows": len(dev.batch),
        "relation_layers": pair if settings.relation_weight else None,
    }
    if after < before:
        reason = f"retraining answered {after} of {len(dev.batch)} dev texts right, before {before}"
        return state, StepReport(step="distill", outcome="refused", reason=reason, details=details)
    report = StepReport(step="distill", outcome="applied", details=details)
    if settings.relation_weight and pair is None:
        reason = "attention relations were left out: no layer of both models has attention"
        report = replace(report, outcome="degraded", reason=reason)
    return state.replace(report, weights=trained.model.weights()), report


def _answer(
    teacher: EncoderClassifier, train: Encoded, unlabelled: Batch | None, *, pad_id: int
) -> tuple[Encoded, NDArray[np.float32]]:
    """Give all rows to learn from, labelled by the teacher where need be, and its logits."""
    if unlabelled is None or not len(unlabelled):
        return train, compute_logits(teacher, train.batch, pad_id=pad_id)
    batch = Batch.concatenate([train.batch, unlabelled])
    taught = compute_logits(teacher, batch, pad_id=pad_id)
    more = taught[len(train.batch) :]
    if train.targets.ndim == 1:
        answers: NDArray[np.int64] = more.argmax(axis=1)
        return Encoded(batch=batch, targets=np.concatenate([train.targets, answers])), taught
    several = (more > 0).astype(np.float32)
    return Encoded(batch=batch, targets=np.concatenate([train.targets, several])), taught


def _as_checkpoint(state: State) -> Checkpoint:
    return Checkpoint(
        model=state.module(),
        tokenizer=state.tokenizer,
        labels=state.labels,
        architecture=state.architecture,
        family="bert",  # names of a file that is not written here
        max_length=state.max_length,
        config={},
    )


def _count_right(model: EncoderClassifier, rows: Encoded, pad_id: int) -> int:
    logits = compute_logits(model, rows.batch, pad_id=pad_id)
    if rows.targets.ndim == 1:
        return int(np.sum(logits.argmax(axis=1) == rows.targets))
    return int(np.sum(np.all((logits > 0) == (rows.targets > 0.5), axis=1)))
