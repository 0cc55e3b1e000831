"""What the queries, keys and contexts of an attention block are on calibration text.

`walk` knows what enters a projection; reducing the sizes of heads needs one look deeper.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from thinfer.compress.walk import Packed
from thinfer.nn.encoder import Attention

__all__ = ["map_contexts", "measure_scores"]

Matrices = NDArray[np.float64]


def measure_scores(
    part: Attention, states: torch.Tensor, packed: Packed, weights: torch.Tensor
) -> tuple[Matrices, Matrices]:
    """Measure how queries and keys of each head vary, as far as the answer feels it.

    A query counts as its token does; the keys count by the attention that those queries pay
    them, around their mean under it: to second order the change of a softmax is the variance of
    the scores' change under its own shares.

    Args:
        part: the attention module, with at least one head.
        states: what enters it, float32 `[tokens, hidden]`.
        packed: the texts the tokens belong to.
        weights: how much each token counts, float32 `[tokens]`.

    Returns:
        Second moments of the queries and covariances of the keys, each float64
        `[heads, size, size]`.
    """
    size = part.query.out_features // part.heads
    queries = torch.zeros(part.heads, size, size, dtype=torch.float64)
    keys = torch.zeros_like(queries)
    for start, query, key, _ in _split(part, states, packed):
        texts, _, length, _ = query.shape
        rows = weights[start : start + texts * length].view(texts, 1, length, 1)
        # The same for every key of a text, so the softmax does not see it; keeps sums small.
        key = key - key.mean(2, keepdim=True)
        shares = (query @ key.transpose(2, 3) / size**0.5).softmax(-1) * rows
        queries += _gram(query, rows).double()
        paid = shares.sum(2).unsqueeze(3)  # [texts, heads, keys, 1]
        # A query without weight pays nothing; its mean must not become 0 / 0.
        middle = shares @ key / rows.clamp_min(torch.finfo(rows.dtype).tiny)
        keys += _gram(key, paid).double() - _gram(middle, rows).double()
    total = max(float(weights.double().sum()), torch.finfo(torch.float64).tiny)
    return (queries / total).numpy(), (keys / total).numpy()


def map_contexts(
    part: Attention, states: torch.Tensor, packed: Packed, maps: tuple[Matrices, Matrices]
) -> torch.Tensor:
    """Give the contexts with queries and keys in fewer dimensions.

    Args:
        part: the attention module, with at least one head.
        states: what enters it, float32 `[tokens, hidden]`.
        packed: the texts the tokens belong to.
        maps: of queries and of keys, each float64 `[heads, rank, size]`.

    Returns:
        What enters the output projection, float32 `[tokens, heads * value size]`.
    """
    to_query, to_key = (torch.from_numpy(each).float().transpose(1, 2) for each in maps)
    contexts = []
    for _, query, key, value in _split(part, states, packed):
        mixed = functional.scaled_dot_product_attention(query @ to_query, key @ to_key, value)
        contexts.append(mixed.transpose(1, 2).flatten(2).flatten(0, 1))
    return torch.cat(contexts)


def _split(
    part: Attention, states: torch.Tensor, packed: Packed
) -> Iterator[tuple[int, torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Give the first token of each group, and its queries, keys and values by text and head."""
    for start, texts, length in packed.groups:
        inputs = states[start : start + texts * length]
        query, key, value = (
            linear(inputs).view(texts, length, part.heads, -1).transpose(1, 2)
            for linear in (part.query, part.key, part.value)
        )  # each [texts, heads, length, head]
        yield start, query, key, value


def _gram(values: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Give Σ w v vᵀ for each head of `[texts, heads, length, head]`."""
    flat = values.transpose(0, 1).flatten(1, 2)  # [heads, texts * length, head]
    scale = weights.expand(*values.shape[:3], 1).transpose(0, 1).flatten(1, 2)
    return (flat * scale).transpose(1, 2) @ flat
