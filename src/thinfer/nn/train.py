"""Training a classifier: bucketed batches, BF16 where the CPU has it, resumable, repeatable."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from thinfer.core.clock import Clock
from thinfer.core.progress import Progress
from thinfer.errors import DataError
from thinfer.nn.checkpoint import Checkpoint
from thinfer.nn.device import choose_device, wants_bf16
from thinfer.nn.encoder import EncoderClassifier
from thinfer.nn.loss import Constraint, LossFn, Objective, make_class_loss, measure_score
from thinfer.nn.predict import compute_logits, pad_inputs
from thinfer.nn.schedule import TrainSettings, list_epoch_batches, scale_rate
from thinfer.nn.train_state import TrainState, describe_training, read_state, write_state
from thinfer.text.batch import Batch

__all__ = ["Encoded", "TrainReport", "TrainSettings", "train_classifier"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Encoded:
    """Texts as token ids, with what they should be answered.

    Attributes:
        batch: the sequences.
        targets: int64 `[sequences]`: classes, or sets of labels as bits where a text may have
            several (see `LabelSet`).
    """

    batch: Batch
    targets: NDArray[np.int64]

    def __post_init__(self) -> None:
        if len(self.batch) != len(self.targets) or not len(self.batch):
            what = "texts and targets do not fit together"
            raise DataError(
                what, expected=f"{len(self.batch)} targets, at least 1", got=str(len(self.targets))
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainReport:
    """How a training went.

    Attributes:
        epochs: epochs run, resumed ones included.
        best_epoch: the epoch whose weights were kept, from 1.
        dev_accuracy: after each epoch, 0 … 1; empty without a dev set, or with several labels.
        train_loss: mean of each epoch.
        precision: of the matrix products.
        seconds: time spent, over all resumed runs.
        stopped: `finished`, `patience` or `minutes`.
        dev_micro_f1: in place of accuracy where a text may have several labels.
    """

    epochs: int
    best_epoch: int
    dev_accuracy: tuple[float, ...]
    train_loss: tuple[float, ...]
    precision: str
    seconds: float
    stopped: str
    dev_micro_f1: tuple[float, ...] = ()

    @property
    def dev_scores(self) -> tuple[float, ...]:
        """What chose the epoch."""
        return self.dev_accuracy or self.dev_micro_f1


@dataclass(slots=True, kw_only=True, eq=False)
class _Run:
    """The moving parts of one training."""

    model: EncoderClassifier
    optimizer: torch.optim.Optimizer
    settings: TrainSettings
    pad_id: int
    use_bf16: bool
    loss_fn: LossFn
    is_multi_label: bool
    constraint: Constraint | None = None


def train_classifier(
    checkpoint: Checkpoint,
    train: Encoded,
    *,
    dev: Encoded | None,
    settings: TrainSettings,
    progress: Progress,
    clock: Clock,
    resume_folder: Path | None = None,
    loss_fn: LossFn | Objective | None = None,
) -> tuple[Checkpoint, TrainReport]:
    """Train a copy of a checkpoint and give the epoch that was best on dev.

    Args:
        checkpoint: where to start; it stays as it is.
        train: rows to learn from.
        dev: rows that choose the epoch; absent: the last epoch is taken.
        settings: how.
        progress: told of batches and of each epoch's result.
        clock: for `max_minutes` and the report.
        resume_folder: keeps the state after each epoch; a run that finds one of the same
            training there goes on from it and ends with the same weights as an unbroken run.
        loss_fn: `(model, inputs, rows) -> loss`; absent: cross entropy, or binary cross entropy
            where the checkpoint is a multi-label one. An `Objective` also says what the weights
            are held to after each step. Not part of the resumed state's identity.

    Returns:
        The trained checkpoint in inference mode, and how it went.

    Raises:
        DataError: the targets do not fit the labels, or the loss became NaN.
    """
    _check_targets(train, checkpoint)
    started = clock.monotonic()

    def deadline_passed() -> bool:
        return clock.monotonic() - started > settings.max_minutes * 60

    run = _start_run(checkpoint, train, settings=settings, loss_fn=loss_fn)
    identity = describe_training(
        checkpoint.model,
        train.batch,
        targets=train.targets,
        settings=settings,
        is_multi_label=checkpoint.is_multi_label,
    )
    state = TrainState(identity=identity)
    if resume_folder is not None and (found := read_state(resume_folder, identity)):
        state = found
        run.model.load_state_dict(state.model)
        run.optimizer.load_state_dict(state.optimizer)
        progress.note(f"going on after epoch {state.epoch}")
    before, stopped = state.seconds, state.stopped
    while not stopped:
        loss, is_late = _run_epoch(
            run, train, state.epoch, progress=progress, is_late=deadline_passed
        )
        score = None if dev is None else _measure(run, dev)
        stopped = _close_epoch(run, state, loss=loss, score=score, is_late=is_late)
        state.seconds = before + clock.monotonic() - started
        progress.note(_describe_epoch(state, run))
        # A half epoch is never a place to go on from: a run given more time repeats it whole.
        if resume_folder is not None and not is_late:
            write_state(resume_folder, state)
    return _finish(checkpoint, state, run, settings)


def _check_targets(train: Encoded, checkpoint: Checkpoint) -> None:
    targets, classes = train.targets, len(checkpoint.labels)
    codes = 1 << classes if checkpoint.is_multi_label else classes
    if targets.ndim != 1 or targets.min() < 0 or int(targets.max()) >= codes:
        what = "the training targets do not fit the labels of the model"
        kind = "sets of labels" if checkpoint.is_multi_label else "classes"
        expected = f"{kind} of {classes}, int64 [rows]"
        raise DataError(what, expected=expected, got=f"{targets.shape} up to {targets.max()}")


def _start_run(
    checkpoint: Checkpoint,
    train: Encoded,
    *,
    settings: TrainSettings,
    loss_fn: LossFn | Objective | None,
) -> _Run:
    device = choose_device(settings.device)
    model = copy.deepcopy(checkpoint.model).to(device)
    model.set_dropout(settings.dropout)
    smoothing, several = settings.label_smoothing, checkpoint.is_multi_label
    constraint: Constraint | None = None
    if isinstance(loss_fn, Objective):
        constraint, loss_fn = loss_fn.constraint, loss_fn.loss_fn
    return _Run(
        model=model,
        optimizer=_make_optimizer(model, settings),
        settings=settings,
        pad_id=checkpoint.tokenizer.pad_id,
        use_bf16=wants_bf16(settings.precision, device),
        loss_fn=loss_fn
        or make_class_loss(train.targets, label_smoothing=smoothing, is_multi_label=several),
        is_multi_label=several,
        constraint=constraint,
    )


def _make_optimizer(model: nn.Module, settings: TrainSettings) -> torch.optim.Optimizer:
    decayed: list[Tensor] = []
    free: list[Tensor] = []
    for name, value in model.named_parameters():
        is_free = name.endswith("bias") or "norm." in name
        (free if is_free else decayed).append(value)
    groups = [
        {"params": decayed, "weight_decay": settings.weight_decay},
        {"params": free, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, fused=True)


def _run_epoch(
    run: _Run, train: Encoded, epoch: int, *, progress: Progress, is_late: Callable[[], bool]
) -> tuple[float, bool]:
    """Give the mean loss, and whether time ran out on the way."""
    settings, device = run.settings, run.model.head.weight.device
    batches = list_epoch_batches(train.batch.lengths, settings, epoch)
    total, must_stop = torch.zeros((), device=device), False
    run.model.train()
    label = f"epoch {epoch + 1} of {settings.epochs}"
    devices = [device] if device.type == "cuda" else []
    # Dropout draws from torch's one generator: seeded per epoch, so that a resumed run draws
    # the same, and given back as it was found.
    with torch.random.fork_rng(devices=devices), progress.task(label, len(batches)) as advance:
        torch.manual_seed(settings.seed * 100_003 + epoch)
        steps = settings.epochs * len(batches)
        for step, rows in enumerate(batches):
            rate = scale_rate(epoch * len(batches) + step, steps, settings)
            for group in run.optimizer.param_groups:
                group["lr"] = settings.learning_rate * rate
            total += _step(run, train, rows)
            if run.constraint is not None:
                run.constraint.apply(run.model, (epoch * len(batches) + step + 1) / steps)
            advance(1)
            if is_late():
                must_stop = True
                break
    loss = float(total) / (step + 1)
    if not np.isfinite(loss):
        what = f"the loss became {loss} in epoch {epoch + 1}"
        raise DataError(what, expected="a finite loss", do="lower the learning rate")
    return loss, must_stop


@torch.enable_grad()  # a caller may have switched gradients off
def _step(run: _Run, train: Encoded, rows: NDArray[np.int64]) -> Tensor:
    device = run.model.head.weight.device
    inputs = pad_inputs(train.batch.select(rows), run.pad_id, device)
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=run.use_bf16):
        loss = run.loss_fn(run.model, inputs, rows)
    run.optimizer.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    nn.utils.clip_grad_norm_(run.model.parameters(), run.settings.clip_norm)
    run.optimizer.step()
    return loss.detach()


def _measure(run: _Run, dev: Encoded) -> float:
    logits = compute_logits(run.model, dev.batch, pad_id=run.pad_id, use_bf16=run.use_bf16)
    return measure_score(logits, dev.targets, is_multi_label=run.is_multi_label)


def _close_epoch(
    run: _Run, state: TrainState, *, loss: float, score: float | None, is_late: bool
) -> str:
    """Enter an epoch's result into the state; give why to stop, or nothing."""
    state.epoch += 1
    state.losses.append(loss)
    state.model = _copy_weights(run.model)
    state.optimizer = run.optimizer.state_dict()
    if score is not None:
        state.scores.append(score)
    best = max(state.scores[:-1], default=-1.0)
    # A model of several labels names none at first: until it does, every epoch is progress.
    if score is None or score > best or best == 0.0:
        state.best_epoch, state.best = state.epoch, state.model
    if is_late:
        state.stopped = "minutes"
    elif state.epoch >= run.settings.epochs:
        state.stopped = "finished"
    elif state.epoch - state.best_epoch >= run.settings.patience:
        state.stopped = "patience"
    return state.stopped


def _copy_weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}


def _describe_epoch(state: TrainState, run: _Run) -> str:
    shown = f"epoch {state.epoch} of {run.settings.epochs}: loss {state.losses[-1]:.4f}"
    if state.scores:
        name = "micro F1" if run.is_multi_label else "accuracy"
        shown += f", dev {name} {state.scores[-1]:.2%}"
    return shown + f", {state.seconds:.0f} s"


def _finish(
    checkpoint: Checkpoint, state: TrainState, run: _Run, settings: TrainSettings
) -> tuple[Checkpoint, TrainReport]:
    weights = {name: value.numpy() for name, value in state.best.items()}
    report = TrainReport(
        epochs=state.epoch,
        best_epoch=state.best_epoch,
        dev_accuracy=() if run.is_multi_label else tuple(state.scores),
        dev_micro_f1=tuple(state.scores) if run.is_multi_label else (),
        train_loss=tuple(state.losses),
        precision="bf16" if run.use_bf16 else "fp32",
        seconds=state.seconds,
        stopped=state.stopped,
    )
    model = EncoderClassifier.from_weights(checkpoint.architecture, weights)
    return replace(checkpoint, model=model), report
