"""Parity: how far an exported model's logits lie from those of its own torch form."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thinfer.errors import EngineError
from thinfer.quality.answers import encode_answers

__all__ = ["Parity", "compare_logits", "require_parity"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parity:
    """The distance between two sets of logits.

    Attributes:
        max_abs: largest absolute difference of a logit; NaN where a logit is not finite.
        label_flips: rows whose answer differs.
        rows: rows compared.
    """

    max_abs: float
    label_flips: tuple[int, ...]
    rows: int

    @property
    def agreement(self) -> float:
        """The share of rows with the same answer, 0 … 1."""
        return 1.0 - len(self.label_flips) / self.rows if self.rows else 1.0


def compare_logits(
    reference: NDArray[np.float32], got: NDArray[np.float32], *, is_multi_label: bool = False
) -> Parity:
    """Compare logits row by row.

    Args:
        reference: float32 `[sequences, classes]`.
        got: float32 `[sequences, classes]`.
        is_multi_label: an answer is the set of labels with a logit ≥ 0.

    Returns:
        The distance and the rows whose answer differs.

    Raises:
        EngineError: the shapes differ.
    """
    if reference.shape != got.shape:
        what = "the engine gave logits of another shape"
        raise EngineError(what, expected=str(reference.shape), got=str(got.shape))
    if reference.size == 0:
        return Parity(max_abs=0.0, label_flips=(), rows=0)
    wanted, given = (
        encode_answers(each, is_multi_label=is_multi_label) for each in (reference, got)
    )
    flips = np.flatnonzero(wanted != given)
    distance = float(np.abs(reference - got).max()) if np.isfinite(got).all() else float("nan")
    return Parity(max_abs=distance, label_flips=tuple(map(int, flips)), rows=len(reference))


def require_parity(parity: Parity, *, bound: float, min_agreement: float, name: str) -> None:
    """Refuse an exported model that is not the model it was made from.

    Args:
        parity: the measured distance.
        bound: largest accepted difference of a logit.
        min_agreement: smallest accepted share of equal labels, 0 … 1.
        name: the engine, for the message.

    Raises:
        EngineError: the distance is over the bound, not finite, or too many labels differ.
    """
    if not parity.max_abs <= bound or parity.agreement < min_agreement:
        what = f"'{name}' does not give the logits of its own torch form"
        raise EngineError(
            what,
            expected=f"max |Δ| ≤ {bound:g} and agreement ≥ {min_agreement:.2%}",
            got=f"max |Δ| {parity.max_abs:g}, agreement {parity.agreement:.2%}",
            do="choose another engine or precision on this machine",
        )
