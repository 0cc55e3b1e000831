"""What a training makes small: class loss, a teacher's logits; and dev accuracy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from thinfer.errors import DataError
from thinfer.nn.encoder import EncoderClassifier
from thinfer.nn.predict import Inputs

__all__ = [
    "Constraint",
    "LossFn",
    "Objective",
    "Targets",
    "make_class_loss",
    "make_teacher_loss",
    "measure_accuracy",
]

Targets = NDArray[np.int64] | NDArray[np.float32]
LossFn = Callable[[EncoderClassifier, Inputs, NDArray[np.int64]], Tensor]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Constraint:
    """What the weights are held to in a training.

    Attributes:
        apply: called with the model and the share of all steps done, above 0 … 1, after each step
            of the optimiser; changes the weights in place.
        is_gradual: only the last epoch's weights meet it, so `dev` does not choose an epoch.
    """

    apply: Callable[[EncoderClassifier, float], None]
    is_gradual: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Objective:
    """A loss together with what the weights are held to."""

    loss_fn: LossFn
    constraint: Constraint


def make_class_loss(targets: Targets, *, label_smoothing: float = 0.0) -> LossFn:
    """Give the loss against the labels of the training rows.

    Args:
        targets: int64 `[rows]`, or float32 `[rows, classes]` for several labels a text.
        label_smoothing: share of the target spread over all labels, 0 … 1.
    """
    wanted = torch.from_numpy(targets)

    def compute_loss(model: EncoderClassifier, inputs: Inputs, rows: NDArray[np.int64]) -> Tensor:
        logits = model(*inputs).float()
        return _class_loss(logits, wanted[rows].to(logits.device), label_smoothing)

    return compute_loss


def make_teacher_loss(
    targets: Targets,
    teacher_logits: NDArray[np.float32],
    *,
    temperature: float = 2.0,
    alpha: float = 0.5,
) -> LossFn:
    """Give the loss against labels and a teacher's logits.

    Args:
        targets: as of `make_class_loss`.
        teacher_logits: float32 `[rows, classes]`.
        temperature: softens both sides' logits, > 0.
        alpha: share of the teacher's part, 0 … 1.

    Raises:
        DataError: teacher and targets have another number of rows.

    Note:
        `alpha · T² · KL(teacher ‖ student) + (1 − alpha) · class loss`, logits divided by the
        temperature T (Hinton et al. 2015, section 2); with several labels a text, the binary
        cross entropy against the teacher's sigmoid takes the place of KL.
    """
    if len(targets) != len(teacher_logits):
        what = "the teacher's logits do not fit the training rows"
        raise DataError(what, expected=f"{len(targets)} rows", got=f"{len(teacher_logits)} rows")
    wanted, taught = torch.from_numpy(targets), torch.from_numpy(teacher_logits)

    def compute_loss(model: EncoderClassifier, inputs: Inputs, rows: NDArray[np.int64]) -> Tensor:
        logits = model(*inputs).float()
        soft = taught[rows].to(logits.device) / temperature
        own = logits / temperature
        if wanted.ndim == 1:
            distance = functional.kl_div(
                own.log_softmax(-1), soft.log_softmax(-1), reduction="batchmean", log_target=True
            )
        else:
            distance = functional.binary_cross_entropy_with_logits(own, soft.sigmoid())
        against_labels = _class_loss(logits, wanted[rows].to(logits.device), 0.0)
        return alpha * temperature**2 * distance + (1 - alpha) * against_labels

    return compute_loss


def measure_accuracy(logits: NDArray[np.float32], targets: Targets) -> float:
    """Give the share of rows answered right, 0 … 1.

    Args:
        logits: float32 `[rows, classes]`.
        targets: as of `make_class_loss`; with several labels a text, all must be right.
    """
    if targets.ndim == 1:
        return float(np.mean(logits.argmax(axis=1) == targets))
    return float(np.mean(np.all((logits > 0) == (targets > 0.5), axis=1)))


def _class_loss(logits: Tensor, wanted: Tensor, label_smoothing: float) -> Tensor:
    if wanted.ndim == 1:
        return functional.cross_entropy(logits, wanted, label_smoothing=label_smoothing)
    smoothed = wanted * (1 - label_smoothing) + label_smoothing / 2
    return functional.binary_cross_entropy_with_logits(logits, smoothed)
