"""`Reference`: the residual sums of the original on calibration text, block after block."""

from __future__ import annotations

import torch

from thinfer.compress.state import State
from thinfer.compress.walk import Packed, embed, list_blocks

__all__ = ["Reference"]

_MOST_KEPT = 3 << 30  # bytes


class Reference:
    """The residual sums that a cut model is refitted to, worked out as they are asked for.

    Repairs against one original walk it over the same texts each time. Kept, its sums take
    `blocks * tokens * hidden` floats (2.4 GB for 12 layers of 768 and 32,768 tokens) and are there
    for the next repair; more than 3 GiB are never kept.

    Args:
        state: the original.
        packed: the texts.
        is_kept: keep what was worked out for another walk.
    """

    def __init__(self, state: State, packed: Packed, *, is_kept: bool = False) -> None:
        self.module = state.module()
        self.blocks = list_blocks(self.module)
        size = 4 * len(self.blocks) * len(packed.ids) * state.architecture.hidden
        self._packed = packed
        self._is_kept = is_kept and size <= _MOST_KEPT
        self._kept: dict[int, torch.Tensor] = {}
        self._ahead = 0  # the block that comes next
        self._states: torch.Tensor | None = None  # what enters it

    def residual(self, index: int) -> torch.Tensor:
        """Give the residual sum after a block, before its norm.

        Args:
            index: of the block: 0, 1, … are the attention and the FFN of the first layer.

        Returns:
            float32 `[tokens, hidden]`; not to be written to.
        """
        if index in self._kept:
            return self._kept[index]
        with torch.no_grad():
            if self._states is None or index < self._ahead:
                self._ahead, self._states = 0, embed(self.module, self._packed)
            states = self._states
            while True:
                block = self.blocks[self._ahead]
                residual = states + block.project(block.read(states, self._packed))
                states = block.norm(residual)
                if self._is_kept:
                    self._kept[self._ahead] = residual
                self._ahead += 1
                if self._ahead > index:
                    break
        self._states = states
        return residual

    def last(self) -> torch.Tensor:
        """Give the states after the last block, float32 `[tokens, hidden]`."""
        with torch.no_grad():
            last: torch.Tensor = self.blocks[-1].norm(self.residual(len(self.blocks) - 1))
        return last
