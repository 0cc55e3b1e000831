"""Short retraining of a pruned state against its teacher: logits, labels and hidden states."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from thinfer.compress.state import State
from thinfer.compress.step import StepReport
from thinfer.compress.zeros import hold_zeros
from thinfer.core.clock import Clock
from thinfer.core.progress import Progress
from thinfer.errors import DataError, UserError
from thinfer.nn.checkpoint import Checkpoint
from thinfer.nn.encoder import EncoderClassifier, Layer
from thinfer.nn.loss import Constraint, LossFn, Objective, Targets, make_teacher_loss
from thinfer.nn.predict import Inputs, compute_logits
from thinfer.nn.train import Encoded, TrainSettings, train_classifier
from thinfer.text.batch import Batch

__all__ = ["DistillSettings", "distill"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DistillSettings:
    """How to retrain.

    Attributes:
        train: epochs, rate, precision, time limit of the training itself.
        temperature: softens both models' logits, > 0.
        alpha: share of the teacher's logits in the class loss, 0 … 1; the rest is the labels'.
        hidden_weight: weight of the hidden states' relative squared error, ≥ 0; 0 leaves it out
            and saves running the teacher beside the student.
        constraint: what the weights are held to; absent, the zeros of a sparse student stay.
    """

    train: TrainSettings = dataclasses.field(
        default_factory=lambda: TrainSettings(epochs=1, learning_rate=1e-4, dropout=0.0)
    )
    temperature: float = 2.0
    alpha: float = 0.9
    hidden_weight: float = 1.0
    constraint: Constraint | None = None

    def __post_init__(self) -> None:
        if not self.temperature > 0 or not 0 <= self.alpha <= 1 or self.hidden_weight < 0:
            what = "the settings of distillation are impossible"
            expected = "temperature > 0, alpha 0 … 1, hidden_weight ≥ 0"
            raise UserError(what, expected=expected, got=str(self))


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
        The retrained state and its report; refused, with the state unchanged, when no epoch
        answers more of `dev` right than the state did before (a gradual constraint, which takes
        the last epoch, is never refused).

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
    train, taught = _answer(master, train, unlabelled, pad_id=teacher.pad_id)
    loss_fn = _make_loss(master, train.targets, taught, settings)
    constraint = settings.constraint or hold_zeros(state)
    is_gradual = constraint is not None and constraint.is_gradual
    before = _count_right(state.module(), dev, state.pad_id)
    trained, told = train_classifier(
        _as_checkpoint(state),
        train,
        dev=None if is_gradual else dev,
        settings=settings.train,
        progress=progress,
        clock=clock,
        loss_fn=Objective(loss_fn=loss_fn, constraint=constraint) if constraint else loss_fn,
    )
    after = _count_right(trained.model, dev, state.pad_id)
    details = {
        "rows": len(train.batch),
        "unlabelled_rows": 0 if unlabelled is None else len(unlabelled),
        "epochs": told.epochs,
        "best_epoch": told.best_epoch,
        "stopped": told.stopped,
        "dev_right_before": before,
        "dev_right_after": after,
        "dev_rows": len(dev.batch),
    }
    if after < before and not is_gradual:
        reason = f"retraining answered {after} of {len(dev.batch)} dev texts right, before {before}"
        return state, StepReport(step="distill", outcome="refused", reason=reason, details=details)
    report = StepReport(step="distill", outcome="applied", details=details)
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


def _make_loss(
    teacher: EncoderClassifier,
    targets: Targets,
    taught: NDArray[np.float32],
    settings: DistillSettings,
) -> LossFn:
    class_loss = make_teacher_loss(
        targets, taught, temperature=settings.temperature, alpha=settings.alpha
    )
    if not settings.hidden_weight:
        return class_loss

    def compute_loss(
        model: EncoderClassifier, inputs: Inputs, rows: NDArray[np.int64]
    ) -> torch.Tensor:
        teacher.to(inputs[0].device)
        with torch.no_grad(), _recorded(teacher) as wanted:
            teacher(*inputs)
        with _recorded(model) as given:
            loss = class_loss(model, inputs, rows)
        distance = _compare_hidden(given, wanted, inputs[1].bool())
        return loss + settings.hidden_weight * distance

    return compute_loss


@contextmanager
def _recorded(model: EncoderClassifier) -> Iterator[list[torch.Tensor]]:
    """Give a list that a forward pass inside the block fills with each layer's output."""
    states: list[torch.Tensor] = []

    def keep(module: nn.Module, arguments: object, output: torch.Tensor) -> None:
        del module, arguments
        states.append(output)

    layers = [layer for layer in model.layers if isinstance(layer, Layer)]
    hooks = [layer.ffn.register_forward_hook(keep) for layer in layers]
    try:
        yield states
    finally:
        for hook in hooks:
            hook.remove()


def _compare_hidden(
    given: list[torch.Tensor], wanted: list[torch.Tensor], real: torch.Tensor
) -> torch.Tensor:
    """Squared error relative to the teacher's size, real tokens only, mean over layers."""
    # Layer i of a model with fewer layers has no counterpart: then only the end is compared.
    first = 0 if len(given) == len(wanted) else -1
    errors = [
        (mine[real] - goal[real]).float().square().mean() / goal[real].float().square().mean()
        for mine, goal in zip(given[first:], wanted[first:], strict=True)
    ]
    return torch.stack(errors).mean()


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
