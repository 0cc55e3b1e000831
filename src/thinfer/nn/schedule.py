"""How a training is set up: settings, the order of batches, the learning rate of each step."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from thinfer.errors import UserError

__all__ = ["TrainSettings", "list_epoch_batches", "scale_rate"]

_POOL_BATCHES = 50  # batches drawn together, so that their texts can be sorted by length


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainSettings:
    """How to train.

    Attributes:
        epochs: most passes over the training rows.
        batch_size: rows of a step.
        learning_rate: its peak.
        warmup: share of all steps in which the rate rises; after that it falls to 0.
        weight_decay: AdamW's, not on biases and layer norms.
        dropout: share of values dropped in training.
        label_smoothing: share of the target spread over all labels.
        clip_norm: longest gradient of a step.
        patience: epochs without a better dev accuracy after which training stops.
        max_minutes: time after which this run stops, within an epoch if need be.
        precision: `auto` takes BF16 where the machine multiplies it in hardware.
        device: `auto` takes a CUDA device where there is one.
        seed: of the order and the dropout.
    """

    epochs: int = 5
    batch_size: int = 32
    learning_rate: float = 5e-5
    warmup: float = 0.1
    weight_decay: float = 0.01
    dropout: float = 0.1
    label_smoothing: float = 0.0
    clip_norm: float = 1.0
    patience: int = 3
    max_minutes: float = math.inf
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        problems = (
            (min(self.epochs, self.batch_size, self.patience) < 1, "epochs, batch size, patience"),
            (self.learning_rate <= 0 or self.clip_norm <= 0, "learning rate, clipping norm"),
            (not 0 <= self.warmup < 1, "warm-up share"),
            (not 0 <= self.dropout < 1, "dropout"),
            (not 0 <= self.label_smoothing < 1, "label smoothing"),
            (self.max_minutes <= 0 or self.seed < 0 or self.weight_decay < 0, "minutes, seed"),
        )
        for is_bad, name in problems:
            if is_bad:
                what = f"a training setting is out of range: {name}"
                raise UserError(what, expected="positive numbers and shares below 1", got=str(self))


def list_epoch_batches(
    lengths: NDArray[np.int64], settings: TrainSettings, epoch: int
) -> list[NDArray[np.int64]]:
    """Give the row numbers of each step of an epoch; texts of a step have similar lengths.

    Args:
        lengths: tokens of each row, int64 `[rows]`.
        settings: batch size and seed.
        epoch: from 0; each epoch has its own order.

    Returns:
        int64 row numbers; every row comes once.
    """
    rng = np.random.default_rng([settings.seed, epoch])
    order = rng.permutation(len(lengths)).astype(np.int64)
    size, pool = settings.batch_size, settings.batch_size * _POOL_BATCHES
    batches: list[NDArray[np.int64]] = []
    for start in range(0, len(order), pool):
        drawn = order[start : start + pool]
        drawn = drawn[np.argsort(lengths[drawn], kind="stable")]
        batches += [drawn[first : first + size] for first in range(0, len(drawn), size)]
    return [batches[index] for index in rng.permutation(len(batches))]


def scale_rate(step: int, steps: int, settings: TrainSettings) -> float:
    """Give the share of the peak learning rate at a step: up in a line, then down to 0.

    Args:
        step: from 0.
        steps: all steps of all epochs.
        settings: the warm-up share.

    Returns:
        A share above 0, at most 1.
    """
    rising = max(1, math.ceil(steps * settings.warmup))
    if step < rising:
        return (step + 1) / (rising + 1)
    return (steps - step) / max(1, steps - rising)
