"""`Encoding`: what a tokenizer gives: packed token ids, and what happened on the way."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thinfer.text.batch import Batch
from thinfer.text.long_text import LongText

__all__ = ["Encoding", "sum_windows"]

Ids = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Encoding:
    """Token ids of texts and what happened on the way.

    Attributes:
        batch: packed ids, specials included; a sequence a text, or several where it is read in
            windows.
        truncated: bool `[texts]`, whether tokens were cut off.
        unknown: int64 `[texts]`, unknown tokens among those kept.
        totals: int64 `[texts]`, tokens of the whole text, specials included.
        windows: int64 `[texts]`, sequences of each text.
        long_text: what was done with texts that are too long.
    """

    batch: Batch
    truncated: NDArray[np.bool_]
    unknown: Ids
    totals: Ids
    windows: Ids
    long_text: LongText

    @property
    def tokens(self) -> Ids:
        """Tokens to run for each text, specials and overlaps included, int64 `[texts]`."""
        return sum_windows(self.batch.lengths, self.windows)


def sum_windows(values: Ids, windows: Ids) -> Ids:
    """Add up what belongs to one text.

    Args:
        values: int64 `[sequences]`.
        windows: int64 `[texts]`, sequences of each text, at least 1.

    Returns:
        int64 `[texts]`.
    """
    if len(values) == len(windows):
        return values
    sums = np.concatenate([[0], np.cumsum(values, dtype=np.int64)])
    totals: Ids = np.diff(sums[np.concatenate([[0], np.cumsum(windows)])])
    return totals
