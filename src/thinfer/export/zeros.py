"""Count the zeros of the encoder's matrices in a written ONNX file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from thinfer.core.optional import require
from thinfer.errors import InternalError

__all__ = ["FileZeros", "count_file_zeros", "require_zeros"]

_MATRIX = re.compile(
    r"layers\.\d+\.(attention|ffn)\.(joined|query|key|value|output|up|down)\.weight"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileZeros:
    """What a file holds.

    Attributes:
        zeros: weights, or INT8 codes, that are exactly 0.
        weights: all of the encoder's matrices.
    """

    zeros: int
    weights: int


def count_file_zeros(path: Path) -> FileZeros:
    """Count in a graph that `build_graph` wrote; float32 weights and int8 codes alike.

    Args:
        path: the ONNX file.
    """
    onnx = require("onnx")
    zeros = weights = 0
    for tensor in onnx.load(str(path)).graph.initializer:
        if _MATRIX.fullmatch(tensor.name):
            array = onnx.numpy_helper.to_array(tensor)
            zeros += int(np.count_nonzero(array == 0))
            weights += array.size
    return FileZeros(zeros=zeros, weights=weights)


def require_zeros(found: FileZeros, *, zeros: int, weights: int, name: str) -> None:
    """Refuse a file that lost zeros on the way; INT8 rounding may only add some.

    Args:
        found: in the file.
        zeros: in the model.
        weights: in the model.
        name: of the file.

    Raises:
        InternalError: fewer zeros than the model has, or another number of weights.
    """
    if found.zeros < zeros or found.weights != weights:
        what = f"the export of '{name}' did not keep the zeros of the sparse model"
        expected = f"{zeros:,} zeros or more in {weights:,} weights"
        raise InternalError(what, expected=expected, got=f"{found.zeros:,} in {found.weights:,}")
