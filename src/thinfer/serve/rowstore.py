"""Rows of logits that are kept, by a digest of what was asked; no text is among them."""

from __future__ import annotations

import hashlib
import itertools
from collections import OrderedDict

from thinfer.text.batch import Batch

__all__ = ["RowStore", "make_keys"]

DIGEST_BYTES = 32
# What Python itself needs to keep one entry: the headers of two byte strings and a linked node.
ENTRY_BYTES = 250


class RowStore:
    """Rows of logits by key; the one that was not asked for longest goes first.

    Args:
        max_rows: at most, at least 1.
        max_bytes: keys, rows and the book-keeping for them, at most.
    """

    def __init__(self, *, max_rows: int, max_bytes: int) -> None:
        self._rows: OrderedDict[bytes, bytes] = OrderedDict()
        self._max_rows, self._max_bytes = max_rows, max_bytes
        self._size_bytes = 0

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def size_bytes(self) -> int:
        """What the entries take."""
        return self._size_bytes

    def get(self, key: bytes) -> bytes | None:
        """Give the row of a key, which is now the last to go; None where there is none."""
        row = self._rows.get(key)
        if row is not None:
            self._rows.move_to_end(key)
        return row

    def put(self, key: bytes, row: bytes) -> None:
        """Keep a row; old ones go until both limits hold."""
        old = self._rows.pop(key, None)
        if old is not None:
            self._size_bytes -= _size_of(key, old)
        self._rows[key] = row
        self._size_bytes += _size_of(key, row)
        while self._rows and (
            len(self._rows) > self._max_rows or self._size_bytes > self._max_bytes
        ):
            self._size_bytes -= _size_of(*self._rows.popitem(last=False))


def _size_of(key: bytes, row: bytes) -> int:
    return len(key) + len(row) + ENTRY_BYTES


def make_keys(number: int, batch: Batch) -> list[bytes]:
    """Give one digest a text.

    Args:
        number: of what gives the answers.
        batch: the texts; ids and type ids are equally long, so their border is known.
    """
    prefix, bounds = number.to_bytes(8, "little"), batch.offsets.tolist()
    return [
        hashlib.blake2b(
            prefix + batch.ids[start:stop].tobytes() + batch.type_ids[start:stop].tobytes(),
            digest_size=DIGEST_BYTES,
        ).digest()
        for start, stop in itertools.pairwise(bounds)
    ]
