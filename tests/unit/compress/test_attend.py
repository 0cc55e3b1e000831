"""Queries, keys and contexts of a block against sums written out."""

import numpy as np
import pytest
import torch

from tests.support.toy_models import toy_batch, toy_state, wide_architecture
from thinfer.compress.attend import map_contexts, measure_scores
from thinfer.compress.walk import Block, Packed, embed, list_blocks, pack

BATCH = toy_batch(30, seed=1)


def first_block() -> tuple[Block, torch.Tensor, Packed]:
    module = toy_state(wide_architecture(1)).module().requires_grad_(False)
    packed = pack(BATCH, np.argsort(BATCH.lengths, kind="stable"))
    return list_blocks(module)[0], embed(module, packed), packed


def test_moments_are_those_of_every_pair_of_tokens() -> None:
    block, states, packed = first_block()
    weights = torch.from_numpy(np.random.default_rng(0).random(len(states)).astype(np.float32))
    weights[::3] = 0.0
    queries, keys = measure_scores(block.part, states, packed, weights)  # type: ignore[arg-type]  # a block of heads
    part = block.part
    wanted_queries, wanted_keys = np.zeros((2, 16, 16)), np.zeros((2, 16, 16))
    ends = [*packed.first.tolist()[1:], len(states)]
    for start, end in zip(packed.first.tolist(), ends, strict=True):
        query = part.query(states[start:end]).double().numpy()  # type: ignore[operator]  # a block of heads
        key = part.key(states[start:end]).double().numpy()  # type: ignore[operator]  # a block of heads
        for head in range(2):
            q, k = (each[:, 16 * head : 16 * head + 16] for each in (query, key))
            for row, weight in zip(q, weights[start:end].tolist(), strict=True):
                scores = k @ row / 4.0
                share = np.exp(scores - scores.max())
                share /= share.sum()
                middle = k - share @ k
                wanted_queries[head] += weight * np.outer(row, row)
                wanted_keys[head] += weight * (middle * share[:, None]).T @ middle
    total = float(weights.sum())
    np.testing.assert_allclose(queries, wanted_queries / total, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(keys, wanted_keys / total, rtol=1e-3, atol=1e-3)


def test_maps_that_change_nothing_give_the_contexts_of_the_block() -> None:
    block, states, packed = first_block()
    eye = np.tile(np.eye(16), (2, 1, 1))
    got = map_contexts(block.part, states, packed, (eye, eye))  # type: ignore[arg-type]  # a block of heads
    torch.testing.assert_close(got, block.read(states, packed))


@pytest.mark.parametrize("rank", [1, 5])
def test_mapped_scores_are_divided_by_the_root_of_their_own_size(rank: int) -> None:
    block, states, packed = first_block()
    maps = np.zeros((2, rank, 16))
    got = map_contexts(block.part, states, packed, (maps, maps))  # type: ignore[arg-type]  # a block of heads
    start, stop = int(packed.first[-1]), len(states)
    value = block.part.value(states[start:stop])  # type: ignore[operator]  # a block of heads
    even = value.mean(0).expand(stop - start, -1)  # no scores at all: even shares
    torch.testing.assert_close(got[start:stop], even)
    assert got.shape == (len(states), 32)
