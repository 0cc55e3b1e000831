"""A `Ladder`: for one block, which structures to keep at each width, and what that loses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from thinfer.architecture import Architecture
from thinfer.compress.headsize import SizedHeads
from thinfer.errors import DataError

__all__ = ["BlockMoments", "Ladder", "Ladders", "offer_widths"]

Kind = Literal["heads", "neurons"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ladder:
    """The widths on offer for one block.

    Attributes:
        layer: index of the layer.
        kind: `heads` (the attention block) or `neurons` (the FFN block).
        order: structures in the order of removal, int64 `[structures]`.
        widths: structures kept, int64 `[options]`, rising from 0 to all.
        errors: predicted loss at each width, float64 `[options]`, falling to 0. One unit for all
            blocks, so that losses of several blocks may be added.
        damping: damping used, as a part of the mean diagonal.
        is_degraded: the asked damping failed and a stronger one was used.
    """

    layer: int
    kind: Kind
    order: NDArray[np.int64]
    widths: NDArray[np.int64]
    errors: NDArray[np.float64]
    damping: float
    is_degraded: bool = False

    def __post_init__(self) -> None:
        good = (
            len(self.widths) == len(self.errors) > 0
            and int(self.widths[-1]) == len(self.order)
            and bool(np.all(np.diff(self.widths) > 0))
            and bool(np.all(np.diff(self.errors) <= 0))
        )
        if not good:
            what = f"the ladder of layer {self.layer} ({self.kind}) does not fit together"
            expected = "widths that rise to all structures, with errors that fall"
            raise DataError(what, expected=expected, got=f"{self.widths}, {self.errors}")

    def keep(self, width: int) -> NDArray[np.bool_]:
        """Give which structures stay at a width, bool `[structures]`.

        Args:
            width: structures to keep, 0 … all; need not be one on offer.

        Raises:
            DataError: the width is negative or above all.
        """
        count = len(self.order)
        if not 0 <= width <= count:
            what = f"no such width in layer {self.layer} ({self.kind})"
            raise DataError(what, expected=f"0 … {count}", got=str(width))
        stays = np.zeros(count, dtype=np.bool_)
        stays[self.order[count - width :]] = True
        return stays


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BlockMoments:
    """What a repair of one block needs; kept in single precision, one matrix a block.

    Attributes:
        matrix: damped covariance of what enters the projection, float32 `[n, n]`.
        mean: its mean, float64 `[n]`.
    """

    matrix: NDArray[np.float32]
    mean: NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ladders:
    """The ladders of a model, and how much each token counts in its repair.

    Attributes:
        architecture: the shape that the ladders were built on.
        heads: one ladder per layer.
        neurons: one ladder per layer.
        token_weights: how much each calibration token counts at the end of each block, float32
            `[2 * layers, tokens]`: attention of layer 0, FFN of layer 0, attention of layer 1 …;
            mean 1 in each row. Tokens in the order of `rows`.
        rows: texts of the calibration batch that were used, int64 `[texts]`.
        moments: per block in the order of the forward pass; none where they were not kept.
        sized: options of smaller heads, one per layer; none where they were not measured.
    """

    architecture: Architecture
    heads: tuple[Ladder, ...]
    neurons: tuple[Ladder, ...]
    token_weights: NDArray[np.float32]
    rows: NDArray[np.int64]
    moments: tuple[BlockMoments, ...] = ()
    sized: tuple[SizedHeads, ...] = ()

    @property
    def blocks(self) -> tuple[Ladder, ...]:
        """All ladders in the order of the forward pass: heads, neurons, heads, …."""
        pairs = zip(self.heads, self.neurons, strict=True)
        return tuple(ladder for pair in pairs for ladder in pair)

    @property
    def degradations(self) -> tuple[str, ...]:
        """One sentence for each block whose moments needed more damping than asked."""
        return tuple(
            f"layer {ladder.layer} {ladder.kind}: damping raised to {ladder.damping:g}"
            for ladder in self.blocks
            if ladder.is_degraded
        )


def offer_widths(count: int, step: int) -> NDArray[np.int64]:
    """Give the widths on offer: the multiples of `step` from 0, and all.

    Args:
        count: structures of the block.
        step: distance of two widths, ≥ 1.
    """
    return np.unique(np.append(np.arange(0, count + 1, max(1, step)), count)).astype(np.int64)
