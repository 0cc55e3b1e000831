"""`Gate`: a linear model on hashed n-grams that may answer before the model, and knows its bounds.

It stands in one safetensors file. A text with an n-gram that no training text had gets no answer:
what is new is what a model with a few hundred thousand counters cannot judge.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from thinfer.core.codec import from_json, to_json
from thinfer.core.digest import sha256_bytes
from thinfer.core.files import write_atomic
from thinfer.errors import DataError, at
from thinfer.text.ngrams import hash_ngrams

__all__ = ["Gate", "GateFacts", "find_features"]

SEEN_BITS = 1 << 22  # a filter with one hash; 200,000 n-grams in it let one new one in 20 pass
_MOST_BYTES = 1 << 28
_FACTS = "thinfer"


@dataclass(frozen=True, slots=True, kw_only=True)
class GateFacts:
    """What a gate says of itself.

    Attributes:
        labels: name of each class, in the order of the logits.
        widths: characters of the n-grams that count.
        known: characters of the n-grams that must all have been seen.
        model: content digest of the bundle that it learned from.
    """

    KIND: ClassVar[str] = "thinfer.gate"
    VERSION: ClassVar[int] = 1

    labels: tuple[str, ...]
    widths: tuple[int, ...]
    known: tuple[int, ...]
    model: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Gate:
    """A linear model and the n-grams that it has seen.

    Attributes:
        facts: labels, widths and origin.
        weights: float32 `[buckets, classes]`; buckets are a power of two.
        bias: float32 `[classes]`.
        seen: uint8 `[SEEN_BITS / 8]`, a bit for each n-gram of the training texts that is asked
            for by `known`.
    """

    facts: GateFacts
    weights: NDArray[np.float32]
    bias: NDArray[np.float32]
    seen: NDArray[np.uint8]

    def __post_init__(self) -> None:
        buckets, classes = self.weights.shape if self.weights.ndim == 2 else (0, 0)
        good = buckets > 0 and buckets & (buckets - 1) == 0 and self.bias.shape == (classes,)
        good &= classes == len(self.facts.labels) > 1 and self.seen.shape == (SEEN_BITS // 8,)
        good &= min(self.facts.widths, default=0) > 0 and min(self.facts.known, default=0) > 0
        good &= bool(np.isfinite(self.weights).all() and np.isfinite(self.bias).all())
        if not good:
            what = "the gate contradicts itself"
            expected = "finite weights [2^n, classes], a bias and a label for each class"
            raise DataError(what, expected=expected, got=f"{self.weights.shape}")

    @property
    def labels(self) -> tuple[str, ...]:
        """Name of each class, in the order of the logits."""
        return self.facts.labels

    def logits(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Compute the logits of texts.

        Args:
            texts: any number of texts.

        Returns:
            float32 `[texts, classes]`; NaN for a text that is empty or has an unseen n-gram.
        """
        rows = np.full((len(texts), len(self.labels)), np.nan, dtype=np.float32)
        for row, text in enumerate(texts):
            hashes = hash_ngrams(text, self.facts.widths)
            if len(hashes) and self._has_seen(hash_ngrams(text, self.facts.known)):
                places, values = find_features(hashes, len(self.weights))
                rows[row] = values @ self.weights[places] + self.bias
        return rows

    def _has_seen(self, hashes: NDArray[np.uint32]) -> bool:
        bits = hashes & np.uint32(SEEN_BITS - 1)
        return bool((self.seen[bits >> np.uint32(3)] >> (bits & np.uint32(7)) & 1).all())

    def encode(self) -> bytes:
        """Give the bytes of the file."""
        tensors: dict[str, NDArray[Any]] = {
            "weights": self.weights,
            "bias": self.bias,
            "seen": self.seen,
        }
        facts = json.dumps(to_json(self.facts), ensure_ascii=False, sort_keys=True)
        return save(tensors, metadata={_FACTS: facts})

    def write(self, path: Path) -> str:
        """Write the file, whole or not at all.

        Args:
            path: the file; its folder is made.

        Returns:
            SHA-256 of its bytes.
        """
        raw = self.encode()
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, raw)
        return sha256_bytes(raw)

    @classmethod
    def read(cls, path: Path) -> tuple[Gate, str]:
        """Read a file.

        Args:
            path: the file.

        Returns:
            The gate, and the SHA-256 of the bytes.

        Raises:
            DataError: the file is absent, too large, no gate, or contradicts itself.
        """
        with at(file=path):
            try:
                with path.open("rb") as stream:
                    raw = stream.read(_MOST_BYTES + 1)
                tensors = load(raw)
                size = int.from_bytes(raw[:8], "little")
                facts = json.loads(json.loads(raw[8 : 8 + size])["__metadata__"][_FACTS])
                parts = {name: tensors[name] for name in ("weights", "bias", "seen")}
            except (OSError, SafetensorError, ValueError, KeyError, RecursionError) as error:
                what = "the gate cannot be read"
                do = "make one with `thinfer fit-gate`"
                raise DataError(what, got=type(error).__name__, do=do) from error
            kinds = {name: str(part.dtype) for name, part in parts.items()}
            wanted = {"weights": "float32", "bias": "float32", "seen": "uint8"}
            if kinds != wanted:
                what = "the gate cannot be read"
                raise DataError(what, expected=str(wanted), got=str(kinds))
            return cls(facts=from_json(GateFacts, facts), **parts), sha256_bytes(raw)


def find_features(
    hashes: NDArray[np.uint32], buckets: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Give the buckets of a text and their values, counts of unit length.

    Args:
        hashes: uint32 `[n-grams]`, at least one.
        buckets: how many there are, a power of two.

    Returns:
        int64 `[used]`, rising, and float32 `[used]`.
    """
    places, counts = np.unique(hashes.astype(np.int64) & (buckets - 1), return_counts=True)
    values = counts / np.sqrt(np.square(counts, dtype=np.float64).sum())
    return places, values.astype(np.float32)
