"""From logits to answers as a model itself gives them: no thresholds, no offsets."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["encode_answers", "measure_micro_f1"]


def encode_answers(
    logits: NDArray[np.float32], *, is_multi_label: bool = False
) -> NDArray[np.int64]:
    """Give the code of each row's answer (see `LabelSet`).

    Args:
        logits: float32 `[..., classes]`.
        is_multi_label: a sigmoid for each label: the answer is the set of labels with a logit
            ≥ 0, as bits; else it is the class with the largest logit.

    Returns:
        int64 `[...]`. NaN is in no set.
    """
    if not is_multi_label:
        return np.asarray(logits.argmax(axis=-1), dtype=np.int64)
    bits = np.int64(1) << np.arange(logits.shape[-1], dtype=np.int64)
    return np.asarray(((logits >= 0) * bits).sum(axis=-1), dtype=np.int64)


def measure_micro_f1(answers: NDArray[np.int64], truth: NDArray[np.int64]) -> float:
    """Give the F1 of all labels of all rows taken together, 0 … 1.

    Args:
        answers: int64 `[rows]`, sets of labels as bits.
        truth: int64 `[rows]`, likewise.

    Returns:
        2·hits / (labels answered + labels true); 1 where nobody names any label.
    """
    hits = int(np.bitwise_count(answers & truth).sum())
    named = int(np.bitwise_count(answers).sum()) + int(np.bitwise_count(truth).sum())
    return 2 * hits / named if named else 1.0
