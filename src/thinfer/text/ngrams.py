"""Hashed n-grams of characters: numbers that stand for pieces of a text, without a vocabulary."""

from __future__ import annotations

from collections.abc import Sequence
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

__all__ = ["hash_ngrams"]


def hash_ngrams(text: str, widths: Sequence[int]) -> NDArray[np.uint32]:
    """Give a number for each n-gram of a text, as often as it occurs.

    Characters are taken as they are: what a normaliser would fold together (full-width forms,
    upper case) may be the very thing that sets a text apart.

    Args:
        text: any text.
        widths: characters of an n-gram, each 1 or more.

    Returns:
        uint32 `[n-grams]`, CRC-32 of the UTF-8 bytes; the same on every machine.
    """
    grams = (
        text[start : start + width] for width in widths for start in range(len(text) - width + 1)
    )
    hashes = [crc32(gram.encode("utf-8", "surrogatepass")) for gram in grams]
    return np.asarray(hashes, dtype=np.uint32)
