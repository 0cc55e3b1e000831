"""What PaddleSlim 2.6.0 needs before its DynaBERT runs with Paddle 2.6.2.

The arithmetic stays the library's; the repair answers the error that `compress.py` records first.
"""

from __future__ import annotations

import paddle
from paddleslim.nas.ofa import layers

__all__ = ["REPAIRS", "repair"]

REPAIRS = (
    "SuperLayerNorm.forward calls paddle.nn.functional.layer_norm; as published it unpacks three "
    "outputs of an operator that now has one",
)


def repair() -> None:
    """Put the repaired pieces where the library looks for them, in this process."""
    layers.SuperLayerNorm.forward = _normalise


def _normalise(self: layers.SuperLayerNorm, inputs: paddle.Tensor) -> paddle.Tensor:
    """Normalise the last axis with as many weights as it is wide."""
    width = int(inputs.shape[-1])
    self.cur_config = {"prune_dim": width}
    return paddle.nn.functional.layer_norm(
        inputs,
        [width],
        weight=self.weight[:width],
        bias=self.bias[:width],
        epsilon=self._epsilon,
    )
