"""Logits of a packed batch from the PyTorch model, in batches of similar length."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from thinfer.nn.encoder import EncoderClassifier
from thinfer.text.batch import Batch

__all__ = ["Inputs", "compute_logits", "inference_mode", "pad_inputs", "plan_batches"]

Inputs = tuple[Tensor, Tensor, Tensor]


def pad_inputs(batch: Batch, pad_id: int, device: torch.device | None = None) -> Inputs:
    """Give `(input_ids, attention_mask, token_type_ids)`, int64 `[batch, length]` tensors.

    Args:
        batch: sequences to pad on the right.
        pad_id: id of the padding token.
        device: where the tensors shall be; absent: the CPU.
    """
    ids, mask, types = (torch.from_numpy(part) for part in batch.padded(pad_id))
    if device is None:
        return ids, mask, types
    return ids.to(device), mask.to(device), types.to(device)


def plan_batches(lengths: NDArray[np.int64], batch_tokens: int) -> list[NDArray[np.int64]]:
    """Cut the rows, longest first, into batches of similar length.

    Args:
        lengths: tokens of each sequence, int64 `[sequences]`.
        batch_tokens: most tokens a batch may have, padding included; a longer sequence is
            a batch of its own.

    Returns:
        Row numbers of each batch, int64.
    """
    order = np.argsort(-lengths, kind="stable")
    batches, start = [], 0
    while start < len(order):
        size = max(1, batch_tokens // max(1, int(lengths[order[start]])))
        batches.append(order[start : start + size])
        start += size
    return batches


@contextlib.contextmanager
def inference_mode(model: EncoderClassifier) -> Iterator[None]:
    """Switch dropout and gradients off for the block, and give the old mode back after it."""
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        model.train(was_training)


def compute_logits(
    model: EncoderClassifier,
    batch: Batch,
    *,
    pad_id: int,
    batch_tokens: int = 4096,
    use_bf16: bool = False,
) -> NDArray[np.float32]:
    """Compute the logits of all sequences.

    Args:
        model: the encoder.
        batch: sequences, specials included.
        pad_id: id of the padding token.
        batch_tokens: most tokens a run, padding included.
        use_bf16: matrix products in BF16; otherwise all in FP32.

    Returns:
        float32 `[sequences, classes]`, rows in the order of the batch.
    """
    device = model.head.weight.device
    logits = np.zeros((len(batch), model.architecture.classes), dtype=np.float32)
    autocast = torch.autocast(device.type, dtype=torch.bfloat16, enabled=use_bf16)
    with inference_mode(model), autocast:
        for rows in plan_batches(batch.lengths, batch_tokens):
            found = model(*pad_inputs(batch.select(rows), pad_id, device))
            logits[rows] = found.float().cpu().numpy()
    return logits
