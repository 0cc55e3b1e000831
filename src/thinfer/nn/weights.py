"""Weights under a family's names to our canonical ones, and back; nothing is lost in silence."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from thinfer.architecture import Architecture
from thinfer.errors import DataError
from thinfer.nn.families import Family, list_parameters

__all__ = ["add_fresh_head", "to_canonical", "to_foreign"]

Weights = dict[str, NDArray[np.float32]]

INITIAL_SCALE = 0.02  # standard deviation of fresh weights, as the whole BERT family uses
_SHOWN_NAMES = 6


def to_canonical(
    family: Family, tensors: Mapping[str, NDArray[np.float32]], *, layers: int, for_fit: bool
) -> tuple[Weights, tuple[str, ...]]:
    """Rename a checkpoint's tensors to our names.

    Args:
        family: whose names the tensors carry.
        tensors: float32 arrays under the family's names; linear weights as the family keeps them.
        layers: layers that the config declares.
        for_fit: a base model is welcome: head (and pooler) may be absent.

    Returns:
        Canonical name → float32, and the names that were left over and harmless.

    Raises:
        DataError: a name is missing, or left over without being known as harmless.
    """
    found = _modernise(family, tensors)
    names = list_parameters(
        family,
        layers,
        has_task=f"{family.prefix}embeddings.task_type_embeddings.weight" in found,
        has_type=f"{family.prefix}embeddings.token_type_embeddings.weight" in found,
    )
    optional = {"head.weight", "head.bias", "pooler.weight", "pooler.bias"} if for_fit else set()
    missing = [theirs for ours, theirs in names.items() if theirs not in found]
    lacking = [names[ours] for ours in names if names[ours] in missing and ours not in optional]
    if lacking:
        what = f"the checkpoint lacks {len(lacking)} of its weights: {_show(lacking)}"
        raise DataError(
            what,
            expected=f"every weight of a {family.architecture} with {layers} layers",
            do="give the directory of a fine-tuned sequence classifier"
            + ("" if for_fit else "; a base model without a head has to be trained with fit first"),
        )
    rest = sorted(set(found) - set(names.values()))
    patterns = family.harmless + (family.harmless_in_base if for_fit else ())
    strange = [name for name in rest if not any(re.fullmatch(p, name) for p in patterns)]
    if strange:
        what = f"the checkpoint holds weights that the model has no place for: {_show(strange)}"
        raise DataError(what, expected=f"the weights of a {family.architecture} only")
    weights = {
        ours: _turned(family, ours, found[theirs])
        for ours, theirs in names.items()
        if theirs in found
    }
    return weights, tuple(rest)


def to_foreign(family: Family, weights: Mapping[str, NDArray[np.float32]]) -> Weights:
    """Rename canonical weights to a family's names.

    Args:
        family: whose names to give.
        weights: canonical name → float32, full layers only.

    Returns:
        The family's name → float32, laid out as the family keeps it.

    Raises:
        DataError: the weights are not those of full layers of this family.
    """
    layers = 1 + max(
        (int(name.split(".")[1]) for name in weights if name.startswith("layers.")), default=-1
    )
    names = list_parameters(
        family,
        layers,
        has_task="embeddings.task.weight" in weights,
        has_type="embeddings.type.weight" in weights,
    )
    if set(names) != set(weights):
        what = f"the weights cannot be written under the names of {family.name}"
        raise DataError(what, got=_show(sorted(set(names) ^ set(weights))))
    return {theirs: _turned(family, ours, weights[ours]) for ours, theirs in names.items()}


def add_fresh_head(weights: Weights, architecture: Architecture, rng: np.random.Generator) -> None:
    """Fill in the pooler and head where a base model has none.

    Args:
        weights: canonical weights; the absent ones are added here.
        architecture: hidden size and classes.
        rng: where the fresh values come from.
    """
    hidden, classes = architecture.hidden, architecture.classes
    for name, rows in (("pooler", hidden), ("head", classes)):
        if f"{name}.weight" not in weights:
            fresh = rng.normal(0.0, INITIAL_SCALE, (rows, hidden))
            weights[f"{name}.weight"] = fresh.astype(np.float32)
            weights[f"{name}.bias"] = np.zeros(rows, dtype=np.float32)


def _modernise(
    family: Family, tensors: Mapping[str, NDArray[np.float32]]
) -> dict[str, NDArray[np.float32]]:
    """Give old checkpoints today's names: gamma/beta of layer norms, base models' lost prefix."""
    renamed = {}
    for name, value in tensors.items():
        newer = re.sub(r"LayerNorm\.gamma$", "LayerNorm.weight", name)
        renamed[re.sub(r"LayerNorm\.beta$", "LayerNorm.bias", newer)] = value
    if any(name.startswith(family.prefix) for name in renamed):
        return renamed
    return {
        (family.prefix + name if re.match(r"(embeddings|encoder|pooler)\.", name) else name): value
        for name, value in renamed.items()
    }


def _turned(family: Family, ours: str, value: NDArray[np.float32]) -> NDArray[np.float32]:
    is_linear = value.ndim == 2 and not ours.startswith("embeddings.")
    return np.ascontiguousarray(value.T) if family.linear_is_transposed and is_linear else value


def _show(names: list[str]) -> str:
    more = len(names) - _SHOWN_NAMES
    return ", ".join(names[:_SHOWN_NAMES]) + (f" and {more} more" if more > 0 else "")
