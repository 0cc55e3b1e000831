"""The canonical weights of a bundle: names and shapes that an architecture calls for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from thinfer.architecture import Architecture, LayerShape
from thinfer.bundle.layout import LAYOUT
from thinfer.errors import DataError

__all__ = ["check_weight_file", "encode_weights", "load_weights", "weight_shapes"]

Shapes = dict[str, tuple[int, ...]]


def weight_shapes(architecture: Architecture) -> Shapes:
    """Give the canonical name and shape of every weight of an architecture.

    Args:
        architecture: the shape of the model; a dropped block keeps its output bias only.

    Returns:
        name → shape; linear weights are `[out, in]`.
    """
    hidden = architecture.hidden
    shapes: Shapes = {
        "embeddings.word.weight": (architecture.vocab, hidden),
        "embeddings.position.weight": (architecture.positions, hidden),
    }
    if architecture.type_rows:
        shapes["embeddings.type.weight"] = (architecture.type_rows, hidden)
    if architecture.task_rows:
        shapes["embeddings.task.weight"] = (architecture.task_rows, hidden)
    shapes |= _norm("embeddings.norm", hidden)
    for index, layer in enumerate(architecture.layers):
        shapes |= _layer(f"layers.{index}", layer, hidden)
    shapes |= _linear("pooler", hidden, hidden)
    return shapes | _linear("head", architecture.classes, hidden)


def _layer(prefix: str, layer: LayerShape, hidden: int) -> Shapes:
    attention, ffn = f"{prefix}.attention", f"{prefix}.ffn"
    queries, values = layer.heads * layer.qk_size, layer.heads * layer.value_size
    shapes = _norm(f"{attention}.norm", hidden) | _norm(f"{ffn}.norm", hidden)
    shapes[f"{attention}.output.bias"] = (hidden,)
    shapes[f"{ffn}.down.bias"] = (hidden,)
    if layer.heads:
        shapes |= _linear(f"{attention}.query", queries, hidden)
        shapes |= _linear(f"{attention}.key", queries, hidden)
        shapes |= _linear(f"{attention}.value", values, hidden)
        shapes[f"{attention}.output.weight"] = (hidden, values)
    if layer.ffn:
        shapes |= _linear(f"{ffn}.up", layer.ffn, hidden)
        shapes[f"{ffn}.down.weight"] = (hidden, layer.ffn)
    return shapes


def _linear(name: str, rows: int, columns: int) -> Shapes:
    return {f"{name}.weight": (rows, columns), f"{name}.bias": (rows,)}


def _norm(name: str, hidden: int) -> Shapes:
    return {f"{name}.weight": (hidden,), f"{name}.bias": (hidden,)}


def encode_weights(weights: Mapping[str, NDArray[np.float32]]) -> bytes:
    """Give the bytes of `weights.safetensors`; the same weights give the same bytes.

    Args:
        weights: canonical name → float32 array.

    Raises:
        DataError: a weight is not float32, or holds NaN or infinity.
    """
    for name, weight in weights.items():
        if weight.dtype != np.float32 or not np.isfinite(weight).all():
            what = f"the weight '{name}' cannot be stored"
            raise DataError(what, expected="finite float32 values", got=str(weight.dtype))
    return save({name: np.ascontiguousarray(weights[name]) for name in sorted(weights)})


def check_weight_file(path: Path, architecture: Architecture) -> None:
    """Check names, shapes and types in a weight file's header; the weights are not read.

    Args:
        path: a safetensors file.
        architecture: the shape that it must have.

    Raises:
        DataError: the file is damaged, or a weight is missing, left over or of another shape.
    """
    found: dict[str, tuple[tuple[int, ...], str]] = {}
    try:
        with safe_open(path, framework="numpy") as stream:
            for name in stream.keys():  # noqa: SIM118 - not a mapping
                part = stream.get_slice(name)
                found[name] = (tuple(part.get_shape()), part.get_dtype())
    except (SafetensorError, OSError) as error:
        what = f"{LAYOUT.weights} cannot be read"
        raise DataError(what, got=str(error)) from error
    expected = {name: (shape, "F32") for name, shape in weight_shapes(architecture).items()}
    for name in sorted(set(expected) | set(found)):
        if expected.get(name) != found.get(name):
            what = f"{LAYOUT.weights} does not fit the architecture at '{name}'"
            raise DataError(what, expected=_tell(expected.get(name)), got=_tell(found.get(name)))


def _tell(entry: tuple[tuple[int, ...], str] | None) -> str:
    return "no such weight" if entry is None else f"{entry[1]} {list(entry[0])}"


def load_weights(path: Path) -> dict[str, NDArray[np.float32]]:
    """Read all weights.

    Args:
        path: a safetensors file that `check_weight_file` accepted.

    Returns:
        Canonical name → float32 array.

    Raises:
        DataError: the file cannot be read.
    """
    try:
        with safe_open(path, framework="numpy") as stream:
            return {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118 - no mapping
    except (SafetensorError, OSError) as error:
        what = f"{LAYOUT.weights} cannot be read"
        raise DataError(what, got=str(error)) from error
