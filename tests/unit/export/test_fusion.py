"""The fusion gate lets our graphs pass and refuses what is not fused."""

from __future__ import annotations

from pathlib import Path

import pytest

onnx = pytest.importorskip("onnx")

from tests.support.export_models import SHAPES, layer, random_weights, shape_of  # noqa: E402
from thinfer.architecture import Architecture  # noqa: E402
from thinfer.errors import EngineError  # noqa: E402
from thinfer.export.fusion import check_fusion, count_operators  # noqa: E402
from thinfer.export.graph import build_graph  # noqa: E402


def write(folder: Path, shape: Architecture, *, fused: bool = True) -> Path:
    target = folder / "model.onnx"
    graph = build_graph(random_weights(shape), shape, fused=fused)
    target.write_bytes(graph.SerializeToString())
    return target


@pytest.mark.parametrize("name", SHAPES)
def test_our_fused_graphs_pass(tmp_path: Path, name: str) -> None:
    shape = SHAPES[name]
    path = write(tmp_path, shape)
    check_fusion(path, shape)
    blocks = sum(layer.heads > 0 for layer in shape.layers)
    assert count_operators(path)["MultiHeadAttention"] == blocks


def test_a_plain_graph_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, SHAPES["even"], fused=False)
    with pytest.raises(EngineError, match=r"not fused.*expected 2 .*got 0 and 0"):
        check_fusion(path, SHAPES["even"])


def test_a_graph_that_lost_one_block_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, shape_of(layer(), layer(heads=0)))
    with pytest.raises(EngineError, match="got 1 and 1"):
        check_fusion(path, SHAPES["even"])


@pytest.mark.parametrize("kind", ["MultiHeadAttention", "SkipLayerNormalization"])
def test_an_operator_of_another_domain_does_not_count(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path, SHAPES["even"])
    model = onnx.load(str(path))
    for node in model.graph.node:
        if node.op_type == kind:
            node.domain = "org.example"
    onnx.save(model, str(path))
    with pytest.raises(EngineError, match="not fused"):
        check_fusion(path, SHAPES["even"])
