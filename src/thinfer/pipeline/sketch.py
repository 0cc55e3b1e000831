"""`Sketcher`: a first look at a shape, from blocks repaired one by one; no pass over any text."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from thinfer.architecture import PruningMask
from thinfer.compress.calibrate import sample_rows
from thinfer.compress.costs import BlockCosts
from thinfer.compress.ladder import Ladders
from thinfer.compress.prune import PruneTarget, prune_to
from thinfer.compress.state import State
from thinfer.compress.step import StepReport
from thinfer.compress.stitch import Stitcher
from thinfer.compress.surgery import cut
from thinfer.compress.walk import pack
from thinfer.text.batch import Batch

__all__ = ["Sketcher"]

_TOKENS = 512  # the stitcher's own judges are not asked here


@dataclass(slots=True, kw_only=True, eq=False)
class Sketcher:
    """Stitches states together; a block's repair at a width is computed once.

    Attributes:
        state: the dense state.
        ladders: of that state, with moments.
        costs: price of each option.
        calibration: the batch that the ladders were built on.
        rng: draws the stitcher's texts.
    """

    state: State
    ladders: Ladders
    costs: BlockCosts
    calibration: Batch
    rng: np.random.Generator
    _stitcher: Stitcher | None = field(default=None, init=False)

    def sketch(self, budget: float, drop_layers: tuple[int, ...]) -> State:
        """Give the state of the least sum of losses within a budget.

        Args:
            budget: most cost of the blocks that stay, in the unit of `costs`.
            drop_layers: layers left out whole.
        """
        target = PruneTarget(budget=budget, drop_layers=drop_layers, is_refitted=False)
        plain, _ = prune_to(self.state, self.ladders, self.calibration, target, costs=self.costs)
        whole = self.state.architecture.layers
        stays = tuple(index not in drop_layers for index in range(len(whole)))
        narrow = iter(plain.architecture.layers)
        layers = [next(narrow) if kept else wide for kept, wide in zip(stays, whole, strict=True)]
        module = self._require_stitcher().stitch([n for x in layers for n in (x.heads, x.ffn)])
        report = StepReport(step="sketch", outcome="applied")
        stitched = self.state.replace(
            report, weights=module.weights(), architecture=module.architecture
        )
        return cut(stitched, replace(PruningMask.keep_all(module.architecture), layers=stays))

    def _require_stitcher(self) -> Stitcher:
        if self._stitcher is None:
            rows = sample_rows(self.calibration, _TOKENS, self.rng)
            self._stitcher = Stitcher(self.state, self.ladders, pack(self.calibration, rows))
        return self._stitcher
