"""What an engine is: something that turns a packed batch into logits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from thinfer.architecture import Architecture
from thinfer.errors import DataError
from thinfer.text.batch import Batch

__all__ = ["Engine", "EngineInfo", "EngineSpec", "Feed", "check_batch"]

Feed: TypeAlias = dict[str, NDArray[np.int64]]  # an engine's inputs, [batch, length] each
Precision = Literal["fp32", "fp16", "bf16", "int8"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSpec:
    """How a folder says which engine can run it; stored in the manifest.

    Attributes:
        name: a name of the registry, for example `onnxruntime`.
        precision: of the matrix products.
        files: what the engine reads to run, relative to the folder, tokenizer not included.
        logits_bound: largest difference to the golden logits that is accepted at opening.
        options: settings of that engine, measured or chosen at export; numbers and strings.
    """

    name: str
    precision: Precision
    files: tuple[str, ...]
    logits_bound: float = 1e-3
    options: Mapping[str, int | float | str | bool] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineInfo:
    """What an open engine says of itself.

    Attributes:
        name: its name in the registry.
        precision: of the matrix products.
        threads: threads of one call.
        version: version of the library underneath.
        max_length: longest sequence, in tokens.
        vocab: rows of the word embedding; an id is in `0 … vocab - 1`.
        classes: width of the logits.
    """

    name: str
    precision: Precision
    threads: int
    version: str
    max_length: int
    vocab: int
    classes: int


class Engine(Protocol):
    """Runs one model. `run` may be called from several threads."""

    @property
    def info(self) -> EngineInfo:
        """What this engine is."""

    def run(self, batch: Batch) -> NDArray[np.float32]:
        """Compute the logits.

        Args:
            batch: at least one token a sequence, at most `info.max_length`; may be empty.

        Returns:
            float32 `[sequences, classes]`, rows in the order of the batch.

        Raises:
            DataError: a length or an id is out of range.
            EngineError: the engine failed.
        """

    def close(self) -> None:
        """Free what the engine holds; calling it twice is harmless."""


def check_batch(batch: Batch, architecture: Architecture) -> None:
    """Refuse lengths and ids that the model has no rows for.

    Args:
        batch: what is about to be run.
        architecture: the shape of the model.

    Raises:
        DataError: a sequence is empty or too long, or an id is out of range.
    """
    lengths = batch.lengths
    bad = np.flatnonzero((lengths < 1) | (lengths > architecture.max_length))
    if len(bad):
        what = f"sequence {bad[0]} has an impossible length"
        expected = f"1 … {architecture.max_length} tokens"
        raise DataError(what, expected=expected, got=str(lengths[bad[0]]))
    limits = (
        ("token", batch.ids, architecture.vocab),
        ("token type", batch.type_ids, max(1, architecture.type_rows)),
    )
    for name, ids, rows in limits:
        outside = np.flatnonzero((ids < 0) | (ids >= rows))
        if len(outside):
            sequence = int(np.searchsorted(batch.offsets, outside[0], side="right")) - 1
            what = f"a {name} id of sequence {sequence} is out of range"
            raise DataError(what, expected=f"0 … {rows - 1}", got=str(ids[outside[0]]))
