"""Tiny random classifiers of every shape that an exporter can meet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from thinfer.architecture import Architecture, LayerShape
from thinfer.bundle import weight_shapes
from thinfer.engine.base import Engine, EngineSpec
from thinfer.engine.registry import open_engine_folder
from thinfer.text.batch import Batch

Weights = dict[str, NDArray[np.float32]]

LONGEST = 20
MIXED_LENGTHS = (1, LONGEST, 3, 7, 7, 12, 1, 19)


def layer(heads: int = 4, qk_size: int = 4, value_size: int = 4, ffn: int = 24) -> LayerShape:
    """One layer."""
    return LayerShape(heads=heads, qk_size=qk_size, value_size=value_size, ffn=ffn)


def shape_of(*layers: LayerShape, **changes: object) -> Architecture:
    """An architecture with hidden 16 and sequences of 1 … `LONGEST` tokens."""
    fields: dict[str, object] = {
        "hidden": 16,
        "layers": layers or (layer(), layer()),
        "vocab": 40,
        "positions": LONGEST,
        "classes": 3,
        **changes,
    }
    return Architecture(**fields)  # type: ignore[arg-type]


SHAPES: Mapping[str, Architecture] = {
    "even": shape_of(),
    "uneven": shape_of(layer(4, ffn=24), layer(3, ffn=7), layer(1, ffn=5)),
    "no heads in a layer": shape_of(layer(), layer(heads=0, ffn=9)),
    "no ffn in a layer": shape_of(layer(ffn=0), layer()),
    "nothing in a layer": shape_of(layer(heads=0, ffn=0), layer()),
    "no attention at all": shape_of(layer(heads=0), layer(heads=0)),
    "no layers": shape_of(layers=()),
    "one head": shape_of(layer(heads=1, qk_size=16, value_size=16)),
    "other value size": shape_of(layer(2, qk_size=3, value_size=5), layer(3, 8, 2)),
    "reduced heads": shape_of(layer(4, qk_size=1, value_size=4), layer(3, qk_size=4, value_size=2)),
    "no type rows": shape_of(type_rows=0),
    "task rows": shape_of(type_rows=4, task_rows=3),
    "position offset": shape_of(type_rows=1, position_offset=2, positions=LONGEST + 2),
    "two classes, wide norm": shape_of(classes=2, layer_norm_eps=1e-2),
    **{
        f"activation {name}": shape_of(activation=name)
        for name in ("gelu_tanh", "relu", "tanh", "silu")
    },
}


def random_weights(architecture: Architecture, seed: int = 0) -> Weights:
    """Weights of which every part matters: biases too, and norms that are not 1 and 0."""
    rng = np.random.default_rng(seed)
    return {
        name: (rng.normal(float(name.endswith("norm.weight")), 0.3, size)).astype(np.float32)
        for name, size in weight_shapes(architecture).items()
    }


def random_batch(
    architecture: Architecture, lengths: Sequence[int] = MIXED_LENGTHS, seed: int = 0
) -> Batch:
    """Random ids and types in the architecture's ranges."""
    rng = np.random.default_rng(seed)
    types = max(1, architecture.type_rows)
    return Batch.from_sequences(
        [rng.integers(0, architecture.vocab, length).tolist() for length in lengths],
        [rng.integers(0, types, length).tolist() for length in lengths],
    )


def open_tiny(
    folder: Path, spec: EngineSpec, architecture: Architecture, *, threads: int = 1
) -> Engine:
    """Open an engine on what an exporter wrote."""
    return open_engine_folder(folder, spec, architecture, pad_id=0, threads=threads)
