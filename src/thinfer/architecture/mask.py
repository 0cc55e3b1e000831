"""`PruningMask`: which heads, FFN neurons and token rows stay.

Law (tests/law): the model under the mask gives the logits of the sliced model.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thinfer.architecture.shape import Architecture
from thinfer.errors import DataError

__all__ = ["PruningMask"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PruningMask:
    """What stays of each layer; True stays.

    Attributes:
        heads: per layer, bool `[heads]`.
        neurons: per layer, bool `[ffn]`.
        layers: per layer; False removes the whole layer, layer norms included.
    """

    heads: tuple[NDArray[np.bool_], ...]
    neurons: tuple[NDArray[np.bool_], ...]
    layers: tuple[bool, ...]

    @classmethod
    def keep_all(cls, architecture: Architecture) -> PruningMask:
        """Give the mask that removes nothing."""
        return cls(
            heads=tuple(np.ones(layer.heads, dtype=np.bool_) for layer in architecture.layers),
            neurons=tuple(np.ones(layer.ffn, dtype=np.bool_) for layer in architecture.layers),
            layers=(True,) * len(architecture.layers),
        )

    def check_fits(self, architecture: Architecture) -> None:
        """Check that every part has the width of the architecture.

        Raises:
            DataError: a part is missing or has another width.
        """
        expected = [(layer.heads, layer.ffn) for layer in architecture.layers]
        got = [
            (len(heads), len(neurons))
            for heads, neurons in zip(self.heads, self.neurons, strict=False)
        ]
        depths = {len(self.heads), len(self.neurons), len(self.layers), len(expected)}
        if got != expected or len(depths) > 1:
            what = "the pruning mask does not fit the architecture"
            raise DataError(what, expected=f"(heads, ffn) {expected}", got=str(got))
