"""One set of weights for several widths, trained together (DynaBERT: Hou et al. 2020).

Heads and neurons are put in the order of their importance once, which changes nothing that the
model computes. A narrower model is then the front part of every matrix, and all widths share those
parts: each training step runs every width in turn on the same texts, and their gradients add up,
as in slimmable networks (Yu & Huang 2019). The teacher is the model before, which stays as it is,
so the full width needs no training. DynaBERT's widths are one factor for all layers; here each
layer has the width that the search over ladders gave it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from thinfer.architecture import Architecture, PruningMask
from thinfer.compress.ladder import Ladder, Ladders
from thinfer.compress.lesson import answer_rows, as_checkpoint
from thinfer.compress.objective import DistillSettings, make_objectives
from thinfer.compress.relations import choose_pair
from thinfer.compress.state import State
from thinfer.compress.step import StepReport
from thinfer.core.clock import Clock
from thinfer.core.progress import Progress
from thinfer.errors import DataError, UserError
from thinfer.nn.encoder import EncoderClassifier
from thinfer.nn.loss import LossFn
from thinfer.nn.predict import Inputs
from thinfer.nn.train import Encoded, train_classifier
from thinfer.text.batch import Batch

__all__ = ["front_mask", "order_by_importance", "train_widths"]


def order_by_importance(state: State, ladders: Ladders) -> State:
    """Put the heads and neurons that are removed last to the front.

    Args:
        state: the state that the ladders were built on.
        ladders: their order of removal.

    Returns:
        A state with the same logits, in which every width of a ladder is a front part.

    Raises:
        DataError: the ladders were built on another architecture.
    """
    if state.architecture != ladders.architecture:
        what = "the ladders were built on another architecture"
        raise DataError(what, expected=str(ladders.architecture), got=str(state.architecture))
    weights = dict(state.weights)
    for index, layer in enumerate(state.architecture.layers):
        attention, ffn = f"layers.{index}.attention", f"layers.{index}.ffn"
        if layer.heads:
            queries = _places(ladders.heads[index], layer.qk_size)
            values = _places(ladders.heads[index], layer.value_size)
            _reorder(weights, f"{attention}.query", queries)
            _reorder(weights, f"{attention}.key", queries)
            _reorder(weights, f"{attention}.value", values)
            name = f"{attention}.output.weight"
            weights[name] = weights[name][:, values]
        if layer.ffn:
            neurons = _places(ladders.neurons[index], 1)
            _reorder(weights, f"{ffn}.up", neurons)
            weights[f"{ffn}.down.weight"] = weights[f"{ffn}.down.weight"][:, neurons]
    return state.replace(StepReport(step="order", outcome="applied"), weights=weights)


def _places(ladder: Ladder, size: int) -> NDArray[np.int64]:
    first_to_last = ladder.order[::-1, None] * size + np.arange(size)
    return first_to_last.ravel()


def _reorder(weights: dict[str, NDArray[np.float32]], name: str, rows: NDArray[np.int64]) -> None:
    weights[f"{name}.weight"] = weights[f"{name}.weight"][rows]
    weights[f"{name}.bias"] = weights[f"{name}.bias"][rows]


def front_mask(full: Architecture, small: Architecture) -> PruningMask:
    """Give the mask that keeps the front part of each block.

    Args:
        full: the shape of the shared weights.
        small: the shape that shall stay; as deep, and nowhere wider.

    Returns:
        The mask; `surgery.cut` with it gives the width's own state.

    Raises:
        UserError: the small shape is not inside the full one.
    """
    inside = len(full.layers) == len(small.layers) and small == dataclasses.replace(
        full,
        layers=tuple(
            dataclasses.replace(wide, heads=min(wide.heads, few.heads), ffn=min(wide.ffn, few.ffn))
            for wide, few in zip(full.layers, small.layers, strict=False)
        ),
    )
    if not inside:
        what = "a width is not a part of the shared weights"
        raise UserError(what, expected=f"at most {full.layers}", got=str(small.layers))
    pairs = list(zip(full.layers, small.layers, strict=True))
    return PruningMask(
        heads=tuple(np.arange(wide.heads) < few.heads for wide, few in pairs),
        neurons=tuple(np.arange(wide.ffn) < few.ffn for wide, few in pairs),
        layers=(True,) * len(pairs),
    )


def train_widths(
    state: State,
    shapes: Sequence[Architecture],
    train: Encoded,
    *,
    unlabelled: Batch | None = None,
    settings: DistillSettings,
    progress: Progress,
    clock: Clock,
) -> tuple[State, StepReport]:
    """Train shared weights so that each width answers like the whole model did before.

    Args:
        state: in order of importance; also the teacher.
        shapes: the widths, each inside the state's architecture.
        train: texts with labels.
        unlabelled: more texts; the teacher's answers stand in for their labels.
        settings: how; a step's loss is the mean over widths, and the last epoch is taken: each
            width is judged by itself, after it was cut.
        progress: told of batches and epochs.
        clock: for the time limit.

    Returns:
        The shared weights in the full shape, and the report; degraded when relations were asked
        for and a width has no attention.

    Raises:
        UserError: there is no width, or one is not inside the state's architecture.
    """
    if not shapes:
        what = "there is no width to train"
        raise UserError(what, expected="at least one")
    for shape in shapes:
        front_mask(state.architecture, shape)
    master = state.module().requires_grad_(False)
    several = state.is_multi_label
    rows, taught = answer_rows(
        master, train, unlabelled, pad_id=state.pad_id, is_multi_label=several
    )
    wanted = settings.relation_layers
    pairs = [choose_pair(shape, state.architecture, wanted) for shape in shapes]
    objectives = make_objectives(
        master, rows.targets, taught, settings=settings, pairs=pairs, is_multi_label=several
    )
    dropout = settings.train.dropout
    fronts = [_Front(shape, dropout=dropout) for shape in shapes]
    trained, told = train_classifier(
        as_checkpoint(state),
        rows,
        dev=None,
        settings=settings.train,
        progress=progress,
        clock=clock,
        loss_fn=_in_turn(fronts, objectives),
    )
    details = {
        "widths": [[[layer.heads, layer.ffn] for layer in shape.layers] for shape in shapes],
        "rows": len(rows.batch),
        "unlabelled_rows": len(rows.batch) - len(train.batch),
        "epochs": told.epochs,
        "stopped": told.stopped,
    }
    report = StepReport(step="train-widths", outcome="applied", details=details)
    if settings.relation_weight and None in pairs:
        reason = "attention relations were left out where no layer has attention"
        report = dataclasses.replace(report, outcome="degraded", reason=reason)
    return state.replace(report, weights=trained.model.weights()), report


def _in_turn(fronts: Sequence[_Front], objectives: Sequence[LossFn]) -> LossFn:
    def compute_loss(
        model: EncoderClassifier, inputs: Inputs, rows: NDArray[np.int64]
    ) -> torch.Tensor:
        shared = dict(model.named_parameters())
        losses = [
            objective(front.attach(shared), inputs, rows)
            for front, objective in zip(fronts, objectives, strict=True)
        ]
        return torch.stack(losses).mean()

    return compute_loss


class _Front:
    """A narrower model without weights of its own: it computes with parts of the shared ones."""

    def __init__(self, shape: Architecture, *, dropout: float) -> None:
        with torch.device("meta"):
            self._module = EncoderClassifier(shape, dropout=dropout)
        self._places = [
            (part, leaf, f"{prefix}.{leaf}", tuple(slice(count) for count in value.shape))
            for prefix, part in self._module.named_modules()
            for leaf, value in part.named_parameters(recurse=False)
        ]
        for part, leaf, _, _ in self._places:
            delattr(part, leaf)  # a parameter's place would take no plain tensor

    def attach(self, shared: Mapping[str, torch.Tensor]) -> EncoderClassifier:
        """Give the narrower model as the shared weights are now; gradients flow into them."""
        for part, leaf, name, inside in self._places:
            setattr(part, leaf, shared[name][inside])
        return self._module
