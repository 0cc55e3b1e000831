"""The written graph: its interface, its operators, its bytes, and what is int8 in it."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

import onnxruntime  # noqa: E402

from tests.support.export_models import SHAPES, layer, random_weights, shape_of  # noqa: E402
from thinfer.architecture import Architecture  # noqa: E402
from thinfer.errors import EngineError  # noqa: E402
from thinfer.export.graph import GraphPrecision, build_graph  # noqa: E402

CONTRIB = "com.microsoft"


def bytes_of(shape: Architecture, *, fused: bool, precision: GraphPrecision = "fp32") -> bytes:
    graph = build_graph(random_weights(shape), shape, fused=fused, precision=precision)
    raw: bytes = graph.SerializeToString(deterministic=True)
    return raw


def constants(model: Any) -> dict[str, np.ndarray]:  # noqa: ANN401 - onnx ships no types
    return {item.name: onnx.numpy_helper.to_array(item) for item in model.graph.initializer}


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("name", SHAPES)
def test_the_graph_is_valid_and_has_the_promised_interface(name: str, fused: bool) -> None:
    shape = SHAPES[name]
    model = build_graph(random_weights(shape), shape, fused=fused)
    if not fused:
        onnx.checker.check_model(model, full_check=True)
    assert [item.name for item in model.graph.input] == [
        "input_ids",
        "attention_mask",
        "token_type_ids",
    ]
    assert [item.name for item in model.graph.output] == ["logits"]
    for item in model.graph.input:
        assert item.type.tensor_type.elem_type == onnx.TensorProto.INT64
        assert [part.dim_param for part in item.type.tensor_type.shape.dim] == ["batch", "length"]
    outputs = [name for node in model.graph.node for name in node.output]
    assert len(outputs) == len(set(outputs))


def test_the_same_weights_give_the_same_bytes() -> None:
    for fused in (True, False):
        for precision in ("fp32", "int8"):
            first = bytes_of(SHAPES["uneven"], fused=fused, precision=precision)
            assert first == bytes_of(SHAPES["uneven"], fused=fused, precision=precision)


def test_the_plain_graph_has_standard_operators_only() -> None:
    for precision in ("fp32", "int8"):
        model = onnx.load_from_string(bytes_of(SHAPES["uneven"], fused=False, precision=precision))
        assert {node.domain for node in model.graph.node} == {""}
        assert [item.domain for item in model.opset_import] == [""]


def test_a_dropped_block_leaves_no_products() -> None:
    shape = shape_of(layer(heads=0, ffn=0), layer(heads=0, ffn=0))
    model = onnx.load_from_string(bytes_of(shape, fused=True))
    counts = Counter(node.op_type for node in model.graph.node)
    assert counts["MatMul"] == 2  # pooler and head
    assert counts["LayerNormalization"] == 5  # embeddings, and two a layer


def test_int8_holds_int8_and_a_quarter_of_the_bytes() -> None:
    shape = shape_of(
        layer(4, 16, 16, 256), layer(3, 16, 16, 200), hidden=64, vocab=2000, positions=32
    )
    full = bytes_of(shape, fused=True)
    small = bytes_of(shape, fused=True, precision="int8")
    assert 0.24 < len(small) / len(full) < 0.33
    stored = constants(onnx.load_from_string(small))
    assert stored["embeddings.word"].dtype == np.int8
    assert stored["embeddings.word"].shape == (2000, 64)
    assert stored["embeddings.word.scale"].shape == (2000, 1)
    products = [
        name
        for name in stored
        if name.startswith(("layers.", "pooler"))
        and name.endswith(".weight")
        and "norm" not in name
    ]
    # qkv, output, up and down of each layer; the last one's queries; the pooler
    assert len(products) == 2 * 4 + 1 + 1
    for name in products:
        assert stored[name].dtype == np.int8
        scale = stored[name.replace(".weight", ".scale")]
        assert scale.shape == (stored[name].shape[1],)
        assert np.abs(stored[name]).max(axis=0).min() == 127  # each channel fills its range
    assert stored["head.weight"].dtype == np.float32


def test_the_int8_codes_give_the_weights_back_to_half_a_step() -> None:
    shape = SHAPES["uneven"]
    weights = random_weights(shape)
    weights["embeddings.word.weight"][5] = 0.0  # a row of zeros has no scale of its own
    stored = constants(build_graph(weights, shape, fused=True, precision="int8"))
    rows = stored["embeddings.word"] * stored["embeddings.word.scale"]
    bound = stored["embeddings.word.scale"] * 0.501
    assert (np.abs(rows - weights["embeddings.word.weight"]) <= bound).all()
    up = stored["layers.0.ffn.up.weight"] * stored["layers.0.ffn.up.scale"]
    bound = stored["layers.0.ffn.up.scale"] * 0.501
    assert (np.abs(up - weights["layers.0.ffn.up.weight"].T) <= bound).all()


def test_the_plain_int8_graph_has_only_its_word_embedding_in_int8() -> None:
    model = onnx.load_from_string(bytes_of(SHAPES["even"], fused=False, precision="int8"))
    stored = constants(model)
    assert [name for name, value in stored.items() if value.dtype == np.int8] == ["embeddings.word"]


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_onnx_runtimes_own_optimisation_keeps_the_fused_operators(
    tmp_path: Path, precision: GraphPrecision
) -> None:
    shape = shape_of(layer(), layer(3, ffn=5), layer(heads=0))
    (tmp_path / "model.onnx").write_bytes(bytes_of(shape, fused=True, precision=precision))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    onnxruntime.InferenceSession(
        str(tmp_path / "model.onnx"), options, providers=["CPUExecutionProvider"]
    )
    model = onnx.load(str(tmp_path / "optimised.onnx"))
    counts = Counter(node.op_type for node in model.graph.node if node.domain == CONTRIB)
    assert counts["MultiHeadAttention"] == 2
    assert counts["SkipLayerNormalization"] == 2
    if precision == "fp32":
        assert counts["BiasGelu"] == 3
    else:
        # query, key and value as one, output, up, down; two more of the last layer; the pooler
        assert counts["DynamicQuantizeMatMul"] == 4 + 4 + 2 + 1
        assert counts["Gelu"] == 3


def test_without_onnx_the_message_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    shape = SHAPES["even"]
    with pytest.raises(EngineError, match=r"pip install 'thinfer\[compress\]'"):
        build_graph(random_weights(shape), shape, fused=True)
