"""`Batch`: token ids of several sequences, packed; the one form in which text travels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thinfer.errors import DataError

__all__ = ["Batch"]

Ids = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Packed token ids; padding is what one engine does at its own door.

    Attributes:
        ids: int64 `[tokens]`, specials included.
        type_ids: int64 `[tokens]`, 0 for the first text and 1 for its pair.
        offsets: int64 `[sequences + 1]`, from 0 to `tokens`; sequence `i` is
            `ids[offsets[i]:offsets[i + 1]]`.
    """

    ids: Ids
    type_ids: Ids
    offsets: Ids

    def __post_init__(self) -> None:
        good = (
            self.ids.ndim == self.type_ids.ndim == self.offsets.ndim == 1
            and self.ids.shape == self.type_ids.shape
            and len(self.offsets) > 0
            and self.offsets[0] == 0
            and self.offsets[-1] == len(self.ids)
            and bool((self.lengths >= 0).all())
            and self.ids.dtype == self.type_ids.dtype == self.offsets.dtype == np.int64
        )
        if not good:
            what = "the arrays of a batch do not fit together"
            raise DataError(
                what,
                expected="int64 ids and type_ids [tokens], offsets rising from 0 to tokens",
                got=f"shapes {self.ids.shape}, {self.type_ids.shape}, {self.offsets.shape}",
            )

    @classmethod
    def from_sequences(
        cls, sequences: Iterable[Sequence[int]], type_ids: Iterable[Sequence[int]] | None = None
    ) -> Batch:
        """Pack sequences of token ids.

        Args:
            sequences: token ids, specials included.
            type_ids: token type ids of the same lengths; all 0 when absent.

        Returns:
            The packed batch.

        Raises:
            DataError: the type ids have other lengths than the sequences.
        """
        rows = [np.asarray(row, dtype=np.int64) for row in sequences]
        lengths = [len(row) for row in rows]
        offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64)
        ids = np.concatenate([*rows, np.empty(0, dtype=np.int64)])
        if type_ids is None:
            return cls(ids, np.zeros_like(ids), offsets)
        types = [np.asarray(row, dtype=np.int64) for row in type_ids]
        if [len(row) for row in types] != lengths:
            what = "type ids and sequences differ in length"
            raise DataError(what, expected=str(lengths), got=str([len(row) for row in types]))
        return cls(ids, np.concatenate([*types, np.empty(0, dtype=np.int64)]), offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> Ids:
        """Tokens of each sequence, int64 `[sequences]`."""
        # `np.diff` takes ten times as long, and a request asks for them three times.
        return self.offsets[1:] - self.offsets[:-1]

    def select(self, rows: Sequence[int] | Ids) -> Batch:
        """Give the batch of some sequences, in the order asked for.

        Args:
            rows: indices of sequences; a row may come twice.
        """
        chosen = np.asarray(rows, dtype=np.int64)
        lengths = self.lengths[chosen]
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        starts = np.repeat(self.offsets[chosen] - offsets[:-1], lengths)
        tokens = starts + np.arange(offsets[-1], dtype=np.int64)
        return Batch(self.ids[tokens], self.type_ids[tokens], offsets)

    def padded(self, pad_id: int) -> tuple[Ids, Ids, Ids]:
        """Give the rectangular form, padded on the right to the longest sequence.

        Args:
            pad_id: the id written into the padding.

        Returns:
            `(input_ids, attention_mask, token_type_ids)`, each int64 `[batch, length]`.
        """
        lengths = self.lengths
        width = int(lengths.max(initial=0))
        mask = np.arange(width)[None, :] < lengths[:, None]  # [batch, length]
        input_ids = np.full(mask.shape, pad_id, dtype=np.int64)
        type_ids = np.zeros(mask.shape, dtype=np.int64)
        input_ids[mask] = self.ids
        type_ids[mask] = self.type_ids
        return input_ids, mask.astype(np.int64), type_ids

    @staticmethod
    def concatenate(batches: Sequence[Batch]) -> Batch:
        """Join batches, sequences in order; no batch at all gives the empty batch."""
        if not batches:
            return Batch.from_sequences([])
        shifts = np.cumsum([0, *(len(batch.ids) for batch in batches)])
        offsets = [batch.offsets[1:] + shift for batch, shift in zip(batches, shifts, strict=False)]
        return Batch(
            np.concatenate([batch.ids for batch in batches]),
            np.concatenate([batch.type_ids for batch in batches]),
            np.concatenate([np.zeros(1, dtype=np.int64), *offsets]).astype(np.int64),
        )
