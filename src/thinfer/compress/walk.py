"""Walk packed texts through the encoder block by block, without padding.

Texts of one length stand side by side, so attention needs no mask, and every other product runs
on packed tokens. That makes each block's input `[tokens, n]` available as one array, which is what
moments and repair are made of. A unit test holds the walk against the module's own forward.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from thinfer.compress.ladder import Kind
from thinfer.nn.encoder import Attention, EncoderClassifier, FeedForward, Layer
from thinfer.text.batch import Batch

__all__ = ["Block", "Packed", "classify", "embed", "list_blocks", "pack", "run_blocks"]

# Tokens that pass attention at once; bounds the memory of queries, keys and values.
_CHUNK = 4096


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Packed:
    """Texts sorted by length, ready for the walk.

    Attributes:
        ids: int64 `[tokens]`.
        type_ids: int64 `[tokens]`.
        groups: `(first token, texts, length)` of each run of equally long texts, of at most 4,096
            tokens unless one text alone is longer.
        first: place of each text's first token, int64 `[texts]`.
    """

    ids: torch.Tensor
    type_ids: torch.Tensor
    groups: tuple[tuple[int, int, int], ...]
    first: torch.Tensor

    def parts(self) -> Iterator[tuple[slice, Packed]]:
        """Give runs of groups of about 4,096 tokens: the place of their tokens, and themselves."""
        begin = 0
        while begin < len(self.groups):
            end, start = begin, self.groups[begin][0]
            stop = start
            while end < len(self.groups) and (end == begin or stop - start < _CHUNK):
                stop += self.groups[end][1] * self.groups[end][2]
                end += 1
            groups = tuple((at - start, n, length) for at, n, length in self.groups[begin:end])
            inside = (self.first >= start) & (self.first < stop)
            where = slice(start, stop)
            yield (
                where,
                Packed(
                    ids=self.ids[where],
                    type_ids=self.type_ids[where],
                    groups=groups,
                    first=self.first[inside] - start,
                ),
            )
            begin = end


def pack(batch: Batch, rows: NDArray[np.int64]) -> Packed:
    """Pack some texts of a batch.

    Args:
        batch: texts of at least one token.
        rows: indices of texts, int64 `[texts]`, sorted by length.

    Returns:
        The packed texts, in the order of `rows`.
    """
    chosen = batch.select(rows)
    groups: list[tuple[int, int, int]] = []
    for length, start in zip(chosen.lengths.tolist(), chosen.offsets.tolist(), strict=False):
        last = groups[-1] if groups else (0, 0, 0)
        if last[2] == length and (last[1] + 1) * length <= _CHUNK:
            groups[-1] = (last[0], last[1] + 1, length)
        else:
            groups.append((start, 1, length))
    return Packed(
        ids=torch.from_numpy(chosen.ids),
        type_ids=torch.from_numpy(chosen.type_ids),
        groups=tuple(groups),
        first=torch.from_numpy(chosen.offsets[:-1].copy()),
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Block:
    """One residual block of a module: `states → norm(states + projection(read(states)))`.

    Attributes:
        layer: index of the layer in its module.
        kind: `heads` or `neurons`.
        part: the attention or FFN module.
        projection: its last linear layer; bias alone when nothing else is left.
        norm: its layer norm.
    """

    layer: int
    kind: Kind
    part: Attention | FeedForward
    projection: nn.Module
    norm: nn.LayerNorm

    @property
    def is_empty(self) -> bool:
        """Whether only the bias of the projection is left."""
        return not isinstance(self.projection, nn.Linear)

    @property
    def bias(self) -> torch.Tensor:
        """The projection's bias, float32 `[hidden]`."""
        return self.projection.get_parameter("bias")

    def read(self, states: torch.Tensor, packed: Packed) -> torch.Tensor:
        """Give what enters the projection.

        Args:
            states: float32 `[tokens, hidden]`.
            packed: the texts the tokens belong to.

        Returns:
            Contexts `[tokens, heads * value size]` or activations `[tokens, ffn]`; n = 0 where
            the block is empty.
        """
        if self.is_empty:
            return states.new_zeros(len(states), 0)
        if isinstance(self.part, FeedForward):
            inner: torch.Tensor = self.part.activation(self.part.up(states))
            return inner
        contexts = [_mix(self.part, states[where], part) for where, part in packed.parts()]
        return torch.cat(contexts)

    def project(self, inputs: torch.Tensor) -> torch.Tensor:
        """Give what the block adds to its residual, float32 `[tokens, hidden]`."""
        if self.is_empty:
            return self.bias.expand(len(inputs), -1)
        added: torch.Tensor = self.projection(inputs)
        return added

    def finish(self, states: torch.Tensor, inputs: torch.Tensor) -> torch.Tensor:
        """Give the states after the block, from those before it and what enters the projection."""
        after: torch.Tensor = self.norm(states + self.project(inputs))
        return after


def _mix(part: Attention, states: torch.Tensor, packed: Packed) -> torch.Tensor:
    projected = [linear(states) for linear in (part.query, part.key, part.value)]
    contexts = []
    for start, texts, length in packed.groups:
        rows = slice(start, start + texts * length)
        query, key, value = (
            whole[rows].view(texts, length, part.heads, -1).transpose(1, 2) for whole in projected
        )  # each [texts, heads, length, head]
        mixed = functional.scaled_dot_product_attention(query, key, value)
        contexts.append(mixed.transpose(1, 2).reshape(texts * length, -1))
    return torch.cat(contexts)


def list_blocks(module: EncoderClassifier) -> list[Block]:
    """Give the blocks in the order of the forward pass: attention and FFN of each layer.

    Args:
        module: the model, in evaluation mode.
    """
    blocks: list[Block] = []
    layers = [layer for layer in module.layers if isinstance(layer, Layer)]
    for index, layer in enumerate(layers):
        pairs: tuple[tuple[Kind, Attention | FeedForward, nn.Module], ...] = (
            ("heads", layer.attention, layer.attention.output),
            ("neurons", layer.ffn, layer.ffn.down),
        )
        blocks += [
            Block(layer=index, kind=kind, part=part, projection=projection, norm=part.norm)
            for kind, part, projection in pairs
        ]
    return blocks


def embed(module: EncoderClassifier, packed: Packed) -> torch.Tensor:
    """Give the embeddings of all tokens, float32 `[tokens, hidden]`.

    Args:
        module: the model, in evaluation mode.
        packed: the texts.
    """
    parts = []
    for start, texts, length in packed.groups:
        rows = slice(start, start + texts * length)
        ids, types = packed.ids[rows].view(texts, length), packed.type_ids[rows].view(texts, length)
        parts.append(module.embeddings(ids, types).flatten(0, 1))
    return torch.cat(parts)


def run_blocks(blocks: list[Block], states: torch.Tensor, packed: Packed) -> torch.Tensor:
    """Give the states after some blocks, float32 `[tokens, hidden]`.

    Args:
        blocks: blocks in the order to run; none gives the states back.
        states: float32 `[tokens, hidden]`.
        packed: the texts the tokens belong to.
    """
    for block in blocks:
        states = block.finish(states, block.read(states, packed))
    return states


def classify(module: EncoderClassifier, states: torch.Tensor, packed: Packed) -> torch.Tensor:
    """Give the logits, float32 `[texts, classes]`, from the last block's states.

    Args:
        module: the model, in evaluation mode.
        states: float32 `[tokens, hidden]`.
        packed: the texts the tokens belong to.
    """
    logits: torch.Tensor = module.head(torch.tanh(module.pooler(states[packed.first])))
    return logits
