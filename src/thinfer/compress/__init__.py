"""Level 3: make a classifier smaller, step by step; each step gives a new state and a report."""

from thinfer.compress.costs import BlockCosts, count_costs
from thinfer.compress.distill import DistillSettings, distill
from thinfer.compress.embedding import prune_positions, prune_vocabulary
from thinfer.compress.ladder import Ladder, Ladders
from thinfer.compress.layers import choose_layers
from thinfer.compress.prune import (
    Pruner,
    PruneSettings,
    PruneTarget,
    build_ladders,
    prune_to,
)
from thinfer.compress.select import choose_widths
from thinfer.compress.state import State
from thinfer.compress.step import StepReport

__all__ = [
    "BlockCosts",
    "DistillSettings",
    "Ladder",
    "Ladders",
    "PruneSettings",
    "PruneTarget",
    "Pruner",
    "State",
    "StepReport",
    "build_ladders",
    "choose_layers",
    "choose_widths",
    "count_costs",
    "distill",
    "prune_positions",
    "prune_to",
    "prune_vocabulary",
]
