"""CTranslate2: its BERT encoder in INT8, and the classification head in NumPy behind it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thinfer.core.optional import require
from thinfer.engine.base import Engine, EngineInfo, check_batch
from thinfer.errors import EngineError
from thinfer.nn.checkpoint import Checkpoint
from thinfer.nn.encoder import EncoderClassifier
from thinfer.nn.save import save_checkpoint
from thinfer.text.batch import Batch

__all__ = ["open_ctranslate2"]


def open_ctranslate2(checkpoint: Checkpoint, folder: Path, threads: int) -> Engine:
    """Convert a model with CTranslate2's own converter and open it in INT8.

    An ERNIE model is a BERT whose every token gets one more embedding row; that row is added to
    the token types, and nothing else changes.

    Args:
        checkpoint: BERT or ERNIE, all layers of one width.
        folder: empty.
        threads: of one call.

    Raises:
        EngineError: the library is not installed, or cannot load the model.
        DataError: the layers differ in width.
    """
    library: Any = require("ctranslate2")
    converters: Any = require("ctranslate2.converters")
    if checkpoint.architecture.position_offset:
        what = "CTranslate2 is given BERT and ERNIE models here"
        raise EngineError(what, got="a RoBERTa model, whose positions begin elsewhere")
    save_checkpoint(_as_bert(checkpoint), folder / "bert")
    _add_what_the_converter_reads(folder / "bert" / "config.json")
    converted = folder / "converted"
    try:
        converters.TransformersConverter(str(folder / "bert")).convert(
            str(converted), quantization="int8"
        )
        encoder = library.Encoder(str(converted), device="cpu", intra_threads=threads)
    except (RuntimeError, ValueError, TypeError, AttributeError, KeyError) as error:
        what = "CTranslate2 cannot load this model"
        raise EngineError(what, got=f"{type(error).__name__}: {error}"[:300]) from error
    return _CTranslate2(checkpoint, encoder, version=library.__version__, threads=threads)


def _add_what_the_converter_reads(path: Path) -> None:
    """Say how positions are coded: transformers 5 no longer does, and CTranslate2 4 still asks."""
    config = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**config, "position_embedding_type": "absolute"}), encoding="utf-8")


class _CTranslate2:
    def __init__(
        self,
        checkpoint: Checkpoint,
        encoder: Any,  # noqa: ANN401 - an untyped library
        *,
        version: str,
        threads: int,
    ) -> None:
        shape, weights = checkpoint.architecture, checkpoint.model.weights()
        self._shape = shape
        self._encoder = encoder
        self._head = weights["head.weight"].T.copy(), weights["head.bias"]
        self.info = EngineInfo(
            name="ctranslate2",
            precision="int8",
            threads=threads,
            version=version,
            max_length=shape.max_length,
            vocab=shape.vocab,
            classes=shape.classes,
        )

    def run(self, batch: Batch) -> NDArray[np.float32]:
        """Compute the logits; see `Engine.run`."""
        check_batch(batch, self._shape)
        if self._encoder is None:
            what = "the engine is closed"
            raise EngineError(what)
        edges = batch.offsets[1:-1]
        ids = [part.tolist() for part in np.split(batch.ids, edges)]
        types = [part.tolist() for part in np.split(batch.type_ids, edges)]
        found = self._encoder.forward_batch(ids, token_type_ids=types)
        weight, bias = self._head
        logits: NDArray[np.float32] = np.asarray(found.pooler_output) @ weight + bias
        return logits

    def close(self) -> None:
        """Free the model."""
        self._encoder = None


def _as_bert(checkpoint: Checkpoint) -> Checkpoint:
    weights = checkpoint.model.weights()
    task = weights.pop("embeddings.task.weight", None)
    if task is not None:
        weights["embeddings.type.weight"] = weights["embeddings.type.weight"] + task[0]
    shape = replace(checkpoint.architecture, task_rows=0)
    model = EncoderClassifier.from_weights(shape, weights)
    return replace(checkpoint, model=model, architecture=shape, family="bert")
