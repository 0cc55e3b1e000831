"""What retraining makes small: distance from labels and from a teacher, outside and inside."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from thinfer.compress.relations import compare_relations, recorded_projections
from thinfer.errors import UserError
from thinfer.nn.encoder import EncoderClassifier, Layer
from thinfer.nn.loss import Constraint, LossFn, Targets, make_teacher_loss
from thinfer.nn.predict import Inputs
from thinfer.nn.train import TrainSettings

__all__ = ["DistillSettings", "make_objectives"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DistillSettings:
    """How to retrain.

    Attributes:
        train: epochs, rate, precision, time limit of the training itself.
        temperature: softens both models' logits, > 0.
        alpha: share of the teacher's logits in the class loss, 0 … 1; the rest is the labels'.
        hidden_weight: weight of the hidden states' relative squared error, ≥ 0; 0 leaves it out
            and, with no relations either, saves running the teacher beside the student.
        relation_weight: weight of the attention relations' divergence, ≥ 0; 0 leaves it out (the
            default: docs/why/18).
        relation_heads: most heads that relations are split into, ≥ 1.
        relation_layers: (layer of the student, layer of the teacher) whose relations are compared;
            absent: chosen by `relations.choose_pair`.
        constraint: what the weights are held to; absent, the zeros of a sparse student stay.
    """

    train: TrainSettings = dataclasses.field(
        default_factory=lambda: TrainSettings(epochs=1, learning_rate=1e-4, dropout=0.0)
    )
    temperature: float = 2.0
    alpha: float = 0.9
    hidden_weight: float = 1.0
    relation_weight: float = 0.0
    relation_heads: int = 12
    relation_layers: tuple[int, int] | None = None
    constraint: Constraint | None = None

    def __post_init__(self) -> None:
        weights = min(self.hidden_weight, self.relation_weight)
        good = self.temperature > 0 and 0 <= self.alpha <= 1 and self.relation_heads >= 1
        if not good or weights < 0:
            what = "the settings of distillation are impossible"
            expected = "temperature > 0, alpha 0 … 1, weights ≥ 0, relation_heads ≥ 1"
            raise UserError(what, expected=expected, got=str(self))


@dataclass(slots=True, eq=False)
class _Seen:
    """What one forward pass shows inside."""

    states: list[torch.Tensor]
    projections: dict[str, torch.Tensor]


def make_objectives(
    teacher: EncoderClassifier,
    targets: Targets,
    taught: NDArray[np.float32],
    *,
    settings: DistillSettings,
    pairs: Sequence[tuple[int, int] | None],
    is_multi_label: bool = False,
) -> list[LossFn]:
    """Give the loss of each student's forward pass; students asked in turn share the teacher's.

    Args:
        teacher: the model to come near to; it is moved to the students' device.
        targets: of all rows, as of `nn.loss.make_class_loss`.
        taught: the teacher's logits of all rows, float32 `[rows, classes]`.
        settings: weights of the parts.
        pairs: of each student the layers (its own, the teacher's) whose relations are compared;
            None leaves them out.
        is_multi_label: targets are sets of labels.

    Returns:
        For each pair `class loss + hidden_weight · hidden + relation_weight · relations`; hidden
        states are compared layer by layer where both models are equally deep, else at their ends.
    """
    class_loss = make_teacher_loss(
        targets,
        taught,
        temperature=settings.temperature,
        alpha=settings.alpha,
        is_multi_label=is_multi_label,
    )
    master = _Teacher(teacher)
    return [
        _make_one(master, class_loss, settings, pair if settings.relation_weight else None)
        for pair in pairs
    ]


def _make_one(
    teacher: _Teacher,
    class_loss: LossFn,
    settings: DistillSettings,
    pair: tuple[int, int] | None,
) -> LossFn:
    if not settings.hidden_weight and pair is None:
        return class_loss
    mine, theirs = pair or (None, None)

    def compute_loss(
        model: EncoderClassifier, inputs: Inputs, rows: NDArray[np.int64]
    ) -> torch.Tensor:
        wanted = teacher.show(inputs, theirs)
        with _watched(model, mine) as given:
            loss = class_loss(model, inputs, rows)
        real = inputs[1].bool()
        if settings.hidden_weight:
            distance = _compare_hidden(given.states, wanted.states, real)
            loss = loss + settings.hidden_weight * distance
        if pair is not None:
            apart = compare_relations(
                given.projections, wanted.projections, real, most_heads=settings.relation_heads
            )
            loss = loss + settings.relation_weight * apart
        return loss

    return compute_loss


class _Teacher:
    """A model that shows what happens inside it; the last texts are not read twice."""

    def __init__(self, model: EncoderClassifier) -> None:
        self._model = model
        self._asked: tuple[Inputs, int | None] | None = None
        self._shown = _Seen([], {})

    def show(self, inputs: Inputs, layer: int | None) -> _Seen:
        if self._asked is None or self._asked[0] is not inputs or self._asked[1] != layer:
            self._model.to(inputs[0].device)
            with torch.no_grad(), _watched(self._model, layer) as self._shown:
                self._model(*inputs)
            self._asked = (inputs, layer)
        return self._shown


@contextmanager
def _watched(model: EncoderClassifier, layer: int | None) -> Iterator[_Seen]:
    """Record what a forward pass inside the block shows; projections of one layer only."""
    with ExitStack() as stack:
        states = stack.enter_context(_recorded(model))
        found = {} if layer is None else stack.enter_context(recorded_projections(model, layer))
        yield _Seen(states, found)


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
