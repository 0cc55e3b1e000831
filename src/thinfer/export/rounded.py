"""The model as INT8 rounds it, in torch: every product with the codes that the graph stores.

Inputs are rounded to uint8 with their measured range, matrices to int8 per output channel, word
rows to int8 per row. With gradients on, rounding is passed straight through and what the range
clips gets no gradient, which is the simulated quantisation of Jacob et al. 2018 (section 3; the
straight-through gradient is Bengio et al. 2013). Ranges are measured and not learned (no LSQ).
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from thinfer.export.blocks import block_of
from thinfer.export.ranges import InputRange
from thinfer.nn.encoder import EncoderClassifier

__all__ = ["RoundedEmbedding", "RoundedLinear", "round_model"]

_PARTS = (
    ("attention.query", "attention.input"),
    ("attention.key", "attention.input"),
    ("attention.value", "attention.input"),
    ("attention.output", "attention.output"),
    ("ffn.up", "ffn.up"),
    ("ffn.down", "ffn.down"),
)


class RoundedLinear(nn.Linear):
    """A linear layer on rounded inputs and a rounded matrix; its parameters are the plain ones.

    Args:
        linear: whose parameters are shared.
        range_: how the input becomes uint8.
    """

    smoothing: Tensor

    def __init__(self, linear: nn.Linear, range_: InputRange) -> None:
        with torch.device("meta"):
            super().__init__(linear.in_features, linear.out_features)
        self.weight, self.bias = linear.weight, linear.bias
        self.scale, self.zero_point = range_.scale, range_.zero_point
        factors = torch.ones(linear.in_features)
        if range_.smoothing is not None:
            factors = torch.from_numpy(range_.smoothing).clone()
        self.register_buffer("smoothing", factors, persistent=False)

    def forward(self, inputs: Tensor) -> Tensor:
        """Give float `[..., out]` for float `[..., in]`."""
        smoothed = inputs.float() / self.smoothing
        rounded = _round_inputs(smoothed, self.scale, self.zero_point)
        matrix = _round_rows(self.weight * self.smoothing)
        return functional.linear(rounded, matrix, self.bias)


class RoundedEmbedding(nn.Embedding):
    """A table of rounded rows; its parameter is the plain one.

    Args:
        table: whose parameter is shared.
    """

    def __init__(self, table: nn.Embedding) -> None:
        with torch.device("meta"):
            super().__init__(table.num_embeddings, table.embedding_dim)
        self.weight = table.weight

    def forward(self, ids: Tensor) -> Tensor:
        """Give float `[..., hidden]` for int64 `[...]`."""
        return _round_rows(functional.embedding(ids, self.weight))


def round_model(
    model: EncoderClassifier, ranges: Mapping[str, InputRange], kept: Collection[str] = ()
) -> EncoderClassifier:
    """Give a copy of a model that rounds as its INT8 graph does.

    Args:
        model: stays as it is.
        ranges: of the inputs, by `measure_ranges`.
        kept: blocks that stay in FP32.

    Returns:
        A copy that shares all parameters, under the same names.
    """
    rounded = copy.deepcopy(model, {id(value): value for value in model.parameters()})
    if "embeddings" not in kept:
        rounded.embeddings.word = RoundedEmbedding(rounded.embeddings.word)
    for index, layer in enumerate(rounded.layers):
        for part, source in _PARTS:
            range_ = ranges.get(f"layers.{index}.{source}")
            if range_ is not None and block_of(f"layers.{index}.{part}") not in kept:
                _replace(layer, part, range_)
    if "pooler" not in kept:
        _replace(rounded, "pooler", ranges["pooler"])
    return rounded


def _replace(owner: nn.Module, name: str, range_: InputRange) -> None:
    parent, _, child = name.rpartition(".")
    linear = cast("nn.Linear", owner.get_submodule(name))
    setattr(owner.get_submodule(parent), child, RoundedLinear(linear, range_))


def _round_inputs(values: Tensor, scale: float, zero_point: int) -> Tensor:
    low, high = -zero_point * scale, (255 - zero_point) * scale
    codes = (values.detach() / scale).round_().add_(zero_point).clamp_(0, 255)
    rounded = codes.sub_(zero_point).mul_(scale)
    if not torch.is_grad_enabled():
        return rounded
    clipped = values.clamp(low, high)
    return clipped + (rounded - clipped).detach()


def _round_rows(rows: Tensor) -> Tensor:
    """Round the last axis of float `[..., n]` to 127 steps on either side of 0, a scale a row."""
    scale = rows.detach().abs().amax(-1, keepdim=True).clamp_min(1e-12) / 127.0
    rounded = (rows.detach() / scale).round_().mul_(scale)
    if not torch.is_grad_enabled():
        return rounded
    return rows + (rounded - rows).detach()
