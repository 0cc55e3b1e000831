"""The fusion gate: an exported graph that lost its fused operators is refused."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from thinfer.architecture import Architecture
from thinfer.core.optional import require
from thinfer.errors import EngineError

__all__ = ["check_fusion", "count_operators"]

_ATTENTION = ("Attention", "MultiHeadAttention", "QAttention")
_DOMAIN = "com.microsoft"  # the standard set has an `Attention` too, which is not the fused one


def count_operators(path: Path) -> Counter[str]:
    """Count ONNX Runtime's own operators in an ONNX file, by kind."""
    model = require("onnx").load(str(path), load_external_data=False)
    return Counter(node.op_type for node in model.graph.node if node.domain == _DOMAIN)


def check_fusion(path: Path, architecture: Architecture) -> None:
    """Check that every layer that still attends does so in fused operators.

    Args:
        path: the ONNX file.
        architecture: its widths.

    Raises:
        EngineError: fewer fused attentions or SkipLayerNormalizations than attention blocks.
    """
    blocks = sum(layer.heads > 0 for layer in architecture.layers)
    counts = count_operators(path)
    attention = sum(counts[kind] for kind in _ATTENTION)
    norms = counts["SkipLayerNormalization"]
    if attention < blocks or norms < blocks:
        what = f"the exported graph '{path.name}' is not fused"
        raise EngineError(
            what,
            expected=f"{blocks} fused attentions and {blocks} SkipLayerNormalizations or more",
            got=f"{attention} and {norms}",
        )
