"""Short distillation of a model that rounds as its engine will: the weights learn to live with it.

Simulated quantisation in training, rounding passed straight through (Jacob et al. 2018,
"Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference",
section 3), towards a teacher's logits (Hinton et al. 2015).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thinfer.compress.lesson import as_checkpoint, count_right
from thinfer.compress.state import State
from thinfer.compress.step import StepReport
from thinfer.core.clock import Clock
from thinfer.core.progress import Progress
from thinfer.errors import DataError
from thinfer.nn.encoder import EncoderClassifier
from thinfer.nn.loss import make_teacher_loss
from thinfer.nn.train import Encoded, TrainReport, TrainSettings, train_classifier

__all__ = ["STEP", "QuantAwareSettings", "Rounding", "distill_rounded"]

STEP = "quantaware"

Rounding = Callable[[State], EncoderClassifier]


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantAwareSettings:
    """How to train a rounded model.

    Attributes:
        train: epochs, rate, precision, time limit; the steps are small, for what is learned is
            where to round to.
        temperature: softens both models' logits, > 0.
        alpha: share of the teacher's logits in the loss, 0 … 1; the rest is the labels'.
    """

    train: TrainSettings = dataclasses.field(
        default_factory=lambda: TrainSettings(epochs=1, learning_rate=3e-5, dropout=0.0)
    )
    temperature: float = 2.0
    alpha: float = 0.9


def distill_rounded(
    state: State,
    rounding: Rounding,
    train: Encoded,
    *,
    taught: NDArray[np.float32],
    dev: Encoded,
    settings: QuantAwareSettings,
    progress: Progress,
    clock: Clock,
) -> tuple[State, StepReport]:
    """Train a state as its rounded self, and keep it only if `dev` agrees.

    Args:
        state: the student.
        rounding: gives the module of a state that rounds as the engine will; called before and
            after, for other weights have other ranges.
        train: texts with labels.
        taught: the teacher's logits of these texts, float32 `[sequences, classes]`.
        dev: texts with labels that choose the epoch.
        settings: how.
        progress: told of batches and epochs.
        clock: for the time limit.

    Returns:
        The state with the report in its history. Refused, with the weights unchanged: the rounded
        state answers fewer of `dev` right than before, or it could not be trained. Degraded:
        time ran out on the way.
    """
    rounded = rounding(state)
    before = count_right(state, dev, model=rounded)
    try:
        trained, told = train_classifier(
            as_checkpoint(state, rounded),
            train,
            dev=dev,
            settings=settings.train,
            progress=progress,
            clock=clock,
            loss_fn=make_teacher_loss(
                train.targets,
                taught,
                temperature=settings.temperature,
                alpha=settings.alpha,
                is_multi_label=state.is_multi_label,
            ),
        )
    except DataError as error:
        return _refuse(state, str(error), {"dev_right_before": before})
    weights = trained.model.weights()
    after_model = rounding(dataclasses.replace(state, weights=weights))
    after = count_right(state, dev, model=after_model)
    details = _describe(train, told) | {
        "dev_right_before": before,
        "dev_right_after": after,
        "dev_rows": len(dev.batch),
    }
    if after < before:
        reason = (
            f"rounded, it answered {after} of {len(dev.batch)} dev texts right, before {before}"
        )
        return _refuse(state, reason, details)
    report = StepReport(step=STEP, outcome="applied", details=details)
    if told.stopped == "minutes":
        reason = f"time ran out in epoch {told.epochs} of {settings.train.epochs}"
        report = dataclasses.replace(report, outcome="degraded", reason=reason)
    return state.replace(report, weights=weights), report


def _refuse(state: State, reason: str, details: dict[str, object]) -> tuple[State, StepReport]:
    report = StepReport(step=STEP, outcome="refused", reason=reason, details=details)
    return state.replace(report), report


def _describe(train: Encoded, told: TrainReport) -> dict[str, object]:
    return {
        "rows": len(train.batch),
        "epochs": told.epochs,
        "best_epoch": told.best_epoch,
        "stopped": told.stopped,
    }
