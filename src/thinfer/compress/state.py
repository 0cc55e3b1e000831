"""`State`: all that travels from one compression step to the next; replaced, never changed."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from thinfer.architecture import Architecture
from thinfer.compress.step import StepReport
from thinfer.errors import DataError
from thinfer.nn.encoder import EncoderClassifier
from thinfer.text.tokenizer import Tokenizer

__all__ = ["State", "Weights"]

Weights = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class State:
    """A classifier between two steps.

    Attributes:
        weights: canonical name → float32 array; the arrays are read-only.
        architecture: the shape of the weights.
        tokenizer: the tokenizer that fits the word embedding.
        labels: names of the classes, in the head's order.
        max_length: longest sequence in tokens, specials included.
        pad_id: token id of the padding.
        is_multi_label: whether each label has a sigmoid of its own; else one softmax.
        history: reports of the steps so far, oldest first.
    """

    weights: Weights
    architecture: Architecture
    tokenizer: Tokenizer
    labels: tuple[str, ...]
    max_length: int
    pad_id: int
    is_multi_label: bool = False
    history: tuple[StepReport, ...] = ()

    def __post_init__(self) -> None:
        frozen = {name: _read_only(array) for name, array in self.weights.items()}
        object.__setattr__(self, "weights", MappingProxyType(frozen))
        if len(self.labels) != self.architecture.classes:
            what = "the labels do not fit the head"
            raise DataError(what, expected=f"{self.architecture.classes}", got=str(self.labels))

    def module(self) -> EncoderClassifier:
        """Build the torch module with a copy of these weights, in evaluation mode."""
        return EncoderClassifier.from_weights(self.architecture, self.weights)

    def replace(
        self,
        report: StepReport,
        *,
        weights: Weights | None = None,
        architecture: Architecture | None = None,
        tokenizer: Tokenizer | None = None,
        max_length: int | None = None,
    ) -> State:
        """Give the next state, with the report added to the history.

        Args:
            report: what the step did.
            weights: new weights; the old ones when absent, as with all that follow.
            architecture: new shape.
            tokenizer: new tokenizer; its padding id is taken over.
            max_length: new longest sequence in tokens.
        """
        return dataclasses.replace(
            self,
            weights=self.weights if weights is None else weights,
            architecture=self.architecture if architecture is None else architecture,
            tokenizer=self.tokenizer if tokenizer is None else tokenizer,
            max_length=self.max_length if max_length is None else max_length,
            pad_id=self.pad_id if tokenizer is None else tokenizer.pad_id,
            history=(*self.history, report),
        )


def _read_only(array: NDArray[np.float32]) -> NDArray[np.float32]:
    if array.dtype == np.float32 and not array.flags.writeable:
        return array
    copy = np.array(array, dtype=np.float32)
    copy.flags.writeable = False
    return copy
