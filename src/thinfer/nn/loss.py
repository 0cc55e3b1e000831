"""What a training makes small: class loss, a teacher's logits; and what it is examined by."""

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
from thinfer.quality.answers import encode_answers, measure_micro_f1

__all__ = [
    "Constraint",
    "LossFn",
    "Objective",
    "Targets",
    "log_scores",
    "make_class_loss",
    "make_teacher_loss",
    "measure_accuracy",
    "measure_score",
    "split_members",
]

Targets = NDArray[np.int64]
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


def log_scores(logits: Tensor, *, is_multi_label: bool) -> Tensor:
    """Give log probabilities whose KL divergence over the second axis is that of the answers.

    Args:
        logits: float `[rows, classes]`.
        is_multi_label: a sigmoid for each label, which are told apart from each other.

    Returns:
        `[rows, classes]`, the log softmax; with several labels `[rows, 2 · classes]`: log σ(z),
        then log σ(−z), so that `Σ p · (log p − log q)` is the sum of the labels' Bernoulli
        divergences.
    """
    if not is_multi_label:
        return logits.log_softmax(1)
    return functional.logsigmoid(torch.cat([logits, -logits], dim=1))


def make_class_loss(
    targets: Targets, *, label_smoothing: float = 0.0, is_multi_label: bool = False
) -> LossFn:
    """Give the loss against the labels of the training rows.

    Args:
        targets: int64 `[rows]`: classes, or sets of labels as bits (see `LabelSet`).
        label_smoothing: share of the target spread over all labels, 0 … 1.
        is_multi_label: targets are sets: binary cross entropy, mean over the labels.
    """
    wanted = torch.from_numpy(targets)

    def compute_loss(model: EncoderClassifier, inputs: Inputs, rows: NDArray[np.int64]) -> Tensor:
        logits = model(*inputs).float()
        goal = wanted[rows].to(logits.device)
        return _class_loss(logits, goal, label_smoothing, is_multi_label)

    return compute_loss


def make_teacher_loss(
    targets: Targets,
    teacher_logits: NDArray[np.float32],
    *,
    temperature: float = 2.0,
    alpha: float = 0.5,
    is_multi_label: bool = False,
) -> LossFn:
    """Give the loss against labels and a teacher's logits.

    Args:
        targets: as of `make_class_loss`.
        teacher_logits: float32 `[rows, classes]`.
        temperature: softens both sides' logits, > 0.
        alpha: share of the teacher's part, 0 … 1.
        is_multi_label: targets are sets of labels.

    Raises:
        DataError: teacher and targets have another number of rows.

    Note:
        `alpha · T² · KL(teacher ‖ student) + (1 − alpha) · class loss`, logits divided by the
        temperature T (Hinton et al. 2015, section 2); with several labels a text, the mean over
        labels of the divergence of each sigmoid takes the place of KL, as in the class loss.
    """
    if len(targets) != len(teacher_logits):
        what = "the teacher's logits do not fit the training rows"
        raise DataError(what, expected=f"{len(targets)} rows", got=f"{len(teacher_logits)} rows")
    wanted, taught = torch.from_numpy(targets), torch.from_numpy(teacher_logits)
    parts = taught.shape[1] if is_multi_label else 1

    def compute_loss(model: EncoderClassifier, inputs: Inputs, rows: NDArray[np.int64]) -> Tensor:
        logits = model(*inputs).float()
        soft = log_scores(
            taught[rows].to(logits.device) / temperature, is_multi_label=is_multi_label
        )
        own = log_scores(logits / temperature, is_multi_label=is_multi_label)
        distance = functional.kl_div(own, soft, reduction="batchmean", log_target=True) / parts
        goal = wanted[rows].to(logits.device)
        against_labels = _class_loss(logits, goal, 0.0, is_multi_label)
        return alpha * temperature**2 * distance + (1 - alpha) * against_labels

    return compute_loss


def measure_accuracy(
    logits: NDArray[np.float32], targets: Targets, *, is_multi_label: bool = False
) -> float:
    """Give the share of rows answered right, 0 … 1.

    Args:
        logits: float32 `[rows, classes]`.
        targets: as of `make_class_loss`; with several labels a text, all must be right.
        is_multi_label: targets are sets of labels.
    """
    return float(np.mean(encode_answers(logits, is_multi_label=is_multi_label) == targets))


def measure_score(
    logits: NDArray[np.float32], targets: Targets, *, is_multi_label: bool = False
) -> float:
    """Give what an epoch is chosen by, 0 … 1: accuracy, or with several labels a text micro F1.

    Args:
        logits: float32 `[rows, classes]`.
        targets: as of `make_class_loss`.
        is_multi_label: targets are sets of labels.
    """
    answers = encode_answers(logits, is_multi_label=is_multi_label)
    if is_multi_label:
        return measure_micro_f1(answers, targets)
    return float(np.mean(answers == targets))


def _class_loss(
    logits: Tensor, wanted: Tensor, label_smoothing: float, is_multi_label: bool
) -> Tensor:
    if not is_multi_label:
        return functional.cross_entropy(logits, wanted, label_smoothing=label_smoothing)
    members = split_members(wanted, logits.shape[1])
    smoothed = members * (1 - label_smoothing) + label_smoothing / 2
    return functional.binary_cross_entropy_with_logits(logits, smoothed)


def split_members(codes: Tensor, classes: int) -> Tensor:
    """Give which labels sets hold, as targets of a binary cross entropy.

    Args:
        codes: int64 `[rows]`, sets of labels as bits.
        classes: number of labels.

    Returns:
        float32 `[rows, classes]` of 0 and 1.
    """
    places = torch.arange(classes, device=codes.device)
    return ((codes[:, None] >> places) & 1).float()
