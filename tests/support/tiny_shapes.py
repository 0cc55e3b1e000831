"""Tiny shapes and batches of random ids for the encoder's tests."""

from collections.abc import Sequence

import numpy as np

from thinfer.architecture import Architecture, LayerShape
from thinfer.text.batch import Batch

VOCAB = 30


def make_shape(
    *layers: tuple[int, int], position_offset: int = 0, classes: int = 3
) -> Architecture:
    """A shape with hidden 12; each layer is (heads of size 4, neurons)."""
    return Architecture(
        hidden=12,
        layers=tuple(LayerShape(heads=h, qk_size=4, value_size=4, ffn=n) for h, n in layers),
        vocab=VOCAB,
        positions=16 + position_offset,
        position_offset=position_offset,
        type_rows=2,
        task_rows=3,
        classes=classes,
    )


def draw_batch(lengths: Sequence[int], seed: int = 0) -> Batch:
    """Sequences of these lengths with random ids and type ids."""
    rng = np.random.default_rng(seed)
    ids = [rng.integers(1, VOCAB, length).tolist() for length in lengths]
    return Batch.from_sequences(ids, [rng.integers(0, 2, length).tolist() for length in lengths])
