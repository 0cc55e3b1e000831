"""Cut the weights to what a mask keeps: heads, FFN neurons and whole layers."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from thinfer.architecture import Architecture, PruningMask
from thinfer.compress.state import State, Weights
from thinfer.compress.step import StepReport

__all__ = ["cut", "cut_architecture", "cut_weights"]


def cut(state: State, mask: PruningMask) -> State:
    """Give the state without what the mask removes; nothing is refitted.

    Args:
        state: the state before.
        mask: what stays.

    Returns:
        A smaller state that gives the logits of the old model under the mask.
    """
    architecture = cut_architecture(state.architecture, mask)
    details = {"layers": [[layer.heads, layer.ffn] for layer in architecture.layers]}
    report = StepReport(step="cut", outcome="applied", details=details)
    weights = cut_weights(state.weights, state.architecture, mask)
    return state.replace(report, weights=weights, architecture=architecture)


def cut_architecture(architecture: Architecture, mask: PruningMask) -> Architecture:
    """Give the shape that stays.

    Args:
        architecture: the shape before.
        mask: what stays; must fit.
    """
    mask.check_fits(architecture)
    layers = tuple(
        dataclasses.replace(layer, heads=int(heads.sum()), ffn=int(neurons.sum()))
        for layer, heads, neurons, stays in zip(
            architecture.layers, mask.heads, mask.neurons, mask.layers, strict=True
        )
        if stays
    )
    return dataclasses.replace(architecture, layers=layers)


def cut_weights(
    weights: Weights, architecture: Architecture, mask: PruningMask
) -> dict[str, NDArray[np.float32]]:
    """Give the weights that stay, under the names of the new layer numbers.

    Args:
        weights: canonical name → float32 array.
        architecture: the shape of `weights`.
        mask: what stays; must fit.
    """
    mask.check_fits(architecture)
    result = {name: array for name, array in weights.items() if not name.startswith("layers.")}
    kept = [index for index, stays in enumerate(mask.layers) if stays]
    for new, old in enumerate(kept):
        prefix = f"layers.{old}."
        part = {
            name.removeprefix(prefix): array
            for name, array in weights.items()
            if name.startswith(prefix)
        }
        shape = architecture.layers[old]
        _cut_heads(part, mask.heads[old], shape.qk_size, shape.value_size)
        _cut_neurons(part, mask.neurons[old])
        result.update({f"layers.{new}.{name}": array for name, array in part.items()})
    return result


def _cut_heads(
    part: dict[str, NDArray[np.float32]], heads: NDArray[np.bool_], qk_size: int, value_size: int
) -> None:
    if heads.all():
        return
    if not heads.any():
        # Only the output's bias stays: the block then adds a constant.
        for name in [name for name in part if name.startswith("attention.")]:
            if not name.startswith("attention.norm.") and name != "attention.output.bias":
                del part[name]
        return
    for name, size in (("query", qk_size), ("key", qk_size), ("value", value_size)):
        rows = np.repeat(heads, size)
        part[f"attention.{name}.weight"] = part[f"attention.{name}.weight"][rows]
        part[f"attention.{name}.bias"] = part[f"attention.{name}.bias"][rows]
    columns = np.repeat(heads, value_size)
    part["attention.output.weight"] = part["attention.output.weight"][:, columns]


def _cut_neurons(part: dict[str, NDArray[np.float32]], neurons: NDArray[np.bool_]) -> None:
    if neurons.all():
        return
    if not neurons.any():
        for name in ("ffn.up.weight", "ffn.up.bias", "ffn.down.weight"):
            del part[name]
        return
    part["ffn.up.weight"] = part["ffn.up.weight"][neurons]
    part["ffn.up.bias"] = part["ffn.up.bias"][neurons]
    part["ffn.down.weight"] = part["ffn.down.weight"][:, neurons]
