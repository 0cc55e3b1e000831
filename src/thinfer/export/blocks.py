"""Names of the blocks that an INT8 graph rounds, and of those that it may leave in FP32."""

from __future__ import annotations

from collections.abc import Collection

from thinfer.architecture import Architecture
from thinfer.errors import UserError

__all__ = ["block_of", "check_kept", "list_blocks_to_round"]


def list_blocks_to_round(architecture: Architecture) -> tuple[str, ...]:
    """Give the blocks that INT8 rounds, in the order of the forward pass.

    Args:
        architecture: the widths; an empty block has nothing to round.

    Returns:
        `embeddings` (the word rows), `layers.N.attention` and `layers.N.ffn` of each layer,
        and `pooler`. The head is never rounded.
    """
    blocks = ["embeddings"]
    for index, layer in enumerate(architecture.layers):
        blocks += [f"layers.{index}.attention"] if layer.heads else []
        blocks += [f"layers.{index}.ffn"] if layer.ffn else []
    return (*blocks, "pooler")


def block_of(product: str) -> str:
    """Give the block of a product: `layers.0.ffn` for `layers.0.ffn.up`, `pooler` for itself.

    Args:
        product: a product or an input range of the graph.
    """
    return product.rpartition(".")[0] or product


def check_kept(kept: Collection[str], architecture: Architecture) -> None:
    """Refuse names that are no blocks of a model.

    Args:
        kept: blocks that shall stay in FP32.
        architecture: of the model.

    Raises:
        UserError: a name is not one of `list_blocks_to_round`.
    """
    blocks = list_blocks_to_round(architecture)
    unknown = sorted(set(kept) - set(blocks))
    if unknown:
        what = "a block that shall stay in FP32 is not in the model"
        raise UserError(what, expected=f"some of {', '.join(blocks)}", got=", ".join(unknown))
