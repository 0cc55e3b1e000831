"""Small gates for tests: fitted on few texts, without a model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from thinfer.bundle.gate import SEEN_BITS, Gate, GateFacts
from thinfer.text.ngrams import hash_ngrams


def make_gate(
    known: Sequence[str],
    *,
    answer: str = "normal",
    labels: tuple[str, ...] = ("normal", "spam", "abuse"),
    widths: tuple[int, ...] = (1, 2),
    buckets: int = 1 << 10,
) -> Gate:
    """A gate that knows the n-grams of some texts and answers one label to all of them."""
    bits = np.zeros(SEEN_BITS, dtype=np.uint8)
    for text in known:
        bits[hash_ngrams(text, widths) & np.uint32(SEEN_BITS - 1)] = 1
    bias = np.zeros(len(labels), dtype=np.float32)
    bias[labels.index(answer)] = 8.0
    return Gate(
        facts=GateFacts(labels=labels, widths=widths, known=widths, model="b" * 64),
        weights=np.zeros((buckets, len(labels)), dtype=np.float32),
        bias=bias,
        seen=np.packbits(bits, bitorder="little"),
    )
