"""Level 1: the shape of a model (a width per layer), what of it stays, and what it costs."""

from thinfer.architecture.cost import Cost, count_cost
from thinfer.architecture.mask import PruningMask
from thinfer.architecture.shape import Architecture, LayerShape

__all__ = ["Architecture", "Cost", "LayerShape", "PruningMask", "count_cost"]
