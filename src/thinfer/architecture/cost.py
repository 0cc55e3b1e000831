"""What an architecture costs: parameters and multiply-accumulates, counted and not measured."""

from __future__ import annotations

from dataclasses import dataclass

from thinfer.architecture.shape import Architecture, LayerShape

__all__ = ["Cost", "count_cost"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Counted cost.

    Attributes:
        parameters: all weights and biases.
        embedding_parameters: those of the embedding tables.
        macs: multiply-accumulates of one text of the length asked for.
    """

    parameters: int
    embedding_parameters: int
    macs: int


def count_cost(architecture: Architecture, *, length: int) -> Cost:
    """Count parameters, and the multiply-accumulates of one text.

    Args:
        architecture: the shape.
        length: tokens of the text, specials included.

    Returns:
        The counts; softmax, layer norm and activation are not in `macs`. Of the last layer only
        the first token is counted, which is all that the head reads and the engines compute.
    """
    hidden = architecture.hidden
    rows = (
        architecture.vocab
        + architecture.positions
        + architecture.type_rows
        + architecture.task_rows
    )
    embedding = rows * hidden + 2 * hidden
    head = hidden * hidden + hidden + architecture.classes * (hidden + 1)
    body = sum(_layer_parameters(layer, hidden) for layer in architecture.layers)
    last = len(architecture.layers) - 1
    macs = sum(
        _layer_macs(layer, hidden, length, queried=1 if index == last else length)
        for index, layer in enumerate(architecture.layers)
    )
    return Cost(
        parameters=embedding + body + head,
        embedding_parameters=embedding,
        macs=macs + hidden * hidden + architecture.classes * hidden,
    )


def _layer_parameters(layer: LayerShape, hidden: int) -> int:
    queries, values = layer.heads * layer.qk_size, layer.heads * layer.value_size
    attention = 2 * queries * (hidden + 1) + values * (hidden + 1) + values * hidden + hidden
    ffn = layer.ffn * (2 * hidden + 1) + hidden
    return attention + ffn + 4 * hidden


def _layer_macs(layer: LayerShape, hidden: int, length: int, *, queried: int) -> int:
    queries, values = layer.heads * layer.qk_size, layer.heads * layer.value_size
    attended = length * hidden * (queries + values)  # keys and values, of every token
    own = queried * hidden * (queries + values + 2 * layer.ffn)
    return attended + own + queried * length * (queries + values)
