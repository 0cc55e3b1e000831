"""What each width of each block costs: measured and handed down, or counted here."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thinfer.architecture import Architecture, LayerShape, count_cost
from thinfer.compress.ladder import Ladders

__all__ = ["BlockCosts", "count_costs"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BlockCosts:
    """What each option of each ladder costs; seconds or MACs, all in one unit.

    Attributes:
        heads: per layer, float64 `[options]` for the widths of that layer's ladder.
        neurons: per layer, likewise.
        sized: per layer, of its options of smaller heads; none where the ladders have none.
    """

    heads: tuple[NDArray[np.float64], ...]
    neurons: tuple[NDArray[np.float64], ...]
    sized: tuple[NDArray[np.float64], ...] = ()


def count_costs(ladders: Ladders, *, length: int) -> BlockCosts:
    """Give the cost table in multiply-accumulates of one text.

    Args:
        ladders: whose widths to cost.
        length: tokens of a typical text, specials included.
    """
    shape = ladders.architecture
    heads, neurons, sized = [], [], []
    for index, layer in enumerate(shape.layers):
        # What follows is empty, and only says that this layer is not the last one.
        rest = (_sized(layer, 0, 0),) if index + 1 < len(shape.layers) else ()
        head_options = [_sized(layer, int(w), 0) for w in ladders.heads[index].widths]
        neuron_options = [_sized(layer, 0, int(w)) for w in ladders.neurons[index].widths]
        heads.append(_count_each(shape, length, head_options, rest))
        neurons.append(_count_each(shape, length, neuron_options, rest))
        if ladders.sized:
            smaller = [
                LayerShape(heads=o.heads, qk_size=o.qk_size, value_size=o.value_size, ffn=0)
                for o in ladders.sized[index].options
            ]
            sized.append(_count_each(shape, length, smaller, rest))
    return BlockCosts(heads=tuple(heads), neurons=tuple(neurons), sized=tuple(sized))


def _sized(layer: LayerShape, heads: int, ffn: int) -> LayerShape:
    return dataclasses.replace(layer, heads=heads, ffn=ffn)


def _count_each(
    architecture: Architecture,
    length: int,
    layers: list[LayerShape],
    rest: tuple[LayerShape, ...],
) -> NDArray[np.float64]:
    def count(parts: tuple[LayerShape, ...]) -> int:
        return count_cost(dataclasses.replace(architecture, layers=parts), length=length).macs

    without = count(())
    return np.array([count((layer, *rest)) - without for layer in layers], dtype=np.float64)
