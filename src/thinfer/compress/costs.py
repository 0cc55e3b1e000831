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
    """

    heads: tuple[NDArray[np.float64], ...]
    neurons: tuple[NDArray[np.float64], ...]


def count_costs(ladders: Ladders, *, length: int) -> BlockCosts:
    """Give the cost table in multiply-accumulates of one text.

    Args:
        ladders: whose widths to cost.
        length: tokens of a typical text, specials included.
    """
    shape = ladders.architecture
    heads, neurons = [], []
    for layer, attention, ffn in zip(shape.layers, ladders.heads, ladders.neurons, strict=True):
        head_options = [_sized(layer, int(width), 0) for width in attention.widths]
        neuron_options = [_sized(layer, 0, int(width)) for width in ffn.widths]
        heads.append(_count_each(shape, length, head_options))
        neurons.append(_count_each(shape, length, neuron_options))
    return BlockCosts(heads=tuple(heads), neurons=tuple(neurons))


def _sized(layer: LayerShape, heads: int, ffn: int) -> LayerShape:
    return dataclasses.replace(layer, heads=heads, ffn=ffn)


def _count_each(
    architecture: Architecture, length: int, layers: list[LayerShape]
) -> NDArray[np.float64]:
    def count(parts: tuple[LayerShape, ...]) -> int:
        return count_cost(dataclasses.replace(architecture, layers=parts), length=length).macs

    without = count(())
    return np.array([count((layer,)) - without for layer in layers], dtype=np.float64)
