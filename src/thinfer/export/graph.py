"""The ONNX graph of a classifier, written node by node from its weights.

Written directly and not traced from torch: every layer has its own widths, blocks may be
absent, the bytes are deterministic, and a candidate costs a fraction of a second
(docs/why/02-graph-written-directly.md).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from thinfer.architecture import Architecture, LayerShape
from thinfer.core.optional import require
from thinfer.export.blocks import block_of
from thinfer.export.int8 import add_int8_product, add_int8_rows
from thinfer.export.nodes import CONTRIB, GraphParts
from thinfer.export.ranges import InputRange

__all__ = ["KEPT_SCOPE", "build_graph"]

Weights = Mapping[str, NDArray[np.float32]]
GraphPrecision = Literal["fp32", "int8"]

_OPSET = 20
KEPT_SCOPE = "kept_fp32/"  # before the names of all nodes of a block that is not rounded


def build_graph(
    weights: Weights,
    architecture: Architecture,
    *,
    fused: bool,
    precision: GraphPrecision = "fp32",
    first_token_only: bool = True,
    fused_norms: bool = True,
    ranges: Mapping[str, InputRange] | None = None,
    kept: Collection[str] = (),
) -> Any:  # noqa: ANN401 - onnx ships no usable types
    """Write the graph of a classifier.

    Args:
        weights: canonical names → float32 arrays.
        architecture: the widths; must match the weights.
        fused: True uses ONNX Runtime's fused operators (MultiHeadAttention,
            SkipLayerNormalization, …); False only the standard operator set.
        precision: `int8` stores the word embedding as int8 per row. With `fused` it also stores
            the matrices as int8 per output channel; without, the products stay float32 for
            another engine's own quantiser.
        first_token_only: the last layer computes the first token alone, which is all that the
            pooler reads: the same logits for less. False computes every token to the end, as
            exporters that do not know the head do.
        fused_norms: False leaves the norms as Add and LayerNormalization in a fused graph too,
            which ONNX Runtime's CPU kernels run faster (docs/why/09-plain-and-fused.md).
        ranges: of the inputs of INT8 products, by `measure_ranges`; absent, each call finds
            its own, so that a text's answer depends on the texts beside it.
        kept: blocks that stay in FP32 in an INT8 graph, as `list_blocks_to_round` names them;
            their nodes' names begin with `KEPT_SCOPE`, by which another quantiser knows them.

    Returns:
        An `onnx.ModelProto` with inputs `input_ids`, `attention_mask`, `token_type_ids` (int64
        `[batch, length]`) and output `logits` (float32 `[batch, classes]`).
    """
    writer = _Writer(weights, architecture, fused=fused, quantised=precision == "int8")
    writer.has_skip_norms = fused and fused_norms
    writer.kept = frozenset(kept) if precision == "int8" else frozenset()
    writer.ranges = {
        name: each for name, each in (ranges or {}).items() if block_of(name) not in writer.kept
    }
    return writer.write(first_token_only=first_token_only)


class _Writer:
    """Adds the nodes of one model to a graph, front to back."""

    def __init__(
        self, weights: Weights, architecture: Architecture, *, fused: bool, quantised: bool
    ) -> None:
        self._weights = weights
        self._architecture = architecture
        self._fused = fused
        self._quantised = quantised
        self.has_skip_norms = fused
        self.ranges: Mapping[str, InputRange] = {}
        self.kept: frozenset[str] = frozenset()
        self._parts = GraphParts()

    def write(self, *, first_token_only: bool) -> Any:  # noqa: ANN401 - as build_graph
        mask = self._prepare_mask()
        hidden = self._embed()
        last = len(self._architecture.layers) - 1
        for index, layer in enumerate(self._architecture.layers):
            prefix = f"layers.{index}"
            queries = hidden
            if index == last and first_token_only:
                queries = self._take_first(hidden)
            with self._scoped(f"{prefix}.attention"):
                queries = self._attention(queries, hidden, mask, layer, f"{prefix}.attention")
            with self._scoped(f"{prefix}.ffn"):
                hidden = self._ffn(queries, layer, f"{prefix}.ffn")
        first = self._parts.add("Gather", [hidden, self._parts.scalar_int("zero", 0)], axis=1)
        with self._scoped("pooler"):
            pooled = self._parts.add("Tanh", [self._linear(first, "pooler")])
        logits = self._linear(pooled, "head", quantise=False)
        self._parts.add("Identity", [logits], output="logits")
        return self._model()

    @contextmanager
    def _scoped(self, block: str) -> Iterator[None]:
        """Name the nodes of a block that stays in FP32 as such."""
        self._parts.scope = KEPT_SCOPE if block in self.kept else ""
        yield
        self._parts.scope = ""

    def _model(self) -> Any:  # noqa: ANN401 - as build_graph
        onnx = require("onnx")
        helper, types = onnx.helper, onnx.TensorProto
        inputs = [
            helper.make_tensor_value_info(name, types.INT64, ["batch", "length"])
            for name in ("input_ids", "attention_mask", "token_type_ids")
        ]
        shape = ["batch", self._architecture.classes]
        outputs = [helper.make_tensor_value_info("logits", types.FLOAT, shape)]
        graph = helper.make_graph(
            self._parts.nodes, "classifier", inputs, outputs, self._parts.initializers
        )
        opsets = [helper.make_opsetid("", _OPSET)]
        if self._fused:
            opsets.append(helper.make_opsetid(CONTRIB, 1))
        return helper.make_model(
            graph, opset_imports=opsets, ir_version=10, producer_name="thinfer"
        )

    def _take_first(self, hidden: str) -> str:
        """Give the first token of every sequence, `[batch, 1, hidden]`."""
        bounds = [
            self._parts.constant(f"first_{name}", np.array([value], dtype=np.int64))
            for name, value in (("start", 0), ("stop", 1), ("axis", 1))
        ]
        return self._parts.add("Slice", [hidden, *bounds])

    def _prepare_mask(self) -> str:
        """Give the key padding mask: int32 `[batch, length]`, or an additive bias if not fused."""
        if self._fused:
            return self._parts.add("Cast", ["attention_mask"], to=6)  # int32
        lowest = self._parts.constant("mask_lowest", np.array(-1e4, dtype=np.float32))
        one = self._parts.constant("one", np.array(1.0, dtype=np.float32))
        real = self._parts.add("Cast", ["attention_mask"], to=1)
        bias = self._parts.add("Mul", [self._parts.add("Sub", [one, real]), lowest])
        axes = self._parts.constant("mask_axes", np.array([1, 2], dtype=np.int64))
        return self._parts.add("Unsqueeze", [bias, axes])  # [batch, 1, 1, length]

    def _embed(self) -> str:
        parts, shape = self._parts, self._architecture
        with self._scoped("embeddings"):
            words = self._word_rows()
        table = self._weights["embeddings.position.weight"][shape.position_offset :]
        # ERNIE adds task row 0 to every token: it is folded into the positions.
        if shape.task_rows:
            table = table + self._weights["embeddings.task.weight"][0]
        positions = parts.constant("embeddings.position", np.ascontiguousarray(table))
        start = parts.constant("start", np.array([0], dtype=np.int64))
        length = parts.add("Shape", ["input_ids"], start=1, end=2)
        rows = parts.add("Slice", [positions, start, length, start])  # [length, hidden]
        context = rows
        if shape.type_rows:
            types = parts.constant("embeddings.type", self._weights["embeddings.type.weight"])
            context = parts.add("Add", [parts.add("Gather", [types, "token_type_ids"]), rows])
        total = parts.add("Add", [words, context])
        return self._layer_norm(total, "embeddings.norm")

    def _word_rows(self) -> str:
        parts, table = self._parts, self._weights["embeddings.word.weight"]
        if not self._quantised or "embeddings" in self.kept:
            words = parts.constant("embeddings.word", table)
            return parts.add("Gather", [words, "input_ids"])
        return add_int8_rows(parts, table, "embeddings.word", "input_ids")

    def _attention(
        self, queries: str, hidden: str, mask: str, layer: LayerShape, prefix: str
    ) -> str:
        """Add an attention block; `queries` is `hidden` or its first tokens."""
        output_bias = self._weights[f"{prefix}.output.bias"]
        if layer.heads == 0:
            return self._add_and_norm(queries, None, output_bias, f"{prefix}.norm")
        add_heads = self._fused_heads if self._fused else self._plain_heads
        context = add_heads(queries, hidden, mask, layer, prefix)
        projected = self._product(context, f"{prefix}.output")
        if not self.has_skip_norms:
            return self._add_and_norm(queries, projected, output_bias, f"{prefix}.norm")
        return self._skip_norm(queries, projected, output_bias, f"{prefix}.norm")

    def _fused_heads(
        self, queries: str, hidden: str, mask: str, layer: LayerShape, prefix: str
    ) -> str:
        sizes = {
            "query": layer.heads * layer.qk_size,
            "key": layer.heads * layer.qk_size,
            "value": layer.heads * layer.value_size,
        }
        if queries == hidden:
            projected = self._joined_product(hidden, prefix, sizes)
        else:
            del sizes["query"]
            projected = [
                self._linear(queries, f"{prefix}.query"),
                *self._joined_product(hidden, prefix, sizes),
            ]
        return self._parts.add(
            "MultiHeadAttention", [*projected, "", mask], domain=CONTRIB, num_heads=layer.heads
        )

    def _joined_product(self, hidden: str, prefix: str, sizes: Mapping[str, int]) -> list[str]:
        """Add one product for several projections: the input is read, and quantised, once."""
        parts = self._parts
        names = [f"{prefix}.{part}" for part in sizes]
        weight = np.concatenate([self._weights[f"{name}.weight"] for name in names])
        bias = np.concatenate([self._weights[f"{name}.bias"] for name in names])
        output = self.ranges.get(f"{prefix}.output") if self._quantised else None
        if output is not None and output.smoothing is not None:
            # What the output projection's input is to be divided by, its values are already.
            start = len(weight) - sizes["value"]
            weight[start:] /= output.smoothing[:, None]
            bias[start:] /= output.smoothing
        joined = self._matmul(hidden, weight, f"{prefix}.joined", bias=bias)
        split = parts.constant(f"{prefix}.split", np.array([*sizes.values()], dtype=np.int64))
        return parts.add_many("Split", [joined, split], len(names), axis=-1)

    def _plain_heads(
        self, queries: str, hidden: str, mask: str, layer: LayerShape, prefix: str
    ) -> str:
        parts = self._parts
        query = self._split_heads(queries, layer.qk_size, f"{prefix}.query", [0, 2, 1, 3])
        key = self._split_heads(hidden, layer.qk_size, f"{prefix}.key", [0, 2, 3, 1])
        value = self._split_heads(hidden, layer.value_size, f"{prefix}.value", [0, 2, 1, 3])
        root = np.array(1.0 / np.sqrt(layer.qk_size), dtype=np.float32)
        scale = parts.constant(f"scale.{layer.qk_size}", root)
        scores = parts.add("Mul", [parts.add("MatMul", [query, key]), scale])
        weights = parts.add("Softmax", [parts.add("Add", [scores, mask])], axis=-1)
        context = parts.add("MatMul", [weights, value])  # [batch, heads, length, head]
        moved = parts.add("Transpose", [context], perm=[0, 2, 1, 3])
        shape = np.array([0, 0, layer.heads * layer.value_size], dtype=np.int64)
        joined = parts.constant(f"{prefix}.joined_shape", shape)
        return parts.add("Reshape", [moved, joined])

    def _split_heads(self, hidden: str, size: int, name: str, order: list[int]) -> str:
        projected = self._linear(hidden, name)
        shape = self._parts.constant(
            f"head_shape.{size}", np.array([0, 0, -1, size], dtype=np.int64)
        )
        return self._parts.add(
            "Transpose", [self._parts.add("Reshape", [projected, shape])], perm=order
        )

    def _ffn(self, hidden: str, layer: LayerShape, prefix: str) -> str:
        down_bias = self._weights[f"{prefix}.down.bias"]
        if layer.ffn == 0:
            return self._add_and_norm(hidden, None, down_bias, f"{prefix}.norm")
        projected = self._product(self._activated(hidden, f"{prefix}.up"), f"{prefix}.down")
        return self._add_and_norm(hidden, projected, down_bias, f"{prefix}.norm")

    def _activated(self, hidden: str, name: str) -> str:
        parts, kind = self._parts, self._architecture.activation
        linear = self._linear(hidden, name)
        if kind == "gelu" and self._fused:
            return parts.add("Gelu", [linear], domain=CONTRIB)
        if kind == "gelu_tanh" and self._fused:
            return parts.add("FastGelu", [linear], domain=CONTRIB)
        if kind in ("gelu", "gelu_tanh"):
            return parts.add("Gelu", [linear], approximate="tanh" if kind[4:] else "none")
        if kind == "silu":
            return parts.add("Mul", [linear, parts.add("Sigmoid", [linear])])
        return parts.add({"relu": "Relu", "tanh": "Tanh"}[kind], [linear])

    def _linear(self, value: str, name: str, *, quantise: bool = True) -> str:
        bias = self._weights[f"{name}.bias"]
        return self._matmul(
            value, self._weights[f"{name}.weight"], name, bias=bias, quantise=quantise
        )

    def _product(self, value: str, name: str) -> str:
        return self._matmul(value, self._weights[f"{name}.weight"], name)

    def _matmul(
        self,
        value: str,
        weight: NDArray[np.float32],
        name: str,
        *,
        bias: NDArray[np.float32] | None = None,
        quantise: bool = True,
    ) -> str:
        """Add `value · weightᵀ (+ bias)`; weight is `[out, in]`."""
        parts = self._parts
        if self._quantised and self._fused and quantise and block_of(name) not in self.kept:
            attention, _, part = name.rpartition(".")
            source = f"{attention}.input" if part in ("query", "joined") else name
            return add_int8_product(
                parts,
                value,
                weight,
                name,
                bias=bias,
                range_=self.ranges.get(source),
                is_folded=source.endswith(".attention.output"),
            )
        matrix = parts.constant(f"{name}.weight", np.ascontiguousarray(weight.T))
        product = parts.add("MatMul", [value, matrix])
        if bias is None:
            return product
        return parts.add("Add", [product, parts.constant(f"{name}.bias", bias)])

    def _add_and_norm(
        self, hidden: str, update: str | None, bias: NDArray[np.float32], norm: str
    ) -> str:
        """Add `norm(hidden + update + bias)`; a dropped block has no update."""
        offset = self._parts.constant(f"{norm}.residual_bias", bias)
        total = self._parts.add("Add", [hidden if update is None else update, offset])
        if update is not None:
            total = self._parts.add("Add", [total, hidden])
        return self._layer_norm(total, norm)

    def _skip_norm(self, hidden: str, update: str, bias: NDArray[np.float32], norm: str) -> str:
        """Add `norm(hidden + update + bias)` as one fused operator."""
        parts = self._parts
        offset = parts.constant(f"{norm}.residual_bias", bias)
        gamma = parts.constant(f"{norm}.weight", self._weights[f"{norm}.weight"])
        beta = parts.constant(f"{norm}.bias", self._weights[f"{norm}.bias"])
        return parts.add(
            "SkipLayerNormalization",
            [update, hidden, gamma, beta, offset],
            domain=CONTRIB,
            epsilon=self._architecture.layer_norm_eps,
        )

    def _layer_norm(self, value: str, norm: str) -> str:
        gamma = self._parts.constant(f"{norm}.weight", self._weights[f"{norm}.weight"])
        beta = self._parts.constant(f"{norm}.bias", self._weights[f"{norm}.bias"])
        return self._parts.add(
            "LayerNormalization",
            [value, gamma, beta],
            axis=-1,
            epsilon=self._architecture.layer_norm_eps,
        )
