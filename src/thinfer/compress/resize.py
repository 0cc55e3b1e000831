"""Cut a state and give the heads that stay the sizes that were chosen."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from thinfer.architecture import Architecture, PruningMask
from thinfer.compress.headsize import HeadOption, SizedHeads, resize_attention
from thinfer.compress.state import State, Weights
from thinfer.compress.step import StepReport
from thinfer.compress.surgery import cut_architecture, cut_weights

__all__ = ["cut_sized", "resize_layer", "sized_architecture"]


def cut_sized(
    state: State,
    mask: PruningMask,
    sized: Sequence[SizedHeads],
    options: Mapping[int, HeadOption],
) -> State:
    """Give the state without what the mask removes, with smaller heads where an option says so.

    Args:
        state: the state before.
        mask: what stays; must fit.
        sized: what was measured of each layer.
        options: by layer that stays; the others keep the sizes of their heads.

    Returns:
        The smaller state. Each resized block's projection is fitted on the whole block's inputs;
        nothing else is refitted.
    """
    before = state.architecture
    weights = cut_weights(state.weights, before, mask)
    kept = [index for index, stays in enumerate(mask.layers) if stays]
    for new, old in enumerate(kept):
        if old in options:
            weights.update(
                resize_layer(state, old, sized[old], options[old], mask, name=f"layers.{new}")
            )
    places = {new: options[old] for new, old in enumerate(kept) if old in options}
    architecture = sized_architecture(cut_architecture(before, mask), places)
    details = {
        "layers": [[layer.heads, layer.ffn] for layer in architecture.layers],
        "head_sizes": [[layer.qk_size, layer.value_size] for layer in architecture.layers],
    }
    report = StepReport(step="cut", outcome="applied", details=details)
    return state.replace(report, weights=weights, architecture=architecture)


def resize_layer(
    state: State,
    layer: int,
    sized: SizedHeads,
    option: HeadOption,
    mask: PruningMask,
    *,
    name: str,
) -> Weights:
    """Give the attention weights of one layer with smaller heads.

    Args:
        state: the state before.
        layer: index of the layer in it.
        sized: what was measured of the layer.
        option: the heads it gets.
        mask: which heads stay.
        name: prefix of the layer's weights afterwards.
    """
    prefix = f"layers.{layer}.attention."
    part = {
        each.removeprefix(prefix): array
        for each, array in state.weights.items()
        if each.startswith(prefix)
    }
    shape = state.architecture.layers[layer]
    small = resize_attention(part, shape, sized, option, mask.heads[layer])
    return {f"{name}.attention.{each}": array for each, array in small.items()}


def sized_architecture(
    architecture: Architecture, options: Mapping[int, HeadOption]
) -> Architecture:
    """Give the shape whose layers have the head sizes of some options.

    Args:
        architecture: the shape with its heads cut already.
        options: by layer of that shape.
    """
    layers = tuple(
        dataclasses.replace(
            layer, qk_size=options[index].qk_size, value_size=options[index].value_size
        )
        if index in options
        else layer
        for index, layer in enumerate(architecture.layers)
    )
    return dataclasses.replace(architecture, layers=layers)
