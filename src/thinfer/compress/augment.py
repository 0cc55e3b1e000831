"""More text to distil on: copies of the training texts in which some tokens are replaced.

A replaced token becomes one of its neighbours in the model's own word embedding, among the tokens
that the training text uses. Nobody knows the label of such a text: the teacher answers it. (The
idea is TinyBERT's, Jiao et al. 2020, section 3.2, whose neighbours come from GloVe and from a
masked language model; here nothing is needed but the classifier.)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from thinfer.compress.state import State
from thinfer.errors import UserError
from thinfer.text.batch import Batch

__all__ = ["AugmentSettings", "substitute_tokens"]

_CHUNK = 2048  # rows of similarities at once


@dataclass(frozen=True, slots=True, kw_only=True)
class AugmentSettings:
    """How copies are altered.

    Attributes:
        copies: altered copies of each text; 0 = none.
        share: of a copy's tokens that are replaced, 0 … 1; special tokens never are.
        neighbours: how many nearest tokens one is drawn from, ≥ 1.
        seed: of the draws.
    """

    copies: int = 0
    share: float = 0.15
    neighbours: int = 15
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.copies, self.seed) < 0 or not 0 <= self.share <= 1 or self.neighbours < 1:
            what = "the settings of augmentation are impossible"
            expected = "copies ≥ 0, share 0 … 1, neighbours ≥ 1"
            raise UserError(what, expected=expected, got=str(self))


def substitute_tokens(batch: Batch, state: State, settings: AugmentSettings) -> Batch:
    """Give altered copies of texts.

    Args:
        batch: texts as ids of the state's tokenizer.
        state: whose word embedding says which tokens are neighbours.
        settings: how many copies, and how far they go.

    Returns:
        `copies` times the texts, of the same lengths and types, one round after another; the
        same seed gives the same ids.
    """
    names = state.tokenizer.special_tokens.values()
    special = np.array([state.tokenizer.id(token) for token in names], dtype=np.int64)
    used: NDArray[np.int64] = np.setdiff1d(np.unique(batch.ids), special)
    if not settings.copies or len(used) < 2:  # nothing to replace a token with
        return Batch.concatenate([batch] * settings.copies)
    near = _find_neighbours(state.weights["embeddings.word.weight"][used], settings.neighbours)
    rng = np.random.default_rng([settings.seed, 0xA06])  # not the stream that orders the batches
    may_change = np.isin(batch.ids, used)
    places = np.searchsorted(used, batch.ids).clip(max=len(used) - 1)  # [tokens]
    copies = []
    for _ in range(settings.copies):
        draws = rng.integers(near.shape[1], size=len(batch.ids))
        replaced = may_change & (rng.random(len(batch.ids)) < settings.share)
        ids = np.where(replaced, used[near[places, draws]], batch.ids)
        copies.append(Batch(ids, batch.type_ids, batch.offsets))
    return Batch.concatenate(copies)


def _find_neighbours(rows: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """Give the nearest other rows by cosine, int64 `[rows, count]`, fewer where there are none."""
    unit = torch.nn.functional.normalize(torch.from_numpy(rows.copy()), dim=1)
    count = min(count, len(unit) - 1)
    found = []
    for start in range(0, len(unit), _CHUNK):
        alike = unit[start : start + _CHUNK] @ unit.T
        own = torch.arange(len(alike))
        alike[own, start + own] = -torch.inf
        found.append(alike.topk(count, dim=1).indices)
    return torch.cat(found).numpy()
