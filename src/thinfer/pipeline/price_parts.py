"""Prices of blocks out of the times of small models: differences of whole models, made to rise."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from thinfer.architecture import LayerShape
from thinfer.core.optional import require
from thinfer.pipeline.latency import BlockTimes, SizeTimes

__all__ = ["DEPTH", "Key", "PriceParts", "split_prices", "split_sizes"]

DEPTH = 5  # layers of the deeper models: four equal ones and the last

Key = tuple[LayerShape, int]  # of each layer of a small model, and how many there are


class PriceParts:
    """The parts of `latency`'s sum, from the times of whole models.

    Args:
        seconds: of each model measured.
        empty: the layer whose blocks are empty.
    """

    def __init__(self, seconds: Mapping[Key, float], empty: LayerShape) -> None:
        self._seconds = seconds
        self._empty = empty
        self.base = seconds[empty, 1]
        self.layer = max(0.0, (seconds[empty, DEPTH] - self.base) / (DEPTH - 1))

    def last(self, **widths: int) -> float:
        """Give the seconds of the last layer's block of these widths."""
        return self._seconds[replace(self._empty, **widths), 1] - self.base

    def inner(self, **widths: int) -> float:
        """Give the seconds of another layer's block."""
        layer = replace(self._empty, **widths)
        whole = self._seconds[layer, DEPTH] - self._seconds[layer, 1]
        return whole / (DEPTH - 1) - self.layer


def split_prices(
    parts: PriceParts, head_widths: Sequence[int], neuron_widths: Sequence[int]
) -> BlockTimes:
    """Give the prices of blocks by width; they never fall where a block grows.

    Args:
        parts: of one workload, with a model of every width.
        head_widths: rising, from 0.
        neuron_widths: likewise.
    """
    return BlockTimes(
        base=parts.base,
        layer=parts.layer,
        heads=_rising([parts.inner(heads=width) for width in head_widths]),
        neurons=_rising([parts.inner(ffn=width) for width in neuron_widths]),
        last_heads=_rising([parts.last(heads=width) for width in head_widths]),
        last_neurons=_rising([parts.last(ffn=width) for width in neuron_widths]),
    )


def split_sizes(
    parts: PriceParts, sizes: Sequence[int], widths: Sequence[int]
) -> tuple[SizeTimes, ...]:
    """Give the prices of attention blocks with smaller heads.

    Args:
        parts: of one workload, with a model of every size and width.
        sizes: of queries and keys, or of values, alone.
        widths: numbers of heads, rising, from 0.
    """

    def price(measure: Callable[..., float], name: str, size: int) -> tuple[float, ...]:
        # No heads have no size, and were measured once.
        some = [measure(heads=width, **{name: size}) for width in widths[1:]]
        return _rising([measure(heads=0), *some])

    return tuple(
        SizeTimes(
            qk=price(parts.inner, "qk_size", size),
            values=price(parts.inner, "value_size", size),
            last_qk=price(parts.last, "qk_size", size),
            last_values=price(parts.last, "value_size", size),
        )
        for size in sizes
    )


def _rising(values: Sequence[float]) -> tuple[float, ...]:
    """Give the rising prices that lie nearest: noise must not make a wider block the cheaper one.

    Where it did, the mean of both stands for both; the higher one alone would make all blocks
    dearer than they are, the more so the noisier the host.
    """
    fit = require("scipy.optimize").isotonic_regression(np.maximum(values, 0.0))
    return tuple(fit.x.tolist())
