"""Gradients of the loss at every head's and neuron's gate, one text at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from thinfer.compress.score.scores import Scores
from thinfer.errors import DataError
from thinfer.nn.encoder import EncoderClassifier
from thinfer.nn.loss import split_members
from thinfer.quality.answers import encode_answers
from thinfer.text.batch import Batch

__all__ = ["gate_gradients", "mean_over_texts"]


def gate_gradients(
    module: EncoderClassifier,
    batch: Batch,
    *,
    pad_id: int,
    labels: NDArray[np.int64] | None = None,
    is_multi_label: bool = False,
) -> Iterator[tuple[list[NDArray[np.float64]], list[NDArray[np.float64]]]]:
    """Give, text by text, the gradient of −log p(answer) at gates that stand at 1.

    Args:
        module: the model, in evaluation mode; its parameters' `requires_grad` is switched off.
        batch: texts; each is one pass.
        pad_id: token id of the padding.
        labels: true classes, int64 `[sequences]`; the model's own answers when absent.
        is_multi_label: classes are sets of labels as bits, whose labels are independent.

    Yields:
        Per layer float64 `[heads]`, and per layer float64 `[ffn]`.

    Raises:
        DataError: labels and texts differ in number.
    """
    if labels is not None and len(labels) != len(batch):
        what = "labels and calibration texts differ in number"
        raise DataError(what, expected=f"{len(batch)} labels", got=f"{len(labels)}")
    module.requires_grad_(False)
    shapes = module.architecture.layers
    widths = [*(shape.heads for shape in shapes), *(shape.ffn for shape in shapes)]
    for row in range(len(batch)):
        inputs = [torch.from_numpy(part) for part in batch.select([row]).padded(pad_id)]
        gates = [torch.ones(width, requires_grad=True) for width in widths]
        heads, neurons = gates[: len(shapes)], gates[len(shapes) :]
        with torch.enable_grad():  # a caller may have switched gradients off
            logits = module(*inputs, head_gates=heads, neuron_gates=neurons)
            codes = _own(logits, is_multi_label) if labels is None else labels[row : row + 1]
            loss = _distance(logits, torch.from_numpy(codes), is_multi_label)
        # A dropped block has gates of width 0, or none that the loss reaches.
        found = torch.autograd.grad(loss, gates, allow_unused=True)
        gradients = [
            np.zeros(width) if gradient is None else gradient.double().numpy()
            for width, gradient in zip(widths, found, strict=True)
        ]
        yield gradients[: len(shapes)], gradients[len(shapes) :]


def _own(logits: torch.Tensor, is_multi_label: bool) -> NDArray[np.int64]:
    return encode_answers(logits.detach().numpy(), is_multi_label=is_multi_label)


def _distance(logits: torch.Tensor, codes: torch.Tensor, is_multi_label: bool) -> torch.Tensor:
    if not is_multi_label:
        return functional.cross_entropy(logits, codes)
    members = split_members(codes, logits.shape[1])
    return functional.binary_cross_entropy_with_logits(logits, members, reduction="sum")


def mean_over_texts(
    module: EncoderClassifier,
    batch: Batch,
    change: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    *,
    pad_id: int,
    labels: NDArray[np.int64] | None,
    is_multi_label: bool = False,
) -> Scores:
    """Give the mean over texts of a function of the gates' gradients.

    Args:
        module: the model, in evaluation mode.
        batch: texts; each is one pass.
        change: applied to each text's gradients, element by element.
        pad_id: token id of the padding.
        labels: true classes, int64 `[sequences]`; the model's own answers when absent.
        is_multi_label: classes are sets of labels as bits.
    """
    shapes = module.architecture.layers
    heads = [np.zeros(shape.heads) for shape in shapes]
    neurons = [np.zeros(shape.ffn) for shape in shapes]
    texts = gate_gradients(
        module, batch, pad_id=pad_id, labels=labels, is_multi_label=is_multi_label
    )
    for own, others in texts:
        for total, gradient in zip((*heads, *neurons), (*own, *others), strict=True):
            total += change(gradient) / len(batch)
    return Scores(heads=tuple(heads), neurons=tuple(neurons))
