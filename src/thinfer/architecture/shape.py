"""`Architecture`: every width of a classifier, layer by layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from thinfer.errors import DataError

__all__ = ["Architecture", "LayerShape"]

Activation = Literal["gelu", "gelu_tanh", "relu", "tanh", "silu"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerShape:
    """The widths of one layer.

    Attributes:
        heads: attention heads; 0 = the attention block is dropped (its output bias stays).
        qk_size: query and key size of one head.
        value_size: value size of one head.
        ffn: intermediate size; 0 = the FFN block is dropped (its output bias stays).
    """

    heads: int
    qk_size: int
    value_size: int
    ffn: int

    def __post_init__(self) -> None:
        if min(self.heads, self.ffn) < 0 or min(self.qk_size, self.value_size) < 1:
            what = "the widths of a layer are impossible"
            raise DataError(what, expected="heads, ffn ≥ 0 and head sizes ≥ 1", got=str(self))


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """The shape of an encoder with a classification head.

    Attributes:
        hidden: hidden size.
        layers: widths per layer; a removed layer is absent.
        vocab: rows of the word embedding.
        positions: rows of the position embedding, `position_offset` rows included.
        position_offset: position id of the first token (0; RoBERTa: padding id + 1).
        type_rows: rows of the token type embedding (0 = none).
        task_rows: rows of ERNIE's task type embedding (0 = none); row 0 is always used.
        classes: rows of the head.
        activation: the FFN's activation; `gelu` is exact (erf), `gelu_tanh` its approximation.
        layer_norm_eps: epsilon of every layer norm.
        head_kind: `sequence`: logits `[sequences, classes]` from the first token through the
            pooler (dense + tanh) and the head.
    """

    KIND: ClassVar[str] = "thinfer.architecture"
    VERSION: ClassVar[int] = 1

    hidden: int
    layers: tuple[LayerShape, ...]
    vocab: int
    positions: int
    position_offset: int = 0
    type_rows: int = 2
    task_rows: int = 0
    classes: int
    activation: Activation = "gelu"
    layer_norm_eps: float = 1e-12
    head_kind: Literal["sequence"] = "sequence"

    def __post_init__(self) -> None:
        if min(self.hidden, self.vocab, self.classes) < 1 or self.max_length < 1:
            what = "the architecture is impossible"
            raise DataError(what, expected="hidden, vocab, classes, length ≥ 1", got=str(self))

    @property
    def max_length(self) -> int:
        """The longest sequence, in tokens, that the position rows allow."""
        return self.positions - self.position_offset
