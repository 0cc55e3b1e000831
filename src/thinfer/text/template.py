"""`Template`: where a tokenizer puts its special tokens, and the assembly of whole sequences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import tokenizers
from numpy.typing import NDArray

from thinfer.errors import DataError
from thinfer.text.batch import Batch

__all__ = ["Template", "cut_longest", "probe_template"]

Ids = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """Special tokens around one text or a text and its pair.

    Attributes:
        specials: ids before the first text, between or after, …; one more group than texts.
        types: type id of each special and each text, in the order of the sequence.
    """

    specials: tuple[tuple[int, ...], ...]
    types: tuple[int, ...]

    @property
    def added(self) -> int:
        """Number of special tokens that a sequence gets."""
        return sum(len(group) for group in self.specials)

    def assemble(self, parts: Sequence[Sequence[list[int]]], kept: Ids) -> Batch:
        """Join cut texts and special tokens to a packed batch.

        Args:
            parts: for each text of the template, ids without specials of every sequence.
            kept: int64 `[sequences, texts]`, how many ids of each part stay.

        Returns:
            The batch, specials included.
        """
        flat: list[int] = []
        first, *others = self.specials
        for row, counts in enumerate(kept.tolist()):
            flat.extend(first)
            for part, count, group in zip(parts, counts, others, strict=True):
                ids = part[row]
                flat.extend(ids if count == len(ids) else ids[:count])
                flat.extend(group)
        offsets = np.zeros(len(kept) + 1, dtype=np.int64)
        np.cumsum(kept.sum(axis=1) + self.added, out=offsets[1:])
        return Batch(np.array(flat, dtype=np.int64), self._type_ids(kept, offsets), offsets)

    def _type_ids(self, kept: Ids, offsets: Ids) -> Ids:
        if not any(self.types):
            return np.zeros(int(offsets[-1]), dtype=np.int64)
        lengths = np.ones((len(kept), len(self.types)), dtype=np.int64)  # [sequences, slots]
        slot = len(self.specials[0])
        for text, group in enumerate(self.specials[1:]):
            lengths[:, slot] = kept[:, text]
            slot += 1 + len(group)
        types = np.tile(np.array(self.types, dtype=np.int64), len(kept))
        return np.repeat(types, lengths.ravel())


def probe_template(backend: tokenizers.Tokenizer, texts: int) -> Template:
    """Learn a tokenizer's template by asking it, so that any kind of post-processor will do.

    Args:
        backend: a tokenizer without truncation and padding.
        texts: 1 for a single text, 2 for a text and its pair.

    Returns:
        The template.

    Raises:
        DataError: the texts do not come once each and in order.
    """
    probe = backend.encode("a") if texts == 1 else backend.encode("a", "a")
    groups: list[list[int]] = [[]]
    types: list[int] = []
    last: int | None = None
    slots = zip(probe.ids, probe.type_ids, probe.sequence_ids, strict=True)
    for token, type_id, sequence in slots:
        if sequence is None:
            groups[-1].append(token)
            types.append(type_id)
        elif sequence != last or groups[-1]:
            if sequence != len(groups) - 1:
                what = "the tokenizer's template cannot be used"
                expected = "the first text, then its pair, each once"
                raise DataError(what, expected=expected, got=str(probe.sequence_ids))
            groups.append([])
            types.append(type_id)
            last = sequence
    if len(groups) != texts + 1:
        what = "the tokenizer's template leaves out a text"
        raise DataError(what, expected=f"{texts} texts", got=f"{len(groups) - 1}")
    return Template(specials=tuple(tuple(group) for group in groups), types=tuple(types))


def cut_longest(lengths: Ids, room: int) -> Ids:
    """Give how much of each text of a pair stays when the longer one is cut first.

    Args:
        lengths: int64 `[sequences, 2]`.
        room: tokens for both together.

    Returns:
        int64 `[sequences, 2]`. Where both must be cut the second keeps the odd token, or the
        first where it was the longer.
    """
    shorter = lengths.min(axis=1)
    rest = np.where(shorter > room, shorter, np.maximum(shorter, room - shorter))
    is_both = shorter + rest > room
    low = np.where(is_both, room // 2, shorter)
    high = np.where(is_both, room // 2 + room % 2, rest)
    is_swapped = lengths[:, 0] > lengths[:, 1]
    cut = np.where(is_swapped[:, None], np.stack([high, low], 1), np.stack([low, high], 1))
    return np.where(lengths.sum(axis=1, keepdims=True) <= room, lengths, np.minimum(cut, lengths))
