"""INT8 in an ONNX graph: products on uint8 inputs and int8 matrices, and the word embedding."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from thinfer.export.nodes import CONTRIB, GraphParts
from thinfer.export.ranges import InputRange

__all__ = ["add_int8_product", "add_int8_rows"]


def add_int8_product(
    parts: GraphParts,
    value: str,
    weight: NDArray[np.float32],
    name: str,
    *,
    bias: NDArray[np.float32] | None,
    range_: InputRange | None,
    is_folded: bool = False,
) -> str:
    """Add `value · weightᵀ (+ bias)`, the matrix stored as int8 per output channel.

    Args:
        parts: the graph.
        value: the float32 input.
        weight: float32 `[out, in]`.
        name: of the constants.
        bias: float32 `[out]`.
        range_: how the input becomes uint8; absent, ONNX Runtime finds a range for each call.
        is_folded: the input arrives divided by the range's smoothing.

    Returns:
        Name of the float32 output.
    """
    smoothing = None if range_ is None else range_.smoothing
    if smoothing is not None:
        weight = weight * smoothing
        if not is_folded:
            inverse = parts.constant(f"{name}.smoothing", np.float32(1.0) / smoothing)
            value = parts.add("Mul", [value, inverse])
    scale = np.maximum(np.abs(weight).max(axis=1), 1e-12) / 127.0  # [out]
    codes = np.rint(weight / scale[:, None]).astype(np.int8)
    matrix = parts.constant(f"{name}.weight", np.ascontiguousarray(codes.T))
    scales = parts.constant(f"{name}.scale", scale.astype(np.float32))
    offset = [] if bias is None else [parts.constant(f"{name}.bias", bias)]
    if range_ is None:
        inputs = [value, matrix, scales, "", *offset]
        return parts.add("DynamicQuantizeMatMul", inputs, domain=CONTRIB)
    step = parts.constant(f"{name}.input_scale", np.array(range_.scale, dtype=np.float32))
    zero = parts.constant(f"{name}.input_zero", np.array(range_.zero_point, dtype=np.uint8))
    rounded = parts.add("QuantizeLinear", [value, step, zero])
    inputs = [rounded, matrix, step, scales, zero, "", *offset]
    return parts.add("MatMulIntegerToFloat", inputs, domain=CONTRIB)


def add_int8_rows(parts: GraphParts, table: NDArray[np.float32], name: str, ids: str) -> str:
    """Add a lookup in a table that is stored as int8 per row.

    Args:
        parts: the graph.
        table: float32 `[rows, hidden]`.
        name: of the constants.
        ids: the row numbers.
    """
    scale = np.maximum(np.abs(table).max(axis=1, keepdims=True), 1e-12) / 127.0
    codes = np.rint(table / scale).astype(np.int8)
    rows = parts.add("Gather", [parts.constant(name, codes), ids])
    scales = parts.constant(f"{name}.scale", scale.astype(np.float32))
    factor = parts.add("Gather", [scales, ids])  # [batch, length, 1]
    return parts.add("Mul", [parts.add("Cast", [rows], to=1), factor])
