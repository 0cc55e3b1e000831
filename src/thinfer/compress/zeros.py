"""Zeros inside the encoder's matrices: where they stand, how many, and how they stay.

Once a step `sparsify` stands in a state's history, every weight of the encoder's matrices that is
exactly 0 is meant to stay so. The zeros themselves are the mask: nothing else has to be stored,
and a state that was written to disk and read again has the same one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from thinfer.compress.state import State, Weights
from thinfer.nn.encoder import EncoderClassifier
from thinfer.nn.loss import Constraint

__all__ = ["KINDS", "count_zeros", "find_mask", "hold_zeros", "is_sparse", "list_matrices"]

KINDS = ("query", "key", "value", "output", "up", "down")
_NAME = re.compile(rf"layers\.(\d+)\.(attention|ffn)\.({'|'.join(KINDS)})\.weight")


def list_matrices(weights: Weights) -> dict[str, str]:
    """Give the matrices that may be sparse: canonical name → kind, in the order of the layers.

    Args:
        weights: canonical name → float32 array.

    Returns:
        Names of query, key, value, output, up and down of every layer that has them. Embeddings,
        norms, biases, pooler and head are never sparse.
    """
    found = [(name, match) for name in weights if (match := _NAME.fullmatch(name))]
    found.sort(key=lambda pair: (int(pair[1][1]), KINDS.index(pair[1][3])))
    return {name: match[3] for name, match in found}


def is_sparse(state: State) -> bool:
    """Say whether a step made matrices of this state sparse."""
    return any(step.step == "sparsify" and step.outcome != "refused" for step in state.history)


def find_mask(state: State) -> dict[str, NDArray[np.bool_]]:
    """Give what stays of each matrix: name → bool `[out, in]`; nothing where none is sparse."""
    if not is_sparse(state):
        return {}
    return {name: state.weights[name] != 0.0 for name in list_matrices(state.weights)}


def hold_zeros(state: State) -> Constraint | None:
    """Give what keeps a sparse state's zeros through a training; None where it is dense.

    Args:
        state: where the training starts.
    """
    mask = {name: torch.from_numpy(stays) for name, stays in find_mask(state).items()}
    if not mask:
        return None

    def apply(model: EncoderClassifier, done: float) -> None:
        del done
        for name, stays in mask.items():
            weight = model.get_parameter(name)
            if stays.device != weight.device:
                mask[name] = stays = stays.to(weight.device)
            with torch.no_grad():
                # Not a product: −0 · 0 and a weight that became infinite would not give 0.
                weight.masked_fill_(~stays, 0.0)

    return Constraint(apply=apply)


def count_zeros(weights: Weights) -> Mapping[str, Any]:
    """Count the zeros of the encoder's matrices.

    Args:
        weights: canonical name → float32 array.

    Returns:
        JSON-ready `zeros`, `weights`, `share` (0 … 1) of all matrices, and under `kinds` the share
        of each kind of matrix that the model has.
    """
    zeros, sizes = dict.fromkeys(KINDS, 0), dict.fromkeys(KINDS, 0)
    for name, kind in list_matrices(weights).items():
        zeros[kind] += int(np.count_nonzero(weights[name] == 0.0))
        sizes[kind] += weights[name].size
    total, size = sum(zeros.values()), sum(sizes.values())
    return {
        "zeros": total,
        "weights": size,
        "share": total / size if size else 0.0,
        "kinds": {kind: zeros[kind] / sizes[kind] for kind in KINDS if sizes[kind]},
    }
