"""The weight file of the native engine: panels that its kernels read in place.

The layout is described in `native/src/model.hpp`; both sides derive every position from the sizes
in the header, so a file of another length is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import numpy as np
from numpy.typing import NDArray

from thinfer.architecture import Architecture, LayerShape
from thinfer.engine.base import Precision
from thinfer.export.blocks import block_of
from thinfer.export.smoothing import Smoothing

__all__ = ["encode_native"]

Floats = NDArray[np.float32]
Weights = Mapping[str, Floats]

_MAGIC, _VERSION = 0x464E4854, 1  # "THNF"
_ALIGNMENT = 64
_PANEL = 32  # output channels of a panel
_GROUP = 4  # inputs that one dot product of INT8 takes at a time
_PAIR = 2  # and one of BF16
_KINDS = ("fp32", "int8", "bf16")
_ACTIVATIONS = ("gelu", "gelu_tanh", "relu", "tanh", "silu")


def encode_native(
    weights: Weights,
    architecture: Architecture,
    *,
    precision: Precision,
    smoothings: Mapping[str, Smoothing] | None = None,
    kept: Collection[str] = (),
) -> bytes:
    """Give the bytes of `model.thinfer`; the same weights give the same bytes.

    Args:
        weights: canonical names → float32 arrays.
        architecture: their shape.
        precision: `fp32`; `bf16`, rounded to nearest even; or `int8`: matrices per output channel
            and word rows per row, and the engine finds a range for each token's inputs by itself.
        smoothings: by `measure_smoothings`; absent, channels are taken as they are.
        kept: blocks that stay in FP32, as `list_blocks_to_round` names them.
    """

    def kind_of(block: str) -> Precision:
        return "fp32" if block in kept else precision

    writer = _Writer(kind_of=kind_of, smoothings=smoothings or {})
    shape = architecture
    writer.numbers(
        _MAGIC,
        _VERSION,
        _KINDS.index(kind_of("embeddings")),
        _KINDS.index(kind_of("pooler")),
        _ACTIVATIONS.index(shape.activation),
        shape.hidden,
        shape.vocab,
        shape.max_length,
        max(1, shape.type_rows),
        shape.classes,
    )
    writer.raw(np.array([shape.layer_norm_eps], dtype="<f4"))
    writer.numbers(len(shape.layers))
    for index, layer in enumerate(shape.layers):
        writer.numbers(layer.heads, layer.qk_size, layer.value_size, layer.ffn)
        parts = (f"layers.{index}.attention", f"layers.{index}.ffn")
        writer.numbers(*(_KINDS.index(kind_of(part)) for part in parts))
    _write_embeddings(writer, weights, shape)
    for index, layer in enumerate(shape.layers):
        _write_layer(writer, weights, layer, f"layers.{index}")
    writer.matrix(weights["pooler.weight"], weights["pooler.bias"], "pooler")
    writer.matrix(weights["head.weight"], weights["head.bias"], None)
    return writer.finish()


def _write_embeddings(writer: _Writer, weights: Weights, shape: Architecture) -> None:
    words = weights["embeddings.word.weight"]
    kind = writer.kind_of("embeddings")
    if kind == "int8":
        scale = np.maximum(np.abs(words).max(axis=1), 1e-12) / np.float32(127.0)
        writer.array(np.rint(words / scale[:, None]).astype(np.int8))
        writer.array(scale.astype(np.float32))
    else:
        writer.array(_to_bf16(words) if kind == "bf16" else words)
    writer.array(weights["embeddings.position.weight"][shape.position_offset :])
    types = np.zeros((1, shape.hidden), dtype=np.float32)
    types = weights.get("embeddings.type.weight", types)
    if shape.task_rows:
        types = types + weights["embeddings.task.weight"][0]
    writer.array(types)
    writer.norm(weights, "embeddings.norm")


def _write_layer(writer: _Writer, weights: Weights, layer: LayerShape, prefix: str) -> None:
    attention, ffn = f"{prefix}.attention", f"{prefix}.ffn"
    output, down = weights[f"{attention}.output.bias"], weights[f"{ffn}.down.bias"]
    if layer.heads:
        parts = [f"{attention}.{name}" for name in ("query", "key", "value")]
        joined = np.concatenate([_padded(weights[f"{part}.weight"]) for part in parts])
        bias = np.concatenate([_padded(weights[f"{part}.bias"]) for part in parts])
        writer.matrix(joined, bias, f"{attention}.input")
        writer.matrix(weights[f"{attention}.output.weight"], output, f"{attention}.output")
    else:
        writer.array(_padded(output))
    writer.norm(weights, f"{attention}.norm")
    if layer.ffn:
        writer.matrix(weights[f"{ffn}.up.weight"], weights[f"{ffn}.up.bias"], f"{ffn}.up")
        writer.matrix(weights[f"{ffn}.down.weight"], down, f"{ffn}.down")
    else:
        writer.array(_padded(down))
    writer.norm(weights, f"{ffn}.norm")


class _Writer:
    def __init__(
        self, *, kind_of: Callable[[str], Precision], smoothings: Mapping[str, Smoothing]
    ) -> None:
        self.kind_of = kind_of
        self._smoothings = smoothings
        self._parts: list[bytes] = []
        self._size = 0

    def numbers(self, *values: int) -> None:
        self.raw(np.array(values, dtype="<u4"))

    def raw(self, values: NDArray[np.generic]) -> None:
        data = np.ascontiguousarray(values).tobytes()
        self._parts.append(data)
        self._size += len(data)

    def array(self, values: NDArray[np.generic]) -> None:
        self._align()
        self.raw(values)

    def norm(self, weights: Weights, name: str) -> None:
        self.array(weights[f"{name}.weight"])
        self.array(weights[f"{name}.bias"])

    def matrix(self, weight: Floats, bias: Floats, product: str | None) -> None:
        """Write a matrix `[out, in]`; without a product's name it stays float32."""
        kind = "fp32" if product is None else self.kind_of(block_of(product))
        if product is None or kind != "int8":
            self.array(_padded(bias))
            if kind == "bf16":
                even = np.pad(_padded(weight), ((0, 0), (0, -weight.shape[1] % _PAIR)))
                self.array(_to_panels(_to_bf16(even), _PAIR))
            else:
                self.array(_to_panels(_padded(weight), 1))
            return
        found = self._smoothings.get(product)
        factors = np.ones(weight.shape[1], np.float32) if found is None else found.factors
        smoothed = weight * factors
        scale = np.maximum(np.abs(smoothed).max(axis=1), 1e-12) / np.float32(127.0)
        codes = np.rint(smoothed / scale[:, None]).astype(np.int8)
        if found is not None:
            lost = smoothed - codes * scale[:, None]
            bias = bias + lost @ (found.mean / factors)
        codes = np.pad(codes, ((0, -len(codes) % _PANEL), (0, -codes.shape[1] % _GROUP)))
        self.array(_padded(bias.astype(np.float32)))
        self.array(_to_panels(codes, _GROUP))
        self.array(_padded(scale.astype(np.float32)))
        self.array(codes.sum(axis=1, dtype=np.int32))
        inverse = (np.float32(1.0) / factors).astype(np.float32)
        self.array(np.pad(inverse, (0, -len(inverse) % _PANEL)))

    def finish(self) -> bytes:
        self._align()
        return b"".join(self._parts)

    def _align(self) -> None:
        missing = -self._size % _ALIGNMENT
        self._parts.append(b"\0" * missing)
        self._size += missing


def _to_bf16(values: Floats) -> NDArray[np.uint16]:
    """Round to the nearest BF16, ties to even, as bits."""
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def _padded(values: Floats) -> Floats:
    """Fill the output channels up to whole panels, with zeros."""
    missing = -len(values) % _PANEL
    return np.pad(values, ((0, missing), *((0, 0),) * (values.ndim - 1)))


def _to_panels(values: NDArray[np.generic], group: int) -> NDArray[np.generic]:
    """Give `[panels, in / group, panel, group]` of `[out, in]`."""
    out, inputs = values.shape
    parts = values.reshape(out // _PANEL, _PANEL, inputs // group, group)
    return np.ascontiguousarray(parts.transpose(0, 2, 1, 3))
